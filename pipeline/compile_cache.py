"""What XLA has compiled is kept from one run to the next, so that a later run begins at once. Standard library only.

CACHE/
  0123456789abcdef/            for one version of TensorFlow, one kind of processor and one set of XLA's flags
    xla_compile_cache__*.DIGEST.pb
    jax/                       JAX's own cache, for a training on JAX

CACHE is $TRANSOM_COMPILE_CACHE ("off": no cache), or transom/compiled in the user's cache. TensorFlow fails at a
damaged entry and where it cannot write, so it gets a folder of this process, with entries whose SHA-256 is right; what
it adds is copied back.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import importlib.metadata
import os
import shutil
from pathlib import Path

from models.runtime import ONEDNN, cpu_identity
from pipeline.runs.temporary_folders import scratch_folder

VARIABLE, OFF = "TRANSOM_COMPILE_CACHE", "off"
_FLAGS, _OPTION = "TF_XLA_FLAGS", "--tf_xla_persistent_cache_directory"
# An entry is found by its program; a GPU's machine code also depends on the GPU.
_CPU_ONLY = "--tf_xla_persistent_cache_device_types=CPU"
_LARGEST, _ROOM = 500_000_000, 1_000_000_000  # bytes of all entries; and free ones, without which nothing is kept
_DIGITS = 16


class CompileCache:
    """The cache of this process. TensorFlow reads its place once, so there is one for all runs of a process.

    Args:
        shared: folder of the entries that all processes share.
        private: folder that TensorFlow uses.
    """

    def __init__(self, shared: Path, private: Path) -> None:
        self._shared, self._private = shared, private
        self._known: set[str] = set()

    def load(self) -> None:
        """Gives TensorFlow the intact entries, and removes the others."""
        for entry in self._shared.glob("*.pb"):
            name, _, digest = entry.stem.rpartition(".")
            with contextlib.suppress(OSError):
                if _digest(entry) != digest:
                    entry.unlink()
                    continue
                shutil.copyfile(entry, self._private / f"{name}.pb")
                self._known.add(f"{name}.pb")

    def store(self) -> None:
        """Keeps what has been compiled since, and removes the oldest entries if there are too many bytes."""
        with contextlib.suppress(OSError):  # a full disk
            for entry in self._private.glob("*.pb"):
                if entry.name not in self._known:
                    temporary = self._shared / f".{entry.name}.{os.getpid()}"
                    shutil.copyfile(entry, temporary)
                    temporary.replace(self._shared / f"{entry.stem}.{_digest(temporary)}.pb")
                    self._known.add(entry.name)
            _shrink(self._shared.parent)


_used: CompileCache | None = None


def use() -> CompileCache | None:
    """Makes TensorFlow use the cache. To be called before it is loaded.

    Returns:
        The cache of this process; None if it is switched off, if `TF_XLA_FLAGS` names another, or if no folder can be
        used or the disk is nearly full.
    """
    global _used
    flags, shared = os.environ.get(_FLAGS, ""), _folder()
    if _used is not None or shared is None or _OPTION in flags:
        return _used
    try:
        shared.mkdir(parents=True, exist_ok=True)
        if not os.access(shared, os.W_OK) or shutil.disk_usage(shared).free < _ROOM:
            return None
        stack = contextlib.ExitStack()
        private = stack.enter_context(scratch_folder()) / "compiled"
        private.mkdir()
    except OSError:
        return None
    atexit.register(stack.close)
    if any(character.isspace() for character in str(private)):  # it would end the flag
        return None
    _used = CompileCache(shared, private)
    _used.load()
    os.environ[_FLAGS] = f"{flags} {_OPTION}={private} {_CPU_ONLY}".strip()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(shared / "jax"))
    return _used


def _folder() -> Path | None:
    given = os.environ.get(VARIABLE, "")
    if given == OFF:
        return None
    if given:
        root = Path(os.path.abspath(os.path.expanduser(given)))
    else:
        try:
            root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "transom" / "compiled"
        except RuntimeError:  # this user has no home folder
            return None
    versions = (importlib.metadata.version("tensorflow"), cpu_identity())
    settings = [os.environ.get(name, "") for name in ("XLA_FLAGS", _FLAGS, ONEDNN)]
    return root / hashlib.sha256("\n".join((*versions, *settings)).encode()).hexdigest()[:_DIGITS]


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:_DIGITS]


def _shrink(root: Path) -> None:
    files = [path for path in root.rglob("*") if path.is_file()]
    entries = [(path.stat().st_mtime, path.stat().st_size, path) for path in files]
    size = sum(each for _, each, _ in entries)
    for _, freed, path in sorted(entries):
        if size <= _LARGEST:
            return
        path.unlink(missing_ok=True)
        size -= freed
