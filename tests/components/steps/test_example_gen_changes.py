"""Tables to which somebody writes while they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from example_gen_runs import Project, write_csv

from components.config import DataConfig
from components.steps import example_gen as example_gen_step
from models.errors import DataError


@pytest.mark.parametrize("change", ["grows", "shrinks", "another"])
def test_a_table_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    project = Project(tmp_path)
    path = write_csv(project.folder / "t.csv", [(f"text {number}", "ab"[number % 2]) for number in range(100)])
    write_examples = example_gen_step.write_examples

    def write_and_change(*arguments: Any) -> dict[str, int]:
        counts = write_examples(*arguments)
        content = path.read_bytes()
        if change == "grows":
            path.write_bytes(content + b"one more,a\r\n")
        elif change == "shrinks":
            path.write_bytes(content[: content.rindex(b"text")])
        else:
            write_csv(project.folder / "u.csv", [("text", "a")])
        return counts

    monkeypatch.setattr(example_gen_step, "write_examples", write_and_change)
    with pytest.raises(DataError, match=r"data: \*\.csv changed while being read") as caught:
        project.run(DataConfig(path="*.csv"))
    assert caught.value.fix == "run again when they are complete"
    monkeypatch.undo()
    assert sum(map(len, project.run(DataConfig(path="*.csv")).values())) == (99 if change == "shrinks" else 101)
