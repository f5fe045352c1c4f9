"""What the Pusher writes, and what never gets into it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.lineage import lineage_record
from components.lineage.lineage_facts import FORMAT, FileFacts, Lineage, RunFacts
from components.lineage.lineage_record import tell, without_credentials, write_lineage

TABLES = {
    "folder": "/reviews",
    "sources": [
        {"key": "path", "patterns": ["t.csv"], "files": [{"path": "t.csv", "bytes": 3, "sha256": "ab"}]},
    ],
    "rows": {"train": 8, "eval": 1},
}


@pytest.fixture(autouse=True)
def nothing_told() -> Iterator[None]:
    lineage_record._told.clear()
    yield
    lineage_record._told.clear()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    extra = tmp_path / "model" / "assets.extra"
    extra.mkdir(parents=True)
    (extra / "transom.json").write_text(json.dumps({"name": "reviews", "train": {"seed": 7}}))
    origin = {"at": "2026-01-01T00:00:00Z", "code": {"transom": "1.0", "commit": "abc"}}
    (extra / "training.json").write_text(json.dumps({"seed": 7, "history": [1, 2], "xla": "parts", "origin": origin}))
    return tmp_path / "model"


def written(model: Path, blessing: Path, previous: int = 0) -> Lineage:
    return Lineage.model_validate_json(write_lineage(model, blessing, previous))


def test_the_facts_of_training_data_and_run_come_together(model: Path, tmp_path: Path) -> None:
    (tmp_path / "tables.json").write_text(json.dumps(TABLES))
    schema = FileFacts(path="schema.pbtxt", bytes=9, sha256="cd")
    run = RunFacts(name="20260101-000000", config_file="transom.yaml", folder="/reviews")
    clusters = {"beam": {"runner": None}, "kubeflow": {"env": {"A": "b"}}}
    tell(run, {"name": "reviews", "push": {"keep": 3}, **clusters}, schema)
    lineage = written(model, tmp_path, previous=41)
    assert lineage.format == FORMAT
    assert (lineage.model.name, lineage.model.digest) == ("reviews", None), "there is no graph to digest"
    assert (lineage.run.name, lineage.run.previous_version) == ("20260101-000000", 41)
    assert lineage.run.pushed_at is not None
    assert lineage.config == {"name": "reviews", "push": {"keep": 3}}
    assert lineage.data.schema_file == schema
    assert lineage.data.sources[0].files[0].sha256 == "ab"
    assert (lineage.training.seed, lineage.training.xla) == (7, "parts")
    assert lineage.origin.code.commit == "abc"


def test_a_model_of_another_trainer_is_pushed_with_what_is_known(model: Path, tmp_path: Path) -> None:
    (model / "assets.extra" / "training.json").unlink()
    lineage = written(model, tmp_path)
    assert lineage.config == {"name": "reviews", "train": {"seed": 7}}
    assert lineage.training.seed is None
    assert lineage.data.sources == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://me:pass@host/t.csv", "https://host/t.csv"),
        ("https://token@host:8080/a", "https://host:8080/a"),
        ("https://a:b@c:d@host/x", "https://host/x"),
        ("hf://org/model@main", "hf://org/model@main"),
        ("registry/image@sha256:00", "registry/image@sha256:00"),
        ("/data/a@b.csv", "/data/a@b.csv"),
        ("first ftp://u:p@h/ then s3://u:p@h/", "first ftp://h/ then s3://h/"),
    ],
)
def test_addresses_lose_user_and_password(given: str, kept: str) -> None:
    assert without_credentials({"a": [given, 1, None]}) == {"a": [kept, 1, None]}
