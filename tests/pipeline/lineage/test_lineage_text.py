"""A lineage for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from written_lineages import DIGEST, facts, version

from pipeline.cli import main
from pipeline.lineage.lineage_reading import read_lineage
from pipeline.lineage.lineage_text import changed_keys, lineage_lines


def lines(tmp_path: Path, content: dict[str, Any] | None) -> list[str]:
    return list(lineage_lines(read_lineage(version(tmp_path / "1767268805", content))))


def test_every_fact_is_there_in_eighty_columns(tmp_path: Path) -> None:
    written = json.dumps(facts(tmp_path, "t.csv", train={"seed": 3}))
    content = json.loads(written.replace(str(tmp_path), "/home/reviews"))
    shown = lines(tmp_path, content)
    assert max(map(len, shown)) <= 80
    text = "\n".join(shown)
    sha256 = content["data"]["sources"][0]["files"][0]["sha256"]
    for fact in (
        "reviews, version 1767268805",
        "2026-01-01 12:00:05 UTC by run 20260101-120000",
        "nothing was live before",
        DIGEST,
        "data.path: t.csv",
        sha256,
        "rows: train 8, eval 1, test 1",
        "transom.yaml in /home/reviews",
        "train.seed: 3",
        "Transom 1.0",
        f"commit {'c' * 40}",
        f"Trainer {'f' * 32}",
        "on tensorflow 2.0, float32, XLA on, oneDNN on",
        "A CPU (avx2)",
        "4 cores, 4 threads",
        "tensorflow==2.0",
        "1" * 64,
    ):
        assert fact in text
    assert "train.epochs" not in text, "it is the default"
    assert "the run that pushed it" not in text, "it is the same commit"


def test_a_run_of_another_commit_that_pushed_it_is_named(tmp_path: Path) -> None:
    content = facts(tmp_path)
    content["run"]["code"]["commit"] = "d" * 40
    content["run"]["project"] = {"commit": "e" * 40, "uncommitted": True}
    text = " ".join(" ".join(lines(tmp_path, content)).split())
    assert f"the run that pushed it: commit {'d' * 40}" in text
    assert f"project commit {'e' * 40}, with uncommitted changes" in text


def test_many_files_are_counted(tmp_path: Path) -> None:
    names = [f"{number:02d}.csv" for number in range(14)]
    text = "\n".join(lines(tmp_path, facts(tmp_path, *names, patterns=["*.csv"])))
    assert "09.csv" in text
    assert "10.csv" not in text
    assert "and 4 more files: see --json" in text


def test_an_older_version_says_what_is_not_known(tmp_path: Path) -> None:
    folder = version(tmp_path / "7", None)
    config = {"name": "old", "data": {"path": "t.csv"}, "train": {"seed": 5}}
    (folder / "assets.extra" / "transom.json").write_text(json.dumps(config))
    (folder / "assets.extra" / "training.json").write_text(json.dumps({"framework": "tensorflow 2", "devices": ["a"]}))
    shown = list(lineage_lines(read_lineage(folder)))
    text = " ".join(" ".join(shown).split())
    assert "data.path: t.csv" in text
    assert "train.seed: 5" in text
    assert "on tensorflow 2" in text
    assert "code not known" in text
    assert "There is no lineage.json in this version" in text
    assert max(map(len, shown)) <= 80


def test_a_lineage_without_facts_is_printed_too(tmp_path: Path) -> None:
    assert "data      not known" in lines(tmp_path, {"format": 1})


@pytest.mark.parametrize(
    "config", [{"data": 3}, {"data": {"path": "a"}, "train": {"new_key": 1}}, {"model": [], "data": {"path": "a"}}]
)
def test_a_configuration_of_another_version_is_not_compared_with_the_defaults(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    assert changed_keys(config) is None
    assert "all of them: --json" in "\n".join(lines(tmp_path, {**facts(tmp_path), "config": config}))


def test_the_command_prints_text_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = facts(tmp_path)
    content["model"]["name"] = "r\x1b[2J\ud800"
    folder = version(tmp_path / "7", json.dumps(content).encode())
    assert main(["lineage", str(folder)]) == 0
    assert "r\\x1b[2J\\ud800, version 7" in capsys.readouterr().out
    assert main(["lineage", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["folder"], found["complete"], found["bundle"]) == (str(folder), True, False)
    assert found["data"]["sources"][0]["files"] == content["data"]["sources"][0]["files"]
    (folder / "assets.extra" / "lineage.json").write_bytes(b"{")
    assert main(["lineage", str(folder)]) == 7
