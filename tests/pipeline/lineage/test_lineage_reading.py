"""Lineages from anyone: read as described, or refused with an error on one screen."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from written_lineages import DIGEST, facts, version

from models.errors import ModelError
from pipeline.lineage.lineage_reading import printable, read_lineage


def test_the_newest_version_and_the_newest_bundle_are_found(tmp_path: Path) -> None:
    content = facts(tmp_path / "project")
    push = tmp_path / "out" / "serving" / "reviews"
    for number in (9, 10):
        version(push / str(number), {**content, "run": {"name": f"run {number}"}})
    for given in (tmp_path / "out", push, push / "10"):
        found = read_lineage(given)
        assert (found.folder, found.lineage.run.name, found.bundle) == (push / "10", "run 10", False)
    bundle = tmp_path / "out" / "edge" / "reviews" / "10"
    bundle.mkdir(parents=True)
    (bundle / "edge.json").write_text(json.dumps({"name": "reviews"}))
    assert read_lineage(bundle.parent).complete is False
    (bundle / "lineage.json").write_text(json.dumps(content))
    for given in (bundle, bundle.parent):
        found = read_lineage(given)
        assert (found.folder, found.bundle, found.lineage.model.digest) == (bundle, True, DIGEST)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model in"):
        read_lineage(tmp_path)


def test_an_older_version_tells_what_its_other_files_say(tmp_path: Path) -> None:
    folder = version(tmp_path / "7", None)
    with pytest.raises(ModelError, match=r"transom\.json cannot be read"):
        read_lineage(folder)
    extra = folder / "assets.extra"
    (extra / "transom.json").write_text(json.dumps({"name": "old", "data": {"path": "t.csv"}}))
    found = read_lineage(folder)
    assert (found.complete, found.lineage.model.name, found.lineage.training.framework) == (False, "old", None)
    (extra / "training.json").write_text(json.dumps({"framework": "jax 1", "history": []}))
    assert read_lineage(folder).lineage.training.framework == "jax 1"


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "not JSON": b"{",
    "a list": b"[]",
    "not UTF-8": b'{"format": 1, "model": {"name": "\xff"}}',
    "deep": b'{"format": 1, "config": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
    "rather deep": b'{"format": 1, "config": ' + b'{"a":' * 60 + b"1" + b"}" * 61,
    "a number of thousands of digits": b'{"format": 1' + b"0" * 9000 + b"}",
    "no format": b"{}",
    "a newer format": b'{"format": 2}',
    "a format that is true": b'{"format": true}',
    "format zero": b'{"format": 0}',
    "a text for a group": b'{"format": 1, "origin": "\\u001b[2J"}',
    "a group for a text": b'{"format": 1, "model": {"name": {"a": 1}}}',
    "files that are numbers": b'{"format": 1, "data": {"sources": [{"key": "path", "patterns": [1], "files": 3}]}}',
    "a size that is a text": b'{"format": 1, "data": {"schema_file": {"path": "a", "bytes": "b", "sha256": "c"}}}',
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_damaged_or_hostile_file_is_a_model_error(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ModelError, match=r"lineage\.json cannot be read") as caught:
        read_lineage(version(tmp_path / "7", content))
    shown = caught.value.render()
    assert caught.value.fix
    assert len(shown) < 1000
    assert all(line.isprintable() for line in shown.splitlines())


def test_a_file_that_is_none_is_a_model_error(tmp_path: Path) -> None:
    folder = version(tmp_path / "7", None)
    os.mkfifo(folder / "assets.extra" / "lineage.json")  # opening it would wait for ever
    with pytest.raises(ModelError, match="no such file"):
        read_lineage(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_a_model_error(tmp_path: Path) -> None:
    folder = version(tmp_path / "7", {"format": 1})
    (folder / "assets.extra" / "lineage.json").chmod(0)
    with pytest.raises(ModelError, match="cannot be read"):
        read_lineage(folder)


def test_what_is_not_known_is_ignored(tmp_path: Path) -> None:
    content: dict[str, Any] = {"format": 1, "new": 1, "model": {"name": "a", "colour": "red"}}
    assert read_lineage(version(tmp_path / "7", content)).lineage.model.name == "a"


@pytest.mark.parametrize(
    ("text", "shown"), [("é 好", "é 好"), ("a\x1b[2J\n", r"a\x1b[2J\n"), ("\u202e\ud800", r"\u202e\ud800")]
)
def test_control_characters_do_not_reach_the_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown
