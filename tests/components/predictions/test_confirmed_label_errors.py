"""The rows of suspects are found without reading more of a split than needed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from components.baselines.label_errors import LabelError
from components.baselines.text_rows import record_key
from components.data.rows import Record
from components.predictions import confirmed_label_errors
from components.tf_examples import from_example, to_example
from models.config import TaskConfig

RECORDS = [Record(f"text {number}", None, ("a",), None, {}) for number in range(9)]


def suspect(record: Record) -> LabelError:
    return LabelError("test", record_key(record), record.text, None, ("a",), ("b",), 0.01, usual=0.5)


def test_a_split_is_read_until_all_suspects_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    task, read = TaskConfig(), list[str]()

    def read_split(examples: Any, split: str) -> Iterator[bytes]:
        for record in RECORDS:
            read.append(record.text)
            yield to_example(record, task)

    monkeypatch.setattr(confirmed_label_errors, "read_split", read_split)
    rows = confirmed_label_errors._rows(None, "test", [suspect(RECORDS[3]), suspect(RECORDS[1])], task)
    assert [from_example(row, task).text for row in rows] == ["text 3", "text 1"]
    assert read == [f"text {number}" for number in range(4)]
    assert confirmed_label_errors._rows(None, "test", [], task) == []
    assert len(read) == 4
