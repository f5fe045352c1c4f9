"""Shards: what they hold, and that their number changes nothing but the files."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import pytest

from components import gathered
from components.config import DataConfig
from components.data.formats.readers import open_table
from components.data.rows import Record, records
from components.data.splits import sources, split_names
from components.data.text_keys import TextReading
from components.gathered import Gatherer
from components.tables_to_examples import plan_shards, write_examples
from components.tf_examples import from_examples, read_batches
from models.config import TaskConfig
from models.errors import DataError


@pytest.fixture(autouse=True)
def forked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Has small tables be worth several processes, also where TensorFlow has computed in this one: reading a table does
    not. Holds the number of processes of each time that some were forked."""
    counts: list[int] = []
    run_forked = gathered._run_forked

    def run(shares: Any, *arguments: Any) -> None:
        counts.append(len(shares))
        run_forked(shares, *arguments)

    monkeypatch.setattr(gathered, "_WORTH_BYTES", 1)
    monkeypatch.setattr(gathered, "can_fork", lambda: sys.platform == "linux")
    monkeypatch.setattr(gathered, "_run_forked", run)
    return counts


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("text", "label"), *rows])
    return path


def run(
    folder: Path,
    paths: list[Path],
    *,
    size: int,
    task: TaskConfig | None = None,
    reading: TextReading | None = None,
    workers: int = 1,
) -> dict[str, list[Path]]:
    """Writes the examples of tables into a folder; returns the files of each split."""
    data, task = DataConfig(path=[str(path) for path in paths]), task or TaskConfig()
    (source,) = sources(data)
    targets = {name: str(folder / name) for name in split_names(data)}
    shards = plan_shards([(source, path) for path in paths], "auto", task, size)
    counts = write_examples(
        shards, "auto", task, reading, targets, Gatherer(str(folder / "temporary"), workers=workers)
    )
    files = {name: sorted(Path(target).iterdir()) for name, target in targets.items()}
    assert counts == {name: sum(map(len, read_batches(list(map(str, paths))))) for name, paths in files.items()}
    return files


def rows_of(files: dict[str, list[Path]]) -> dict[str, list[Record]]:
    return {
        name: [
            row for batch in read_batches(list(map(str, paths))) for row in from_examples(batch, TaskConfig()).records()
        ]
        for name, paths in files.items()
    }


def tables(folder: Path) -> list[Path]:
    large = [(f"text {number}, the long one\nof two lines", "ab"[number % 2]) for number in range(2000)]
    small = [[(f"text {number} of {table}", "a")] * 2 for number in range(3) for table in range(2)]
    return [write(folder / "large.csv", large), *(write(folder / f"{i}.csv", rows) for i, rows in enumerate(small))]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_large_table_is_divided_and_small_ones_are_read_together(
    tmp_path: Path, workers: int, forked: list[int]
) -> None:
    paths = tables(tmp_path)
    whole = rows_of(run(tmp_path / "whole", paths, size=10**9))
    files = run(tmp_path / "parts", paths, size=10_000, workers=workers)
    assert forked == ([3] if workers == 3 and sys.platform == "linux" else [])
    assert all(len(names) > 5 for names in files.values())
    assert rows_of(files) == whole
    shards = plan_shards([(sources(DataConfig(path="x"))[0], path) for path in paths], "auto", TaskConfig(), 10_000)
    assert [part.path.name for part in shards[-1]] == [f"{number}.csv" for number in range(6)]


@pytest.mark.parametrize("workers", [1, 3])
def test_any_number_of_shards_keeps_the_same_row_of_each_text(tmp_path: Path, workers: int, forked: list[int]) -> None:
    rows = [(f"{'Same' if number % 2 else 'same'} text {number % 700}", "ab"[number % 2]) for number in range(2000)]
    paths = [write(tmp_path / "t.csv", rows), write(tmp_path / "more.csv", rows[:500])]
    whole = rows_of(run(tmp_path / "whole", paths, size=10**9, reading=TextReading()))
    assert sum(map(len, whole.values())) == 700
    parts = run(tmp_path / "parts", paths, size=5000, reading=TextReading(), workers=workers)
    assert rows_of(parts) == whole
    assert forked == ([3, 3] if workers == 3 and sys.platform == "linux" else [])


def test_a_bad_row_in_any_part_is_named_by_its_place_in_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [(f"text {number}", "a") for number in range(3000)])
    for line in ("text,a,b\n", "text,\n", '"text,a\n', "b\xe4d\xff,a\n"):
        bad = tmp_path / "bad.csv"
        bad.write_bytes(path.read_bytes() + line.encode("latin-1"))
        with pytest.raises(DataError) as expected:
            list(records(open_table(bad), TaskConfig()))
        with pytest.raises(DataError) as found:
            run(tmp_path / "bad", [bad], size=5000)
        assert str(found.value) == str(expected.value)
        assert "3,001" in str(found.value)


@pytest.mark.parametrize("workers", [1, 3])
def test_of_several_bad_tables_the_first_is_named(tmp_path: Path, workers: int, forked: list[int]) -> None:
    good = [(f"text {number}", "a") for number in range(3000)]
    paths = [write(tmp_path / f"{number}.csv", good) for number in range(6)]
    for number in (2, 3, 5):  # the last row of the first is bad, and the first row of the others
        rows = [*good, ("text", "")] if number == 2 else [("text", ""), *good]
        write(paths[number], rows)
    with pytest.raises(DataError, match=r"2\.csv"):
        run(tmp_path / "bad", paths, size=5000, workers=workers)
    assert forked == ([3] if workers == 3 and sys.platform == "linux" else [])


def test_the_numbers_of_a_column_are_understood_together(tmp_path: Path) -> None:
    """Only the last row tells what "1,500" means, so the table is one shard."""
    path = write(tmp_path / "t.csv", [(f"text {number}", "1,500") for number in range(500)] + [("last", "2.5")])
    task = TaskConfig(type="regression")
    assert {name: len(files) for name, files in run(tmp_path, [path], size=100, task=task).items()} == {
        "train": 1,
        "eval": 1,
        "test": 1,
    }


def test_an_error_has_a_chain_of_causes_that_ends(tmp_path: Path) -> None:
    """The runner looks through the causes of every error: a whole file's error must not cause itself."""
    path = write(tmp_path / "t.csv", [("a", "x"), ("b", "")])
    with pytest.raises(DataError, match="no label in 1 of 2 rows") as caught:
        run(tmp_path, [path], size=10**9)
    chain, error = [], caught.value
    while error is not None:
        assert error not in chain
        chain.append(error)
        error = error.__cause__ or error.__context__
