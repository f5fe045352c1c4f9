"""Texts of a table on a terminal: none of them moves its cursor, changes its colours or splits a row."""

from __future__ import annotations

import io
from pathlib import Path

from rich.text import Text

from pipeline.paths import Paths
from pipeline.reports.run_tables import new_table, print_summary
from pipeline.runs.run_records import RunRecord
from pipeline.terminal.console import PlainConsole

HOSTILE = "a\x1b[31mred\x1b]0;title\x07 \u202eevil\x9b1m"
FORBIDDEN = ("\x1b", "\x07", "\x9b", "\u202e")


def test_a_cell_is_one_line_and_no_command() -> None:
    stream = io.StringIO()
    table = new_table("label", "n")
    table.add_row(f"{HOSTILE}\nsecond line", "1")
    table.add_row(Text("kept"), "2")
    console = PlainConsole(stream)
    console.print(table)
    console.say(f"a sentence about {HOSTILE}")
    text = stream.getvalue()
    assert not [one for one in FORBIDDEN if one in text]
    assert len(text.splitlines()) == 4
    assert "second line" in text
    assert "kept" in text


def test_a_runs_labels_slices_and_verdict_are_texts(tmp_path: Path) -> None:
    run, stream = RunRecord(name="1", status="pushed", started="", config={}), io.StringIO()
    metrics = {"accuracy": 0.9}
    run.verdict = HOSTILE
    run.evaluation = {
        "metrics": metrics,
        "rows": 9,
        "min_slice_size": 5,
        "per_label": {HOSTILE: {"f1": 0.5}, "other": {"f1": 0.2}},
        "slices": [{"column": "c", "slice": f"c={HOSTILE}", "value": HOSTILE, "rows": 7, "metrics": metrics}],
        "small_slices": [{"column": "c", "slice": f"c={HOSTILE}", "value": HOSTILE, "rows": 2}],
    }
    print_summary(run, Paths(tmp_path, tmp_path, tmp_path, tmp_path), stream, as_json=False)
    assert "evil" in stream.getvalue()
    assert not [one for one in FORBIDDEN if one in stream.getvalue()]
