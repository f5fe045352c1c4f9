"""The tables of a lineage, found again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from written_lineages import lineage

from components.lineage.lineage_facts import DataFacts
from models.errors import DataError
from pipeline.lineage.data_check import find_data


def test_unchanged_tables_keep_their_patterns(tmp_path: Path) -> None:
    data = lineage(tmp_path, "a/1.csv", "a/2.csv", patterns=["a/*.csv"]).data
    assert find_data(data, tmp_path, {}) == {"path": [str(tmp_path / "a" / "*.csv")]}


def test_a_glob_that_means_more_now_is_replaced_by_its_files(tmp_path: Path) -> None:
    data = lineage(tmp_path, "a/1.csv", "a/3.csv", patterns=["a/*.csv"]).data
    (tmp_path / "a" / "2.csv").write_text("text,label\n")
    assert find_data(data, tmp_path, {}) == {"path": [str(tmp_path / "a" / name) for name in ("1.csv", "3.csv")]}


def test_a_span_is_the_one_that_it_was(tmp_path: Path) -> None:
    data = lineage(tmp_path, "day-1/t.csv", patterns=["day-{SPAN}/t.csv"]).data
    (tmp_path / "day-2").mkdir()
    shutil.copy(tmp_path / "day-1" / "t.csv", tmp_path / "day-2")
    assert find_data(data, tmp_path, {}) == {"path": [str(tmp_path / "day-1" / "t.csv")]}


def test_tables_that_were_moved_are_found_in_the_given_folder(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new [v2]"
    data = lineage(old, "a/1.csv", "a/2.csv", patterns=[str(old / "a" / "*.csv")]).data
    old.rename(new)
    with pytest.raises(DataError, match="not those that the model was trained on") as caught:
        find_data(data, old, {})
    assert "1.csv is not there" in caught.value.got
    assert "--data" in caught.value.fix
    assert find_data(data, new, {}) == {"path": [str(new / "a" / "1.csv"), str(new / "a" / "2.csv")]}


def test_a_given_file_may_have_any_name_but_not_other_contents(tmp_path: Path) -> None:
    data = lineage(tmp_path).data
    shutil.copy(tmp_path / "t.csv", tmp_path / "renamed.csv")
    assert find_data(data, tmp_path, {"path": "renamed.csv"}) == {"path": [str(tmp_path / "renamed.csv")]}
    (tmp_path / "other.csv").write_text("text,label\n")
    with pytest.raises(DataError) as caught:
        find_data(data, tmp_path, {"path": "other.csv"})
    assert "other.csv has 11 bytes instead of" in caught.value.got
    with pytest.raises(DataError, match="no file matches"):
        find_data(data, tmp_path, {"path": "absent.csv"})


def test_each_table_that_differs_is_named(tmp_path: Path) -> None:
    data = lineage(tmp_path, "1.csv", "2.csv", "3.csv").data
    (tmp_path / "1.csv").unlink()
    content = (tmp_path / "3.csv").read_bytes()
    (tmp_path / "3.csv").write_bytes(content[::-1])
    with pytest.raises(DataError) as caught:
        find_data(data, tmp_path, {})
    assert f"{tmp_path / '1.csv'} is not there" in caught.value.got
    assert f"{tmp_path / '3.csv'} has as many bytes, but other contents" in caught.value.got
    assert "2.csv" not in caught.value.got


def test_another_number_of_files_is_a_difference(tmp_path: Path) -> None:
    data = lineage(tmp_path, "1.csv", "2.csv").data
    with pytest.raises(DataError) as caught:
        find_data(data, tmp_path, {"path": ["1.csv"]})
    assert "data.path means 1 files, and meant 2 (1.csv, 2.csv)" in caught.value.got


def test_the_order_of_the_files_counts(tmp_path: Path) -> None:
    data = lineage(tmp_path, "1.csv", "2.csv").data
    with pytest.raises(DataError):
        find_data(data, tmp_path, {"path": ["2.csv", "1.csv"]})


def test_no_tables_are_found_for_none(tmp_path: Path) -> None:
    assert find_data(DataFacts(), tmp_path, {}) == {}
