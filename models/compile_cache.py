"""What TensorFlow has traced and XLA has compiled is kept, so that a later process need not do it again.

CACHE/
  0123456789abcdef/        for one version of TensorFlow, one kind of processor, and the settings that matter
    graph-KEY.zip          a function as a graph, or the graph of a SavedModel
    compiled-NAME.zip      XLA's machine code of a function
    jax/                   JAX's own cache, for a training on JAX

CACHE is $TRANSOM_COMPILE_CACHE ("off": no cache), or transom/compiled in the user's cache. An entry is a whole file
with checksums: a damaged one is removed. XLA itself fails at a damaged entry and where it cannot write, so it has a
folder of this process, which gets what a function needs before it runs for the first time. Standard library only.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from models.runtime import cpu_identity, usable_cores

VARIABLE, OFF = "TRANSOM_COMPILE_CACHE", "off"
_FLAGS, _OPTION = "TF_XLA_FLAGS", "--tf_xla_persistent_cache_directory"
# An entry is found by its program; a GPU's machine code also depends on the GPU.
_CPU_ONLY = "--tf_xla_persistent_cache_device_types=CPU"
_LARGEST, _ROOM = 500_000_000, 1_000_000_000  # bytes of all entries; and free ones, without which nothing is kept
_DIGITS = 16
_KEY, _ENTRY = re.compile(rf"[0-9a-f]{{{_DIGITS}}}"), re.compile(r"(graph|compiled)-\w+\.zip")


class CompileCache:
    """The cache of this process. XLA reads its place once, so there is one for all trainings of a process.

    Args:
        shared: folder of the entries that all processes share.
        private: folder that XLA uses.
    """

    def __init__(self, shared: Path, private: Path) -> None:
        self._shared, self._private = shared, private

    def graph(self, key: str) -> dict[str, bytes] | None:
        """The files that `keep_graph` was given; None without them, or if they are damaged."""
        return self._read(self._shared / f"graph-{key}.zip")

    def keep_graph(self, key: str, files: Mapping[str, bytes]) -> None:
        """Keeps files, if there is room."""
        self._write(self._shared / f"graph-{key}.zip", files)

    @contextlib.contextmanager
    def compiling(self, name: str) -> Iterator[None]:
        """Around the first run of a function: XLA finds its machine code, or what it compiles is kept.

        Args:
            name: of the function, which depends on nothing but what the function does.
        """
        entry = self._shared / f"compiled-{name}.zip"
        known = self._read(entry) or {}
        for file, content in known.items():
            if Path(file).name == file and not (self._private / file).exists():
                copy = self._private / f".{file}"  # XLA sees it only when it is whole
                copy.write_bytes(content)
                copy.replace(self._private / file)
        before = set(self._private.iterdir())
        yield
        if new := sorted(set(self._private.iterdir()) - before):
            self._write(entry, {**known, **{file.name: file.read_bytes() for file in new}})

    def _read(self, entry: Path) -> dict[str, bytes] | None:
        try:
            with zipfile.ZipFile(entry) as archive:
                files = {name: archive.read(name) for name in archive.namelist()}
            os.utime(entry)  # what is used stays
            return files
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile):
            with contextlib.suppress(OSError):
                entry.unlink()
            return None

    def _write(self, entry: Path, files: Mapping[str, bytes]) -> None:
        with contextlib.suppress(OSError):  # a full disk
            handle, temporary = tempfile.mkstemp(prefix=".", dir=self._shared)
            try:
                with os.fdopen(handle, "wb") as stream, zipfile.ZipFile(stream, "w") as archive:
                    for name, content in files.items():
                        archive.writestr(name, content)
                os.replace(temporary, entry)
            finally:
                Path(temporary).unlink(missing_ok=True)
            _shrink(self._shared.parent)


_used: CompileCache | None = None


def current() -> CompileCache | None:
    """The cache of this process, if it has one."""
    return _used


def use(onednn: str, new_folder: Callable[[], Path]) -> bool:
    """Gives this process a cache. To be called before TensorFlow is loaded.

    Args:
        onednn: `TrainConfig.onednn`.
        new_folder: makes a folder of this process, which is there until it ends.

    Returns:
        Whether it has one: not if it is switched off, if `TF_XLA_FLAGS` names another, if no folder can be used or a
        disk is nearly full, or on another system than Linux, which does not tell the processor's features.
    """
    global _used
    if _used is not None:
        return True
    flags, shared, temporary = os.environ.get(_FLAGS, ""), _folder(onednn), Path(tempfile.gettempdir())
    # A space would end the flag.
    if shared is None or _OPTION in flags or sys.platform != "linux" or re.search(r"\s", str(temporary)):
        return False
    try:
        shared.mkdir(mode=0o700, parents=True, exist_ok=True)
        places = (shared, temporary)
        if not os.access(shared, os.W_OK) or min(shutil.disk_usage(place).free for place in places) < _ROOM:
            return False
        private = new_folder() / "compiled"
        private.mkdir()
    except OSError:
        return False
    _used = CompileCache(shared, private)
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
    settings = [onednn, str(usable_cores()), *(os.environ.get(name, "") for name in names)]
    key = "\n".join((importlib.metadata.version("tensorflow"), cpu_identity(), *settings))
    return root / hashlib.sha256(key.encode()).hexdigest()[:_DIGITS]


def _shrink(root: Path) -> None:
    """Removes the entries that were used least recently. The folder may be one that the user has for other things."""
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
