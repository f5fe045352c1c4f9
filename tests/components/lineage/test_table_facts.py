"""The facts of tables."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from components.lineage.table_facts import file_facts, table_facts
from models.errors import DataError


def test_size_and_digest_are_those_of_the_content(tmp_path: Path) -> None:
    base = tmp_path / "project"
    base.mkdir()
    inside, outside = base / "t.csv", tmp_path / "u.csv"
    inside.write_bytes(b"text,label\r\n")
    outside.write_bytes(b"")
    facts = table_facts(
        base, {"train": ["t.csv"], "test": [str(outside)]}, {"train": [inside], "test": [outside]}, rows={"train": 1}
    )
    first, second = (source.files[0] for source in facts.sources)
    assert (first.path, first.bytes) == ("t.csv", 12)
    assert first.sha256 == hashlib.sha256(b"text,label\r\n").hexdigest()
    assert (second.path, second.bytes) == (str(outside), 0)
    assert (facts.span, facts.version, facts.rows) == (None, None, {"train": 1})


def test_a_file_that_is_gone_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t\.csv cannot be read"):
        file_facts(tmp_path / "t.csv", tmp_path)
