"""Finds a project's configuration: the named file, or transom.yaml in the named or the current folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from models.errors import ConfigError

FILE_NAME = "transom.yaml"
TABLE_ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
"""Endings that certainly mean a table; a .json file is usually something else."""
_YAML = (".yaml", ".yml")


def find_project_file(given: Path | None) -> Path:
    """The configuration file of a command. If it was not named, its path is printed on standard error.

    Args:
        given: a file, a folder that holds transom.yaml, or None for the current folder.

    Raises:
        ConfigError: there is none. (A named file is not checked here.)
    """
    if given is not None and not given.is_dir():
        return given
    folder = given or Path()
    file = folder / FILE_NAME
    if not file.is_file():
        raise ConfigError(
            f"no {FILE_NAME} in {folder.absolute()}",
            got=_listed(folder),
            expected=f"a project's configuration: name its file or folder, or change to the folder of {FILE_NAME}",
            fix=_advice(folder),
        )
    print(f"using {file.absolute()}", file=sys.stderr)
    return file


def _advice(folder: Path) -> str:
    for parent in folder.absolute().parents:
        if (parent / FILE_NAME).is_file():
            return f"did you mean {_shown(parent / FILE_NAME)}?"
    below = _files(folder, *_YAML) or [child / FILE_NAME for child in _folders(folder) if (child / FILE_NAME).is_file()]
    if len(below) == 1:
        return f"did you mean {_shown(below[0])}?"
    tables = _files(folder, *TABLE_ENDINGS)
    return f"`transom init {_shown(tables[0]) if tables else 'YOUR_TABLE'}` writes one"


def _shown(path: Path) -> str:
    """The shorter of a path's two forms."""
    return min(str(path), os.path.relpath(path), key=len)


def _files(folder: Path, *endings: str) -> list[Path]:
    return [path for path in _entries(folder) if path.suffix.lower() in endings and path.is_file()]


def _folders(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_dir()]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


def _listed(folder: Path) -> str:
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        return error.strerror or str(error)
    if not names:
        return "an empty folder"
    more = f" and {len(names) - 8:,} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more
