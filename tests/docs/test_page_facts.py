"""What pages say in tables of their own is what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from components.report import report_page
from models import errors
from models.errors import TransomError
from pipeline.runs.interruption import INTERRUPTED
from pipeline.runs.run_records import RunRecord


def _rows(page: Path) -> list[list[str]]:
    """The cells of all tables' rows."""
    lines = re.findall(r"^\| (.+?) \|$", page.read_text(encoding="utf-8"), re.M)
    return [[cell.strip() for cell in re.split(r"\s\|\s", line)] for line in lines]


def _kinds(kind: type[TransomError]) -> set[type[TransomError]]:
    return {kind, *(each for below in kind.__subclasses__() for each in _kinds(below))}


def test_the_exit_codes_are_those_of_the_errors(repository: Path) -> None:
    listed = [int(cells[0]) for cells in _rows(repository / "docs" / "exit-codes.md") if cells[0].isdecimal()]
    kinds = {kind for kind in _kinds(TransomError) if kind.__module__ in (errors.__name__, "tflite.host.errors")}
    assert listed == sorted({0, INTERRUPTED, *(kind.exit_code for kind in kinds)})


def test_the_report_has_the_sections_that_the_page_lists(repository: Path) -> None:
    listed = _rows(repository / "docs" / "report.md")[1:]
    assert listed == [[title, question] for _, title, question, _ in report_page._SECTIONS]


def test_the_record_has_the_keys_that_the_page_lists(repository: Path) -> None:
    text = (repository / "docs" / "output-folder.md").read_text(encoding="utf-8")
    listed = re.findall(r"`(\w+)`", text.partition("shows and more: ")[2].partition("A metric")[0])
    assert len(listed) > 10
    assert [name for name in listed if name not in RunRecord.__dataclass_fields__] == []


def test_the_signatures_are_those_of_the_export(repository: Path) -> None:
    listed = {
        name for cells in _rows(repository / "docs" / "output-folder.md") for name in re.findall(r"`(\w+)`", cells[0])
    }
    source = (repository / "models" / "saved" / "serving_module.py").read_text(encoding="utf-8")
    assert {"serving_default", "tf_example", "token_ids"} <= listed
    assert [name for name in sorted(listed) if f'"{name}"' not in source] == []
