"""How much room a run needs: as much as the last one's results take, or an estimate before the first one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from models.errors import TransomError
from pipeline.doctor.finding import Project

# Rows as examples, as token ids, and as predictions.
_TABLES = 5
# The training's checkpoints with the optimizer's two moments, the SavedModel, the variants for the edge; both pushed.
_WEIGHTS = 8
_LEAST_BYTES = 100_000_000


@dataclass(frozen=True)
class DiskNeed:
    """Bytes that one more run may write.

    Attributes:
        why: for people.
        is_measured: not an estimate.
    """

    bytes: int
    why: str
    is_measured: bool


def disk_need(project: Project) -> DiskNeed:
    paths = project.paths
    last = sum(map(_size, _newest(paths.artifacts.glob("*/*/*"))))
    if last:
        last += sum(_size(folder) for base in (paths.push, paths.edge) for folder in _newest(base.glob("*")))
        return DiskNeed(last, "as the last one's results", True)
    tables, weights = _table_bytes(project), _preset_bytes(project)
    return DiskNeed(_LEAST_BYTES + _TABLES * tables + _WEIGHTS * weights, "an estimate", False)


def _newest(folders: Iterable[Path]) -> Iterator[Path]:
    """Of the numbered folders with the same parent, the one with the highest number."""
    newest: dict[Path, int] = {}
    for folder in folders:
        if folder.name.isascii() and folder.name.isdecimal():
            newest[folder.parent] = max(newest.get(folder.parent, 0), int(folder.name))
    return (parent / str(number) for parent, number in newest.items())


def _size(folder: Path) -> int:
    """Bytes of the files in a folder, or of a file; those that cannot be seen do not count."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(path, name)).st_size
    return total


def _table_bytes(project: Project) -> int:
    from components.data.formats.files import find_files
    from components.data.splits import sources

    total = 0
    with contextlib.suppress(OSError, TransomError):  # the check of the tables tells what is wrong with them
        for source in sources(project.config.data):
            total += sum(path.stat().st_size for path in find_files(source.patterns, project.paths.base, source.key))
    return total


def _preset_bytes(project: Project) -> int:
    from models.presets.preset_files import resolve_preset
    from models.presets.preset_names import packaged_folder

    if project.config.model.type != "preset":
        return 0
    with contextlib.suppress(OSError, TransomError):
        preset = resolve_preset(project.config.model.preset, project.paths.base)
        folder = packaged_folder(preset) or Path(preset).expanduser()
        return sum(file.stat().st_size for file in folder.glob("*.safetensors")) or _size(folder)
    return 0
