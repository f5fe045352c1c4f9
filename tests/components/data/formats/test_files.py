"""Which files a configuration names."""

from __future__ import annotations

from pathlib import Path

import pytest
from tfx.components.example_gen import utils
from tfx.proto import example_gen_pb2

from components.data.formats.files import abbreviate, contents_digest, find_files, format_of, newest_span
from models.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.csv", "a.csv", "sub/c.csv", "odd[1].csv", ".hidden.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text,label\n")
    return tmp_path


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (None, []),
        ("a.csv", ["a.csv"]),
        (("b.csv", "a.csv"), ["b.csv", "a.csv"]),
        ("*.csv", ["a.csv", "b.csv", "odd[1].csv"]),
        ("**/*.csv", ["a.csv", "b.csv", "odd[1].csv", "sub/c.csv"]),
        (("b.csv", "*.csv", "sub/../a.csv"), ["b.csv", "sub/../a.csv", "odd[1].csv"]),
        ("odd[1].csv", ["odd[1].csv"]),
    ],
)
def test_patterns(folder: Path, files: str | tuple[str, ...] | None, found: list[str]) -> None:
    assert [str(path.relative_to(folder)) for path in find_files(files, folder)] == found


@pytest.mark.parametrize("name", ["project [v2]", "what?", "all*", "données 中 (1)", "[ab]", "~x"])
def test_a_folder_name_is_not_a_pattern(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / name
    for path in (
        "part-0.csv",
        "part-1.csv",
        f"{name}/part-2.csv",
        "span-2/t.csv",
        "span-10/t.csv",
        f"{name}/007/t.csv",
    ):
        (base / path).parent.mkdir(parents=True, exist_ok=True)
        (base / path).write_text("text,label\n")
    assert find_files("part-*.csv", base) == [base / "part-0.csv", base / "part-1.csv"]
    assert find_files("part-[1].csv", base) == [base / "part-1.csv"]
    assert find_files(f"{name}/part-?.csv", base) == [base / name / "part-2.csv"]
    assert find_files(f"./{name}/../{name}/*.csv", base) == [base / name / ".." / name / "part-2.csv"]
    assert find_files(str(base / "part-*.csv"), Path("/nowhere")) == [base / "part-0.csv", base / "part-1.csv"]
    assert newest_span("span-{SPAN}/t.csv", base) == "span-10/t.csv"
    assert find_files("./span-{SPAN}/*.csv", base) == [base / "span-10" / "t.csv"]
    assert find_files(f"{name}/{{SPAN}}/t.csv", base) == [base / name / "007" / "t.csv"]
    monkeypatch.setenv("HOME", str(base))
    assert find_files("~/part-*.csv", Path("/nowhere")) == [base / "part-0.csv", base / "part-1.csv"]
    assert newest_span("~/span-{SPAN}/t.csv", tmp_path) == "~/span-10/t.csv"
    assert find_files("~/span-{SPAN}/t.csv", tmp_path) == [base / "span-10" / "t.csv"]


def test_names_that_look_the_same_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "donne\u0301es").mkdir()
    path = tmp_path / "donne\u0301es" / "cafe\u0301.csv"
    path.touch()
    assert find_files("donn\u00e9es/caf\u00e9.csv", tmp_path) == [path]
    with pytest.raises(DataError, match="no file matches"):
        find_files("donn\u00e9es/th\u00e9.csv", tmp_path)


def test_the_error_for_a_folder_lists_its_files(tmp_path: Path) -> None:
    (tmp_path / "reviews.parquet").mkdir()
    for name in ("part-0.parquet", "part-1.parquet", "_SUCCESS"):
        (tmp_path / "reviews.parquet" / name).touch()
    with pytest.raises(DataError, match="is a folder") as caught:
        find_files("reviews.parquet", tmp_path)
    assert caught.value.got == "part-0.parquet, part-1.parquet"
    assert "reviews.parquet/*.parquet" in caught.value.fix


@pytest.mark.parametrize(
    ("name", "fix"), [("a.xlsx", "CSV"), ("a.csv.zip", "unpack"), ("a.feather", "Parquet"), ("a.txt", "data.format")]
)
def test_unsupported_formats_get_specific_advice(name: str, fix: str) -> None:
    with pytest.raises(DataError) as caught:
        format_of(Path(name))
    assert fix in caught.value.fix


def test_absolute_paths(folder: Path) -> None:
    assert find_files(str(folder / "a.csv"), Path("/nowhere")) == [folder / "a.csv"]


@pytest.mark.parametrize(
    ("files", "what", "got"),
    [
        ("aa.csv", "data.train: no file matches aa.csv", "a.csv"),
        ("none/a.csv", "no file matches none/a.csv", "there is no folder"),
        ("*.tsv", "no file matches *.tsv", "a.csv"),
        ("sub", "is a folder", ""),
        ("{SPAN}/a.csv", "no span matches", "no matching path below"),
        ("x" * 300 + ".csv", "cannot be read", "File name too long"),
        ("gs://bucket/a.csv", "no file matches", "an address"),
    ],
)
def test_patterns_that_match_nothing(folder: Path, files: str, what: str, got: str) -> None:
    with pytest.raises(DataError) as caught:
        find_files(files, folder, "data.train")
    assert what in caught.value.what
    assert got in caught.value.got


@pytest.mark.parametrize(
    ("pattern", "names", "newest"),
    [
        ("{SPAN}/t.csv", ["2/t.csv", "10/t.csv", "x/t.csv"], "10/t.csv"),
        ("s-{SPAN:3}/*.csv", ["s-002/t.csv", "s-010/t.csv", "s-9999/t.csv"], "s-010/*.csv"),
        ("{SPAN}/v{VERSION}/t.csv", ["1/v9/t.csv", "2/v1/t.csv", "2/v3/t.csv"], "2/v3/t.csv"),
        ("{YYYY}-{MM}-{DD}.csv", ["2025-12-31.csv", "2026-01-02.csv", "2026-01-01.csv"], "2026-01-02.csv"),
    ],
)
def test_the_newest_span_matches_tfx(tmp_path: Path, pattern: str, names: list[str], newest: str) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert newest_span(pattern, tmp_path) == newest
    for name in names:  # TFX refuses what is not a number, and a number of another width
        if "x/" in name or "9999" in name:
            (tmp_path / name).unlink()
    split = example_gen_pb2.Input.Split(name="s", pattern=pattern)
    utils.calculate_splits_fingerprint_span_and_version(str(tmp_path), [split])
    assert split.pattern == newest


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.csv", "csv"), ("a.CSV.gz", "csv"), ("a.b.ndjson", "jsonl"), ("a.tab", "tsv"), ("a.tfrecord.gz", "tfrecord")],
)
def test_formats(name: str, kind: str) -> None:
    assert format_of(Path(name)) == kind
    assert format_of(Path(name), "parquet") == "parquet"


def test_digests_cover_names_and_contents(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("a")
    two.write_text("a")
    digests = {contents_digest(paths) for paths in ([], [one], [two], [one, two], [two, one])}
    assert len(digests) == 5
    before = contents_digest([one])
    one.write_text("b")
    assert contents_digest([one]) != before


def test_some() -> None:
    assert abbreviate([1, 2], 2) == "1, 2"
    assert abbreviate(range(1002), 2) == "0, 1 and 1,000 more"
