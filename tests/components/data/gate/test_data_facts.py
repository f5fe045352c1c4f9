"""The description of the data has a limited size, whatever the data are, and is plain JSON."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from components.config import GateConfig
from components.data.gate.counts import SplitFacts
from components.data.gate.data_facts import describe_data
from components.data.gate.drift import summarize
from components.data.gate.findings import Finding, raise_errors
from components.data.row_batches import RowBatch
from components.data.rows import Record
from models.config import TaskConfig
from models.errors import GateError
from tflite.host.json_text import to_json


def facts(records: list[Record], task: TaskConfig | None = None) -> SplitFacts:
    task = task or TaskConfig()
    found = SplitFacts("train", task)
    found.add(RowBatch.of_records(records, task))
    return found


def described(records: list[Record], task: TaskConfig | None = None) -> dict[str, Any]:
    split: dict[str, Any] = json.loads(to_json(describe_data({"train": facts(records, task)})))["splits"]["train"]
    return split


def test_labels_lengths_and_columns_of_a_split() -> None:
    records = [Record("x" * 10, None, ("spam",), None, {"source": "a"}), Record("", None, ("ham",), None, {})]
    found = described([*records, Record("yyyy", None, ("ham",), None, {"source": "b"})])
    assert found["rows"] == 3
    assert found["labels"]["most"] == [["ham", 2], ["spam", 1]]
    assert found["empty"] == {"text": 1}
    assert found["columns"] == {"source": 2}
    lengths = found["lengths"]["text"]
    assert sum(lengths["counts"]) == 3
    assert len(lengths["counts"]) == len(lengths["edges"]) + 1
    assert lengths["quantiles"][0] == 0
    assert lengths["quantiles"][-1] == 10


def test_twenty_thousand_labels_and_columns_take_little_room() -> None:
    others = {f"column {number}": "value" for number in range(500)}
    records = [
        Record("a", None, (f"l{number % 20_000}",), None, others if not number else {}) for number in range(20_100)
    ]
    found = described(records)
    assert found["labels"]["count"] == 20_000
    assert found["labels"]["most"][0] == ["l0", 2]
    assert len(found["labels"]["fewest"]) == 10
    assert sum(rows for _, rows in found["labels"]["most"]) + found["labels"]["other_rows"] == 20_100
    assert len(to_json(found)) < 10_000


@pytest.mark.parametrize("numbers", [[], [2.0], [1.0, 1.0], [0.5, float("nan"), 9.0]])
def test_numbers_few_or_none(numbers: list[float]) -> None:
    task = TaskConfig(type="regression")
    found = described([Record("a", None, (), number, {}) for number in numbers], task)["numbers"]
    finite = [number for number in numbers if number == number]
    assert sum(found["counts"]) == len(finite)
    assert found["quantiles"][:1] == ([min(finite)] if finite else [])


def test_every_compared_column_has_its_divergence() -> None:
    before = summarize(facts([Record("a" * 5, None, (label,), None, {}) for label in "ab" * 50]))
    after = facts([Record("a" * 5, None, ("a",), None, {}) for _ in range(100)])
    found = describe_data({"train": after}, before, 17)
    by_column = {one["column"]: one for one in found["drift"]}
    assert found["live_version"] == 17
    assert by_column["text"]["divergence"] == 0.0
    assert by_column["label"]["divergence"] > 0.2
    assert by_column["label"]["changes"][0].startswith(("a: ", "b: "))


def test_the_findings_of_a_stopped_run_survive_the_steps_process() -> None:
    finding = Finding("one_class", GateConfig().one_class, "train", "label", "one label")
    with pytest.raises(GateError) as caught:
        raise_errors([finding], {"splits": {}})
    error = pickle.loads(pickle.dumps(caught.value))
    assert error.findings[0]["rule"] == "one_class"
    assert error.data == {"splits": {}}
    assert str(error) == str(caught.value)
