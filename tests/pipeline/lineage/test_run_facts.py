"""What the Pusher is told: here by the process that it is forked from, on a cluster by its container's command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.lineage import lineage_record
from models.errors import DataError
from pipeline.config import ProjectConfig
from pipeline.kubeflow.entrypoint import run_name
from pipeline.lineage.run_facts import tell_lineage, tell_told, to_tell
from tflite.host.json_text import to_json

CONFIG = {
    "name": "reviews",
    "data": {"path": "t.csv", "schema_path": "schema.pbtxt"},
    "beam": {"runner": "FlinkRunner", "options": {"flink_master": "user:secret@host"}},
    "kubeflow": {"env": {"TOKEN": "secret"}},
    "model": {"preset": "https://me:secret@host/preset"},
}


@pytest.fixture(autouse=True)
def nothing_told() -> Iterator[None]:
    lineage_record._told.clear()
    yield
    lineage_record._told.clear()


@pytest.fixture
def config(tmp_path: Path) -> ProjectConfig:
    (tmp_path / "schema.pbtxt").write_text("feature {}")
    return ProjectConfig.model_validate(CONFIG)


def test_a_container_is_told_what_a_local_run_knows(config: ProjectConfig, tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    tell_lineage(config, tmp_path / "transom.yaml", "20260101-120000")
    local = json.loads(lineage_record.write_lineage(tmp_path, tmp_path, 0))
    told = to_json(to_tell(config, tmp_path / "transom.yaml", Path("/mnt/data")))
    assert "secret" not in told
    tell_told(json.loads(told), "run-1")
    there = json.loads(lineage_record.write_lineage(tmp_path, tmp_path, 0))
    assert (local["run"]["name"], local["run"]["runner"]) == ("20260101-120000", "local")
    assert (local["run"]["folder"], local["run"]["config_file"]) == (str(tmp_path), "transom.yaml")
    assert (there["run"]["name"], there["run"]["runner"]) == ("run-1", "kubeflow")
    assert there["run"]["folder"] == "/mnt/data"
    assert local["data"]["schema_file"]["bytes"] == 10
    for part in ("config", "left_out", "data"):
        assert there[part] == local[part]
    assert "secret" not in to_json([local, there])


def test_a_schema_that_is_gone_is_a_data_error(config: ProjectConfig, tmp_path: Path) -> None:
    (tmp_path / "schema.pbtxt").unlink()
    with pytest.raises(DataError, match=r"schema\.pbtxt cannot be read"):
        to_tell(config, tmp_path / "transom.yaml", tmp_path)


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("minio://mlpipeline/v2/artifacts/reviews/0f3c/Pusher/pushed_model", "0f3c"),
        ("minio://mlpipeline/v2/artifacts/reviews/0f3c/Pusher/7d2e/pushed_model", "0f3c"),
        ("/gcs/bucket/somewhere", None),
        ("", None),
    ],
)
def test_the_name_of_a_run_on_a_cluster_is_in_its_artifacts_uri(uri: str, name: str | None) -> None:
    assert run_name(uri, "Pusher") == name
