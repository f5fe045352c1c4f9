"""Where runs write: room, permissions, kinds of file systems, locks. Nothing is written."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.doctor.disk_need import disk_need
from pipeline.doctor.finding import Check, Finding, Project, Status, as_size

ROOT = Path("/")
# File systems of other machines, and of buckets.
_NETWORK = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "glusterfs", "lustre", "beegfs", "fuse.sshfs")
_BUCKETS = ("fuse.gcsfuse", "fuse.s3fs", "fuse.goofys", "fuse.rclone", "fuse.mount-s3", "fuse.blobfuse")
# As in `tempfile`, which falls back from one to the next without a word.
_TEMPORARY_VARIABLES, _TEMPORARY_FOLDERS = ("TMPDIR", "TEMP", "TMP"), ("/tmp", "/var/tmp", "/usr/tmp")
# With less, even a small run cannot unpack what it needs.
_LEAST_BYTES = 100_000_000


@dataclass(frozen=True)
class Place:
    """A folder that runs write to, or will create.

    Attributes:
        name: for people: a key of the configuration, or a few words.
        existing: the folder, or the nearest one above it that exists.
    """

    name: str
    folder: Path
    existing: Path


def checks(project: Project | None) -> list[Check]:
    return [
        Check("temporary files", temporary),
        Check("disk", lambda: disk(project)),
        Check("file systems", lambda: file_systems(project)),
        Check("locks", lambda: locks(project)),
        Check("cache", cache),
    ]


def places(project: Project | None) -> list[Place]:
    """The project's folders, or else the current one; and the folder of temporary files, if there is one."""
    if project is None:
        found = [("the current folder", Path.cwd())]
    else:
        found = [("output", project.paths.output), ("push.directory", project.paths.push)]
        if project.config.edge.variants:
            found.append(("edge.directory", project.paths.edge))
    if (folder := temporary_folder()) is not None:
        found.append(("temporary files", folder))
    return [Place(name, path, _existing(path)) for name, path in found]


def temporary_folder() -> Path | None:
    """The folder that `tempfile` would choose, which tries by writing; None if there is none."""
    given = [os.environ.get(name) for name in _TEMPORARY_VARIABLES]
    for name in (*given, *_TEMPORARY_FOLDERS):
        if name and os.path.isdir(name) and os.access(name, os.W_OK | os.X_OK):
            return Path(os.path.abspath(name))
    return None


def temporary() -> Iterator[Finding]:
    name = "temporary files"
    found = temporary_folder()
    for variable in _TEMPORARY_VARIABLES:
        given = os.environ.get(variable)
        if given and not (os.path.isdir(given) and os.access(given, os.W_OK | os.X_OK)):
            what = "is not there" if not os.path.lexists(given) else "is not a folder that this user can write"
            text = f"{variable}={given} {what}; {found or 'nothing'} is used instead"
            yield Finding(name, "warn", text, f"create the folder, or unset {variable}")
    if found is None:
        text = "no folder for temporary files can be written: a run fails in the middle"
        yield Finding(name, "error", text, "set TMPDIR to a writable folder")
    else:
        yield Finding(name, "ok", str(found))


def disk(project: Project | None) -> Iterator[Finding]:
    """Room and free files on each device, compared with what a run needs."""
    need = disk_need(project) if project is not None else None
    for named in _by_device(places(project)):
        where = ", ".join(place.name for place in named)
        found = os.statvfs(named[0].existing)
        if not found.f_blocks:  # /proc and its like: the check of the folders tells that nothing can be written
            continue
        free, total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
        text = f"{as_size(free)} free of {as_size(total)} for {where} ({named[0].existing})"
        remedy = "make room" + ("; `transom clean --dry-run` says what no run needs" if project is not None else "")
        writes_results = need is not None and any(place.name != "temporary files" for place in named)
        if found.f_files and not found.f_favail:
            yield Finding(
                "disk", "error", f"{text}; but no more files can be created", "remove files: no inode is free"
            )
        elif need is not None and writes_results and free < need.bytes:
            status: Status = "error" if need.is_measured else "warn"
            yield Finding("disk", status, f"{text}; a run needs {as_size(need.bytes)} ({need.why})", remedy)
        elif free < _LEAST_BYTES:
            yield Finding("disk", "warn", text, remedy)
        else:
            more = f"; a run needs {as_size(need.bytes)} ({need.why})" if need is not None and writes_results else ""
            yield Finding("disk", "ok", text + more)


