"""Finds the tables of a lineage again, and checks that they have the same contents. No TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.data.formats.files import abbreviate, find_files, patterns_of
from components.lineage.lineage_facts import DataFacts, FileFacts, SourceFacts
from components.lineage.table_facts import file_facts
from models.errors import DataError

_MOST = 10


def find_data(facts: DataFacts, base: Path, given: Mapping[str, Any]) -> dict[str, list[str]]:
    """The keys of `data` that name the tables where they are now, as absolute paths.

    Args:
        base: the folder that takes the place of `facts.folder`.
        given: keys of `data` that the user has set: they name the tables instead.

    Raises:
        DataError: a table is not there, or has other contents than the model was trained on.
    """
    found: dict[str, list[str]] = {}
    wrong: list[str] = []
    for source in facts.sources:
        if source.key in given:
            files = find_files(given[source.key], base, f"data.{source.key}")
            found[source.key] = [_absolute(pattern, base) for pattern in patterns_of(given[source.key])]
        else:
            found[source.key], files = _recorded(source, base)
        wrong += _differences(source, files)
    if wrong:
        more = f"; and {len(wrong) - _MOST:,} more" if len(wrong) > _MOST else ""
        raise DataError(
            "the tables are not those that the model was trained on",
            got="; ".join(wrong[:_MOST]) + more,
            expected="the same contents, by their SHA-256 in the lineage",
            fix="name the folder that has them with --data FOLDER, or the files with --set data.path=FILE",
        )
    return found


def _recorded(source: SourceFacts, base: Path) -> tuple[list[str], list[Path]]:
    """The patterns of a source and their files; where they now mean others, the files by themselves."""
    recorded = [base / file.path for file in source.files]
    patterns = [_absolute(pattern, base) for pattern in source.patterns]
    try:
        if find_files(tuple(patterns), base) == recorded:
            return patterns, recorded
    except DataError:  # the comparison of the files says what is missing
        pass
    return [str(path) for path in recorded], recorded


def _absolute(pattern: str, base: Path) -> str:
    return pattern if pattern.startswith("~") else os.path.join(base, pattern)


def _differences(source: SourceFacts, files: Sequence[Path]) -> list[str]:
    if len(files) != len(source.files):
        names = abbreviate([file.path for file in source.files])
        return [f"data.{source.key} means {len(files)} files, and meant {len(source.files)} ({names})"]
    found = [_difference(path, file) for path, file in zip(files, source.files, strict=True)]
    return [text for text in found if text]


def _difference(path: Path, recorded: FileFacts) -> str:
    if not path.is_file():
        return f"{path} is not there"
    # The names do not decide the rows, the order of the files does.
    found = file_facts(path, path.parent)
    if found.sha256 == recorded.sha256:
        return ""
    if found.bytes != recorded.bytes:
        return f"{path} has {found.bytes:,} bytes instead of {recorded.bytes:,}"
    return f"{path} has as many bytes, but other contents"
