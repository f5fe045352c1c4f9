"""The label's column, where its name does not tell, or tells wrong."""

from __future__ import annotations

from pathlib import Path

from inferred_tables import config_of, sentence, write_csv

from pipeline.init.new_project import infer


def test_the_label_among_ten_columns(tmp_path: Path) -> None:
    header = ["id", "created", "user", "land", "c5", "lang", "quelle", "url", "likes", "c10"]

    def row(n: int) -> list[object]:
        left = [n, f"2024-01-{n % 28 + 1:02}", f"u{n % 50}", "ABCD"[n % 4], sentence(n)]
        return [*left, "en", "xyz"[n % 3], f"http://a.b/{n}", n % 99, "ab"[n % 2]]

    task = config_of(infer(write_csv(tmp_path / "t.csv", header, [row(n) for n in range(300)]))).task
    assert (task.text, task.text_pair, task.label) == ("c5", None, "c10")


def test_dates_are_no_labels_unless_nothing_else_is(tmp_path: Path) -> None:
    rows = [[sentence(n), f"2024-01-0{n % 2 + 1}", "xyz"[n % 3]] for n in range(90)]
    assert config_of(infer(write_csv(tmp_path / "t.csv", ["text", "seen", "kind"], rows))).task.label == "kind"
    text = infer(write_csv(tmp_path / "u.csv", ["text", "label"], [row[:2] for row in rows]))
    assert config_of(text).task.label == "label"
    assert "the labels look like dates, such as 2024-01-01: is 'label' the label?" in text


def test_a_column_called_label_with_one_value_is_mentioned(tmp_path: Path) -> None:
    rows = [[sentence(n), "x", "ab"[n % 2]] for n in range(90)]
    text = infer(write_csv(tmp_path / "t.csv", ["text", "label", "place"], rows))
    assert config_of(text).task.label == "place"
    assert "column 'label' has the same value in all rows, so 'place' is taken for the label" in text


def test_a_large_table_that_is_sorted_by_label(tmp_path: Path) -> None:
    """Beyond the rows that are examined one by one, every tenth is."""
    rows = [[n, sentence(n), "a" if n < 20_000 else "b"] for n in range(30_000)]
    text = infer(write_csv(tmp_path / "t.csv", ["nr", "c2", "c3"], rows))
    assert config_of(text).task.label == "c3"
    assert "after looking at 12,000 of the 30,000 rows" in text
    assert "2 labels, with their rows: a 20,000, b 10,000" in text
