"""Repeated and contradicting rows, as `transom init` counts them."""

from __future__ import annotations

from pathlib import Path

import pytest
from inferred_tables import sentence, write_csv

from pipeline.cli import main
from pipeline.init import table_counts
from pipeline.init.new_project import infer


def test_repetitions_and_contradictions_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [[sentence(n), "ab"[n % 2]] for n in range(100)]
    rows += [[sentence(n), "ab"[n % 2]] for n in range(7)]  # the same
    rows += [[sentence(n).upper(), "ab"[n % 2]] for n in range(10, 13)]  # the same to an uncased vocabulary
    rows += [[sentence(20), "b"], [sentence(20), "a"]]  # 20 is an "a"
    assert main(["init", str(write_csv(tmp_path / "t.csv", ["text", "label"], rows))]) == 0
    printed = capsys.readouterr().out
    written = (tmp_path / "transom.yaml").read_text()
    for note in (
        "9 of 112 rows repeat another row's text, and 3 more but for case, accents or spaces: `data.dedupe",
        "3 of 112 rows have a text that other rows give another label",
    ):
        assert f"worth a look: {note}" in printed
        assert f"# - {note}" in written


def test_a_table_without_repetitions_says_nothing_of_them(tmp_path: Path) -> None:
    text = infer(write_csv(tmp_path / "t.csv", ["text", "label"], [[sentence(n), "ab"[n % 2]] for n in range(100)]))
    assert "repeat" not in text


def test_pairs_repeat_if_both_texts_do_and_numbers_may_differ(tmp_path: Path) -> None:
    rows = [[sentence(n % 50), sentence(-(n % 75)), n / 8] for n in range(150)] + [[sentence(0), sentence(0), 1.5]] * 2
    text = infer(write_csv(tmp_path / "t.csv", ["text_a", "text_b", "score"], rows))
    assert "2 of 152 rows repeat another row's pair of texts" in text
    assert "another label" not in text


def test_only_the_first_rows_of_a_large_table_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [[sentence(n % 60), "ab"[n % 2]] for n in range(200)]
    path = write_csv(tmp_path / "t.csv", ["text", "label"], rows)
    monkeypatch.setattr(table_counts, "_MOST_ROWS", 100)
    assert "40 of the first 100 rows repeat another row's text" in infer(path)


def test_rows_that_the_run_will_refuse_do_not_stop_the_count(tmp_path: Path) -> None:
    rows = [[sentence(n % 60), "" if n == 70 else "ab"[n % 2]] for n in range(200)]
    text = infer(write_csv(tmp_path / "t.csv", ["text", "label"], rows))
    assert "`transom run` will refuse these data" in text
    assert "rows repeat another row's text" in text