def file_systems(project: Project | None, mounts: Path = ROOT / "proc/self/mountinfo") -> Iterator[Finding]:
    """The kinds of file systems: on those of other machines locks, SQLite and renaming may not work."""
    try:
        table = _mount_points(mounts.read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError:
        yield Finding("file systems", "note", "their kinds cannot be told on this system")
        return
    kinds = {place: _kind(place.existing, table) for place in places(project)}
    for place, kind in kinds.items():
        is_bucket = kind.startswith(_BUCKETS)
        if not is_bucket and not kind.startswith(_NETWORK):
            continue
        text = f"{place.name} is on {kind}: {place.existing}"
        if place.name == "push.directory" and not is_bucket:
            yield Finding("file systems", "note", f"{text}; see the finding about locks")
            continue
        lost = (
            "a folder cannot be renamed as one, so a server may see half a version"
            if is_bucket
            else ("two runs might not see each other's lock, and SQLite, which records the runs, can be damaged")
        )
        remedy = f"set {place.name} to a folder on a disk of this machine"
        yield Finding(
            "file systems", "warn", f"{text}; {lost}", "set TMPDIR" if place.name == "temporary files" else remedy
        )
    named = {kind: [place.name for place in kinds if kinds[place] == kind] for kind in kinds.values()}
    yield Finding("file systems", "ok", "; ".join(f"{kind}: {', '.join(names)}" for kind, names in named.items()))


def locks(project: Project | None) -> Iterator[Finding]:
    """Locks each folder for an instant, as a run locks its output and a push its new version."""
    good = []
    for place in places(project):
        reason = _lock_failure(place.existing)
        if reason:
            text = f"{place.existing} ({place.name}) cannot be locked: {reason}"
            remedy = (
                "set TMPDIR"
                if place.name == "temporary files"
                else f"set {place.name} to a folder on another file system"
            )
            yield Finding("locks", "error" if project is not None else "warn", text, remedy)
        else:
            good.append(place.name)
    if good:
        yield Finding("locks", "ok", f"work for {', '.join(good)}")


def cache() -> Iterator[Finding]:
    """The user's cache, where presets are downloaded to, environments are made and compiled code is kept."""
    given = os.environ.get("XDG_CACHE_HOME")
    folder = Path(given) if given else Path.home() / ".cache"
    existing = _existing(folder)
    if os.path.isdir(existing) and os.access(existing, os.W_OK | os.X_OK):
        yield Finding("cache", "ok", str(folder))
        return
    text = f"{folder} cannot be written: downloaded presets and compiled code cannot be kept"
    yield Finding(
        "cache", "warn", text, "set XDG_CACHE_HOME (and HF_HOME, KAGGLEHUB_CACHE for the hubs) to a writable folder"
    )


def _existing(path: Path) -> Path:
    return next((each for each in (path, *path.parents) if os.path.exists(each)), ROOT)


def _by_device(found: list[Place]) -> list[list[Place]]:
    devices: dict[int, list[Place]] = {}
    for place in found:
        devices.setdefault(os.stat(place.existing).st_dev, []).append(place)
    return list(devices.values())


def _mount_points(text: str) -> list[tuple[str, str]]:
    """Mount point and kind of each mount (proc(5), mountinfo); later ones cover earlier ones."""
    found = []
    for line in text.splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split()
        if separator and len(fields) > 4 and after.split():
            point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
            found.append((point, after.split()[0]))
    return found


def _kind(path: Path, table: list[tuple[str, str]]) -> str:
    resolved = os.path.realpath(path)
    inside = [
        (len(point), number, kind)
        for number, (point, kind) in enumerate(table)
        if point == "/" or resolved == point or resolved.startswith(f"{point}/")
    ]
    return max(inside)[2] if inside else "an unknown kind"


def _lock_failure(folder: Path) -> str:
    """Why a folder cannot be locked; empty if it can, or could if it were readable."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # another check tells about permissions
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return "" if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else error.strerror or str(error)
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)  # which also unlocks it
    return ""
