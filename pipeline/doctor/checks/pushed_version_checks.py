"""What is pushed: versions, whether a server can read them, leftovers of killed pushes (standard library only)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from models.saved.model_locations import CHECKPOINT, MODEL_FILE
from pipeline.doctor.exported_operations import operation_names
from pipeline.doctor.finding import Check, Finding, Project, from_error
from serving.errors import PublishError
from serving.publish.operations import TARGET, missing
from serving.publish.version_folders import is_hidden, versions
from tflite.host import BUNDLE_FILE

_MODELS, _BUNDLES, _OPERATIONS = "pushed models", "pushed bundles", "TF Serving"


def checks(project: Project, tf_serving: str) -> list[Check]:
    found = [
        Check(_MODELS, lambda: pushed(_MODELS, project.paths.push, (MODEL_FILE, f"{CHECKPOINT}.index"))),
        Check(_OPERATIONS, lambda: operations(project.paths.push, tf_serving)),
    ]
    if project.config.edge.variants:
        found.insert(1, Check(_BUNDLES, lambda: pushed(_BUNDLES, project.paths.edge, (BUNDLE_FILE,))))
    return found


def pushed(name: str, folder: Path, needed: tuple[str, ...]) -> Iterator[Finding]:
    """The versions in a folder.

    Args:
        needed: files that each has.
    """
    try:
        found = versions(folder)
    except PublishError as error:
        yield from_error(name, error)
        return
    bad = 0
    for version in reversed(found):
        for finding in _version(name, folder / str(version), needed, is_newest=version == found[-1]):
            bad += finding.status == "error"
            yield finding
    yield from _hidden(name, folder)
    if found and not bad:
        count = "1 version" if len(found) == 1 else f"{len(found)} versions"
        yield Finding(name, "ok", f"{count} in {folder}; the newest is {found[-1]}")
    elif not found:
        yield Finding(name, "ok", f"none yet in {folder}")


def _version(name: str, folder: Path, needed: tuple[str, ...], *, is_newest: bool) -> Iterator[Finding]:
    reason = _unreadable(folder)
    lacks = [] if reason else [file for file in needed if not (folder / file).is_file() or not _size(folder / file)]
    consequence = (
        "a server that loads it fails, and clients lose their answers" if is_newest else "nothing can go back to it"
    )
    if reason:
        remedy = f"`chmod -R u+rX {folder}`, or change its owner"
        yield Finding(name, "error", f"{folder} cannot be read: {reason}; {consequence}", remedy)
    elif lacks:
        remedy = "move it out of that folder; `transom run` pushes again"
        yield Finding(name, "error", f"{folder} has no {', '.join(lacks)}, or it is empty; {consequence}", remedy)
    elif is_newest and (private := _private(folder)):
        text = f"only its owner can read {private}: a server that runs as another user cannot"
        yield Finding(name, "note", text, f"`chmod -R a+rX {folder}` lets others read it")


def operations(folder: Path, version: str) -> Iterator[Finding]:
    """Whether TF Serving has the operations of the newest version that can be read."""
    try:
        newest = max(versions(folder), default=None)
    except PublishError:  # told by the check of the pushed models
        return
    if _numbers(version) < _numbers(TARGET):
        text = f"{version} is older than {TARGET}, the oldest that Transom exports for"
        yield Finding(_OPERATIONS, "error", text, f"use the image tensorflow/serving:{TARGET}.0 or a newer one")
        return
    if newest is None:
        yield Finding(_OPERATIONS, "ok", f"{version}: nothing is pushed yet, so there is nothing to compare")
        return
    file = folder / str(newest) / MODEL_FILE
    try:
        names = operation_names(file)
    except (OSError, ValueError) as error:
        text = f"{file} cannot be read: {error}"
        yield Finding(_OPERATIONS, "error", text, "move that version out of the folder; `transom run` pushes again")
        return
    unknown = missing(names)
    list_of = f"the list of {TARGET}" + (
        "" if _numbers(version) == _numbers(TARGET) else ", and newer ones have as many"
    )
    if unknown:
        shown = ", ".join(unknown[:8]) + (f" and {len(unknown) - 8} more" if len(unknown) > 8 else "")
        text = f"{version} lacks operations of version {newest}: {shown} ({list_of})"
        yield Finding(
            _OPERATIONS, "error", text, "serve it with `transom serve`, or export it with this version of Transom"
        )
    else:
        yield Finding(_OPERATIONS, "ok", f"{version} has all {len(names)} operations of version {newest} ({list_of})")


def _hidden(name: str, folder: Path) -> Iterator[Finding]:
    """Folders of pushes: one that is locked is in progress, any other was left by a killed process."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in sorted((one for one in entries if is_hidden(one.name)), key=lambda one: one.name):
            if _is_locked(entry.path):
                yield Finding(name, "note", f"a push is in progress: {entry.path}")
            else:
                text = f"a killed push left {entry.path} behind, {_size(Path(entry.path)) / 1e6:.1f} MB"
                yield Finding(name, "note", text, "the next push removes it")


def _is_locked(path: str) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _unreadable(folder: Path) -> str:
    """Why a part of a folder cannot be read; empty if all can."""
    try:
        for path, _, names in os.walk(folder, onerror=_raise):
            for name in names:
                os.close(os.open(os.path.join(path, name), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError as error:
        return f"{error.filename}: {error.strerror or error}"
    return ""


def _private(folder: Path) -> str:
    """A file or folder of a version that others may not read; empty if there is none."""
    for path, _, names in os.walk(folder):
        for one, needed in (
            (path, stat.S_IROTH | stat.S_IXOTH),
            *((os.path.join(path, name), stat.S_IROTH) for name in names),
        ):
            with contextlib.suppress(OSError):
                if os.stat(one).st_mode & needed != needed:
                    return one
    return ""


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(os.lstat(os.path.join(place, name)).st_size for place, _, names in os.walk(path) for name in names)


def _raise(error: OSError) -> None:
    raise error


def _numbers(version: str) -> tuple[int, int]:
    """Major and minor of a version such as "2.20.0"."""
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
