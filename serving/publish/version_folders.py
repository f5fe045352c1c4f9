"""The versions of a model under a TF Serving base path, one numbered folder each (standard library only).

TF Serving loads a numbered folder as soon as it sees it, so a folder must be complete when its name appears:
`publish` copies into a hidden folder next to the versions, syncs it to disk and renames it. Hidden folders are
`.publishing-*`, locked while their publisher lives, and `.removing-*`; leftovers of killed processes are removed by the
next publisher.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from serving.errors import PublishError

_PUBLISHING = ".publishing-"
_REMOVING = ".removing-"
_HIDDEN = re.compile(rf"({re.escape(_PUBLISHING)}|{re.escape(_REMOVING)}\d+-)[0-9a-f]{{32}}")
_FULL = (errno.ENOSPC, errno.EDQUOT)


def versions(base: Path) -> list[int]:
    """The versions under `base`, oldest first; empty if the folder does not exist.

    Raises:
        PublishError: the folder cannot be read.
    """
    try:
        with os.scandir(base) as entries:
            return sorted(int(entry.name) for entry in entries if _is_version(entry.name) and entry.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _explained(error, base, "be read") from error


def newest(base: Path) -> int | None:
    """The version that TF Serving serves by default, or None if there is none.

    Raises:
        PublishError: the folder cannot be read.
    """
    return max(versions(base), default=None)


def publish(
    source: Path,
    base: Path,
    extra: Mapping[str, bytes] | None = None,
    *,
    version: int | None = None,
    known_by: str = "saved_model.pb",
) -> int:
    """Copies the model in `source` under `base` as a new version, complete when its name appears.

    Args:
        source: a SavedModel, or another folder of files.
        base: the folder of versions.
        extra: additional or replaced files: path within the version to content ("assets.extra/notes.json").
        version: its number; an existing version with the same `known_by` file is replaced. Default: the time in
            seconds since 1970, as in TFX, or the newest version plus one if that is greater; so a number is never
            used twice, even after old versions have been removed.
        known_by: the file that makes `source` a model.

    Returns:
        The version.

    Raises:
        PublishError: no permission, a full disk, or no model. Existing versions are untouched.
    """
    if not (source / known_by).is_file():
        raise PublishError(f"the model in {source}", got=f"no {known_by}", expected=f"a folder with {known_by}")
    try:
        base.mkdir(parents=True, exist_ok=True)
        remove_leftovers(base)
        with _hidden_folder(base) as hidden:
            _copy(source, hidden)
            _write(extra or {}, hidden)
            if version is None:
                version = _rename_to_new_version(hidden, base)
            else:
                _replace(hidden, base, version, known_by)
    except OSError as error:
        raise _explained(error, base, "take the model") from error
    _sync_folder(base)
    return version


def prune(base: Path, keep: int, known_by: Sequence[str] = ("saved_model.pb",)) -> list[int]:
    """Removes all but the `keep` newest versions; the newest always stays.

    Args:
        known_by: only versions with one of these files count and are removed. A numbered folder without one, or a
            link to a folder, belongs to someone else: dated tables, another program's models.

    Returns:
        The removed versions, oldest first.

    Raises:
        PublishError: a version cannot be removed.
    """
    models = [version for version in versions(base) if _is_model(base / str(version), known_by)]
    old = models[: -max(keep, 1)]
    for version in old:
        # Rename first, so that no server finds a version with half of its files.
        try:
            shutil.rmtree(_hide(base, version))
        except FileNotFoundError:  # another publisher is removing it
            continue
        except OSError as error:
            raise _explained(error, base / str(version), "be removed") from error
    return old


def _is_model(folder: Path, known_by: Sequence[str]) -> bool:
    return not folder.is_symlink() and any((folder / name).is_file() for name in known_by)


def _hide(base: Path, version: int) -> Path:
    """Renames a version's folder before its removal; returns the new path."""
    hidden = base / f"{_REMOVING}{version}-{uuid.uuid4().hex}"
    (base / str(version)).rename(hidden)
    return hidden


def remove_leftovers(base: Path) -> None:
    """Removes the hidden folders of killed processes; those of living ones are locked and stay."""
    with os.scandir(base) as entries:
        hidden = [Path(entry.path) for entry in entries if is_hidden(entry.name)]
    for folder in hidden:
        with contextlib.suppress(OSError):  # locked, or another process is removing it
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(descriptor)


def is_hidden(name: str) -> bool:
    """Whether a folder of this name is a publisher's: a version that is not complete yet, or being removed."""
    return _HIDDEN.fullmatch(name) is not None


def _is_version(name: str) -> bool:
    return name.isascii() and name.isdigit() and str(int(name)) == name


@contextlib.contextmanager
def _hidden_folder(base: Path) -> Iterator[Path]:
    """Creates a locked folder and removes it afterwards, unless it has been renamed."""
    while True:
        hidden = base / f"{_PUBLISHING}{uuid.uuid4().hex}"
        hidden.mkdir()
        # Until it is locked, another publisher may mistake it for a leftover.
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(hidden, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if hidden.exists():
                break
            os.close(descriptor)
    try:
        yield hidden
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
        os.close(descriptor)


def _copy(source: Path, target: Path) -> None:
    """Copies a tree into an existing folder and syncs it to disk. Files get this process's default permissions, so
    that a server that runs as another user can read them."""
    for folder, subfolders, files in os.walk(source):
        copied = target / os.path.relpath(folder, source)
        for name in subfolders:
            (copied / name).mkdir()
        for name in files:
            with open(Path(folder, name), "rb") as original, open(copied / name, "wb") as copy:
                shutil.copyfileobj(original, copy, 1 << 20)
                copy.flush()
                os.fsync(copy.fileno())
        _sync_folder(copied)


def _write(files: Mapping[str, bytes], target: Path) -> None:
    for name, content in files.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(path.parent)


def _rename_to_new_version(hidden: Path, base: Path) -> int:
    """Renames the hidden folder to a version newer than all others."""
    while True:
        version = max(int(time.time()), (newest(base) or 0) + 1)
        try:
            # Renaming to a non-empty folder, such as a version, fails.
            hidden.rename(base / str(version))
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return version


def _replace(hidden: Path, base: Path, version: int, known_by: str) -> None:
    """Renames the hidden folder to a version, replacing an existing one."""
    target, old = base / str(version), None
    if os.path.lexists(target):
        if not _is_model(target, [known_by]):
            got, expected = f"something without {known_by}", "nothing, or an earlier push"
            raise PublishError(f"the folder {target}", got=got, expected=expected, fix="move it away")
        old = _hide(base, version)
    try:
        hidden.rename(target)
    except BaseException:  # on Ctrl-C too, the old version must stay live
        if old is not None and not target.exists():
            old.rename(target)
        raise
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems do not support it
            raise
    finally:
        os.close(descriptor)


def _explained(error: OSError, folder: Path, purpose: str) -> PublishError:
    what = f"the folder {folder} cannot {purpose}"
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        fix = "give this user the right to write there, or choose another folder"
        return PublishError(what, got=f"no permission ({error.strerror})", fix=fix)
    if error.errno in _FULL:
        return PublishError(what, got=f"no space left ({error.strerror})", fix="free space, or keep fewer versions")
    if isinstance(error, (NotADirectoryError, FileExistsError)):
        return PublishError(what, got="a file", expected="a folder, or nothing", fix="choose another folder")
    return PublishError(what, got=f"{type(error).__name__}: {error}")
