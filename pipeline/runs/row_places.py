"""Where in the user's own files some rows are: those that are wrong, and those whose labels may be."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from components.baselines.text_rows import record_key
from components.data.formats.files import find_files
from components.data.formats.readers import open_table
from components.data.rows import records
from components.data.splits import sources
from models.errors import DataError
from pipeline.config import ProjectConfig

_MOST_ROWS = 300_000  # are read again: some ten seconds
_MOST_PLACES = 5  # of rows that have the same text and label


def add_places(rows: Iterable[dict[str, Any]], config: ProjectConfig, base: Path) -> None:
    """Gives each row `places` instead of its key, for each of its copies: file, row (from 1) and line (None in a
    file without lines).

    A row has none if it comes after the first 300,000, or if the files have changed since they were read.

    Args:
        rows: with `key` and `given`, as the Evaluator lists them; changed in place.
        base: the folder that relative paths are relative to.
    """
    wanted: dict[tuple[int, tuple[str, ...]], list[dict[str, Any]]] = {}
    for listed in rows:
        listed["places"] = wanted.setdefault((listed.pop("key", -1), tuple(listed.get("given", ()))), [])
    if not wanted:
        return
    left = _MOST_ROWS
    try:
        for source in sources(config.data):
            for path in find_files(source.patterns, base, f"data.{source.key}"):
                for row, record in records(open_table(path, config.data.format), config.task, limit=left):
                    left -= 1
                    places = wanted.get((record_key(record), record.labels))
                    if places is not None and len(places) < _MOST_PLACES:
                        places.append({"file": str(path), "row": row.number, "line": row.line})
    except (DataError, OSError):  # the files are changing: what was found so far may still help
        return
