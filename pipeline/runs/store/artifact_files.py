"""Records the files of each artifact, so that a later run can check that they are all still there. No TensorFlow."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from models.whole_writes import write_whole
from tflite.host.json_text import to_json

_FOLDER = ".files"


def record_files(artifacts: Path, number: int, folder: Path) -> None:
    """Records names and sizes of an artifact's files, once; `artifacts` is the folder of all artifacts."""
    target = artifacts / _FOLDER / f"{number}.json"
    if target.exists() or not folder.is_dir():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, to_json(_sizes(folder)))


def forget_all(artifacts: Path) -> None:
    """Removes all records: a new store gives the artifacts' numbers to others."""
    shutil.rmtree(artifacts / _FOLDER, ignore_errors=True)


def is_complete(artifacts: Path, number: int, folder: Path) -> bool:
    """Whether an artifact's files are all there, in their sizes; without a record, whether there is any file."""
    if not folder.is_dir():
        return False
    try:
        recorded = dict(json.loads((artifacts / _FOLDER / f"{number}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return bool(_sizes(folder))
    sizes = _sizes(folder)
    return all(sizes.get(name) == size for name, size in recorded.items())


def _sizes(folder: Path) -> dict[str, int]:
    return {
        os.path.relpath(os.path.join(place, name), folder): os.path.getsize(os.path.join(place, name))
        for place, _, names in os.walk(folder)
        for name in names
        if os.path.exists(os.path.join(place, name))
    }
