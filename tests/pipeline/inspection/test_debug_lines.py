"""What a debug run prints."""

from __future__ import annotations

from typing import Any

from models.training.inspection.debug_training import DebugStep
from pipeline.inspection.debug_lines import row_lines, step_lines


def _row(text: str, *, bad: bool = False, pair: str | None = None, label: Any = "pos", line: Any = 7) -> dict[str, Any]:
    places = [{"file": "/data/reviews.csv", "row": 5, "line": line}] if line != "none" else []
    return {"text": text, "text_pair": pair, "label": label, "places": places, "not_finite": bad}


def test_steps_are_a_table_of_eighty_columns() -> None:
    path = "encoder/transformer_layer_0/self_attention_layer/query"
    steps = [DebugStep(n, 16, 0.6931, 1.25, 1e-4, 1234.5, path, 0.5, "w", 0.25) for n in (9, 10)]
    note, titles, *lines = step_lines(steps)
    assert "finite" in note
    assert titles.split()[:2] == ["step", "loss"]
    assert [line.split()[0] for line in lines] == ["9", "10"]
    assert "0.6931" in lines[0]
    assert lines[0].endswith("…lf_attention_layer/query")
    assert max(map(len, [note, titles, *lines])) <= 76, "a step's lines are indented by four"
    assert list(step_lines([])) == []


def test_the_rows_that_have_it_come_first_and_are_marked() -> None:
    head, first, *rest = row_lines({"rows": [_row("fine"), _row("broken " * 30, bad=True), _row("too")]})
    assert head.startswith("the batch's 3 rows (>")
    assert first.startswith('> pos: "broken broken')
    assert first.endswith('…"  reviews.csv, line 7')
    assert len(first) <= 80
    assert rest == ['  pos: "fine"  reviews.csv, line 7', '  pos: "too"  reviews.csv, line 7']


def test_rows_are_not_marked_if_all_have_it_or_none_is_known() -> None:
    for bad in (True, False):
        head, *lines = row_lines({"rows": [_row("a", bad=bad), _row("b", bad=bad)]})
        assert head == "the batch's 2 rows"
        assert all(line.startswith("  pos") for line in lines)


def test_labels_pairs_and_places_of_all_kinds() -> None:
    rows = [
        _row("a", pair="b", label=["x", "y"], line=None),
        _row("a", label=[], line="none"),
        _row("a", label=1e30),
        _row("a", label="\x1b[31mred\n"),
    ]
    _, *lines = row_lines({"rows": rows})
    assert lines[0] == '  x, y: "a" | "b"  reviews.csv, row 5'
    assert lines[1] == '  no label: "a"'
    assert lines[2].startswith('  1e+30: "a"')
    assert lines[3].startswith("  \\x1b[31mred\\n: ")


def test_a_large_batch_is_cut() -> None:
    *_, last = row_lines({"rows": [_row("a") for _ in range(100)]})
    assert last == "  and 68 more: debug.stopped.rows in run.json"
    assert list(row_lines({"rows": []})) == []
