"""docs/tasks.md: `transom init` recognizes each of its tables as the task that the page says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from documents import REPOSITORY, blocks

from pipeline.init.new_project import write

BLOCKS = blocks(REPOSITORY / "docs" / "tasks.md")
TABLES = [text for language, text in BLOCKS if language == "csv"]
TASKS = [yaml.safe_load(text)["task"] for language, text in BLOCKS if language == "yaml"]


def test_every_task_has_a_table() -> None:
    assert len(TABLES) == len(TASKS) == 4
    assert {task["type"] for task in TASKS} == {"single_label", "multi_label", "regression"}


@pytest.mark.parametrize(("table", "task"), list(zip(TABLES, TASKS, strict=True)), ids=lambda each: str(each)[:12])
def test_init_recognizes_the_task(table: str, task: dict[str, object], tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text(table, encoding="utf-8")
    written = yaml.safe_load(write(file).read_text(encoding="utf-8"))["task"]
    assert written == {key: value for key, value in task.items() if key != "threshold"}
