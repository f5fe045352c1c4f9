"""What XLA has compiled is kept from one run to the next, so that a later run begins at once. Standard library only.

CACHE/
  0123456789abcdef/            for one version of TensorFlow, one kind of processor, and the settings that matter
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
import re
import shutil
import sys
import tempfile
from pathlib import Path

from models.runtime import cpu_facts, cpu_identity
from pipeline.runs.temporary_folders import scratch_folder

VARIABLE, OFF = "TRANSOM_COMPILE_CACHE", "off"
_FLAGS, _OPTION = "TF_XLA_FLAGS", "--tf_xla_persistent_cache_directory"
# An entry is found by its program; a GPU's machine code also depends on the GPU.
_CPU_ONLY = "--tf_xla_persistent_cache_device_types=CPU"
_LARGEST, _ROOM = 500_000_000, 1_000_000_000  # bytes of all entries; and free ones, without which nothing is kept
_DIGITS = 16
_KEY, _ENTRY = (
    re.compile(rf"[0-9a-f]{{{_DIGITS}}}"),
    re.compile(rf"(xla_compile_cache__.+)\.([0-9a-f]{{{_DIGITS}}})\.pb"),
)


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
        for entry in self._shared.iterdir():
            if found := _ENTRY.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    self._load(entry, f"{found[1]}.pb", found[2])

    def _load(self, entry: Path, name: str, digest: str) -> None:
        if _digest(entry) != digest:
            entry.unlink()
            return
        copy = self._private / f".{name}"  # TensorFlow sees it only when it is whole
        try:
            shutil.copyfile(entry, copy)
            copy.replace(self._private / name)
            self._known.add(name)
        finally:
            copy.unlink(missing_ok=True)

    def store(self) -> None:
        """Keeps what has been compiled since, and removes the oldest entries if there are too many bytes."""
        for entry in self._private.glob("*.pb"):
            if entry.name not in self._known:
                with contextlib.suppress(OSError):  # a full disk
                    self._store(entry)
        with contextlib.suppress(OSError):
            _shrink(self._shared.parent)

    def _store(self, entry: Path) -> None:
        handle, name = tempfile.mkstemp(prefix=".", dir=self._shared)
        os.close(handle)
        try:
            digest = _digest(entry)
            shutil.copyfile(entry, name)
            os.replace(name, self._shared / f"{entry.stem}.{digest}.pb")
            self._known.add(entry.name)
        finally:
            Path(name).unlink(missing_ok=True)


_used: CompileCache | None = None


def use(onednn: str) -> bool:
    """Makes TensorFlow use the cache, and keep at the end of this process what it has compiled.

    To be called before TensorFlow is loaded, and outside `temporary_folder`, which may end before the process does.

    Args:
        onednn: `TrainConfig.onednn`.

    Returns:
        Whether it is used: not if it is switched off, if `TF_XLA_FLAGS` names another, if no folder can be used or a
        disk is nearly full, or on another system than Linux, which does not tell the processor's features.
    """
    global _used
    if _used is not None:
        return True
    flags, shared = os.environ.get(_FLAGS, ""), _folder(onednn)
    if shared is None or _OPTION in flags or sys.platform != "linux":
        return False
    stack = contextlib.ExitStack()
    try:
        shared.mkdir(parents=True, exist_ok=True)
        places = (shared, Path(tempfile.gettempdir()))
        if not os.access(shared, os.W_OK) or min(shutil.disk_usage(place).free for place in places) < _ROOM:
            return False
        private = stack.enter_context(scratch_folder()) / "compiled"
        atexit.register(stack.close)
        private.mkdir()
        if any(character.isspace() for character in str(private)):  # it would end the flag
            return False
        _used = CompileCache(shared, private)
        _used.load()
    except OSError:
        return False
    stack.callback(_used.store)  # before the folder is removed
    os.environ[_FLAGS] = f"{flags} {_OPTION}={private} {_CPU_ONLY}".strip()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(shared / "jax"))
    return True


def _folder(onednn: str) -> Path | None:
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
    # XLA divides large operations among the cores when it compiles.
    names = ("XLA_FLAGS", _FLAGS, "TF_NUM_INTRAOP_THREADS")
    settings = [onednn, str(cpu_facts()["cores"]), *(os.environ.get(name, "") for name in names)]
    key = "\n".join((importlib.metadata.version("tensorflow"), cpu_identity(), *settings))
    return root / hashlib.sha256(key.encode()).hexdigest()[:_DIGITS]


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:_DIGITS]


def _shrink(root: Path) -> None:
    """Removes the oldest entries. The folder may be one that the user has for other things, too."""
    folders = [folder for folder in root.iterdir() if _KEY.fullmatch(folder.name)]
    files = [path for folder in folders for path in folder.iterdir() if _ENTRY.fullmatch(path.name)]
    files += [path for folder in folders for path in folder.glob("jax/*") if path.is_file()]
    entries = [(path.stat().st_mtime, path.stat().st_size, path) for path in files]
    size = sum(each for _, each, _ in entries)
    for _, freed, path in sorted(entries):
        if size <= _LARGEST:
            return
        path.unlink(missing_ok=True)
        size -= freed
