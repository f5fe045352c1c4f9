"""The tables that a run read, as ExampleGen's executor found them. No TensorFlow."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.lineage.lineage_facts import DataFacts, FileFacts, SourceFacts
from models.errors import DataError, os_errors_as

TABLES_FILE = "tables.json"
"""In ExampleGen's `examples` and in the data gate's blessing, which reaches the Pusher without all rows."""


def table_facts(
    base: Path,
    patterns: Mapping[str, Sequence[str]],
    files: Mapping[str, Sequence[Path]],
    *,
    rows: Mapping[str, int],
    span: tuple[int, int | None] | None = None,
) -> DataFacts:
    """The facts of the tables.

    Args:
        base: the folder to which relative paths are relative.
        patterns: by key ("path", "train"), as configured; `files`: what they meant.
        rows: of each split.
        span: number and version of the span, if a pattern has one.

    Raises:
        DataError: a file cannot be read.
    """
    return DataFacts(
        folder=str(base),
        sources=[
            SourceFacts(key=key, patterns=list(given), files=[file_facts(path, base) for path in files[key]])
            for key, given in patterns.items()
        ],
        span=None if span is None else span[0],
        version=None if span is None else span[1],
        rows=dict(rows),
    )


def file_facts(path: Path, base: Path) -> FileFacts:
    """Path, size and digest of a file.

    Raises:
        DataError: it cannot be read.
    """
    with os_errors_as(DataError, f"{path} cannot be read"), path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        size = stream.seek(0, 2)
    shown = path.relative_to(base) if path.is_relative_to(base) else path
    return FileFacts(path=str(shown), bytes=size, sha256=digest)
