from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest
from doctor_projects import make_project, statuses

from pipeline.doctor.checks.cluster_checks import checks
from pipeline.doctor.finding import Finding, findings_of

GOOD: dict[str, Any] = {
    "image": f"registry.example/transom:{importlib.metadata.version('transom')}",
    "base": "/mnt/data",
    "mounts": [{"claim": "data", "path": "/mnt/data"}],
}


def examine(folder: Path, kubeflow: dict[str, Any] | None, **others: Any) -> list[Finding]:
    settings = {} if kubeflow is None else {"kubeflow": kubeflow}
    (check,) = checks(make_project(folder, **settings, **others))
    return list(findings_of(check))


def test_a_project_that_is_not_meant_for_a_cluster_is_told_once(tmp_path: Path) -> None:
    (found,) = examine(tmp_path, None)
    assert found.status == "note"
    assert "kubeflow.image" in found.text


def test_a_project_that_would_run_there(tmp_path: Path) -> None:
    assert statuses(examine(tmp_path, GOOD)) == [("kubeflow", "ok")]


def test_all_that_would_not_run_is_told_at_once(tmp_path: Path) -> None:
    wrong = {
        **GOOD,
        "steps": {"Trainr": {"cpu": 1}},
        "env": {"AWS_SECRET_ACCESS_KEY": "abcdefghijklmnop"},
        "mounts": [{"claim": "a", "path": "/mnt/a"}, {"claim": "b", "path": "/mnt/a"}],
    }
    found = examine(tmp_path, wrong)
    assert {finding.status for finding in found} == {"error"}
    keys = [finding.text.split(":")[0] for finding in found]
    assert keys == ["kubeflow.steps.Trainr", "kubeflow.env.AWS_SECRET_ACCESS_KEY", "kubeflow.mounts", "data.path"]
    assert all(finding.remedy for finding in found)


@pytest.mark.parametrize(("image", "status"), [(None, "note"), ("transom:0.0.0", "error")])
def test_the_image_may_come_from_the_command_line(image: str | None, status: str, tmp_path: Path) -> None:
    found = examine(tmp_path, {**GOOD, "image": image})
    assert found[0].status == status
    assert found[0].text.startswith("kubeflow.image")


def test_a_bucket_without_mounts_means_vertex(tmp_path: Path) -> None:
    vertex = {"image": GOOD["image"], "base": "/gcs/bucket/reviews", "root": "gs://bucket/root"}
    (found,) = examine(tmp_path, vertex)
    assert "Vertex AI" in found.text
    refused = examine(tmp_path, {**vertex, "image_pull_secret": "mine"})
    assert ("kubeflow", "error") in statuses(refused)


def test_another_framework_needs_another_image(tmp_path: Path) -> None:
    found = examine(tmp_path, GOOD, train={"backend": "jax"})
    assert statuses(found) == [("kubeflow", "note"), ("kubeflow", "ok")]
