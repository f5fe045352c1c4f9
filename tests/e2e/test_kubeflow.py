"""The compiled pipeline, run as the backend runs it, against a local run of the same project."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.slow
def test_the_verified_spec_gives_the_results_of_a_local_run(tiny: Any, tmp_path: Path) -> None:
    project, local = tiny
    other = type(project)(tmp_path)
    shutil.copy(project.folder / "reviews.csv", tmp_path)
    kubeflow = "kubeflow: {base: /mnt/data/tiny, output: /mnt/out, mounts: [{claim: data, path: /mnt}]}\n"
    other.config.write_text(project.config.read_text() + kubeflow)
    arguments = ("--image", f"transom:{importlib.metadata.version('transom')}", "--out", str(tmp_path / "p.yaml"))
    work = tmp_path / "work"
    output = other.transom("compile", str(other.config), *arguments, "--verify", "--work", str(work))
    # The second run trains the same model, with other names in its graph.
    assert "run-2 found it live and trained the same model again" in output
    (work,) = work.glob("verify-*")
    bucket = work / "buckets" / "minio" / "mlpipeline" / "v2" / "artifacts" / "tiny"
    for run in ("run-1", "run-2"):
        summary = json.loads((bucket / run / "Evaluator" / "evaluation" / "summary.json").read_text())
        # Beam sums the rows in any order: the last digit of a mean may differ.
        assert summary["metrics"] == pytest.approx(local["evaluation"]["metrics"], rel=1e-12)
    models, bundles = ({path.name for path in (work / name).iterdir()} for name in ("push", "edge"))
    assert models == bundles
    assert len(models) == 1
    (version,) = models
    lineages = [json.loads(path.read_text()) for path in sorted(work.glob(f"*/{version}/**/lineage.json"))]
    assert lineages[0] == lineages[1], "the model's, and its bundle's"
    run, local_file = lineages[0]["run"], Path(local["pushed"], "assets.extra", "lineage.json")
    assert (run["name"], run["runner"], run["config_file"]) == ("run-1", "kubeflow", "transom.yaml")
    same = json.loads(local_file.read_text())
    assert lineages[0]["data"]["sources"] == same["data"]["sources"]
    assert lineages[0]["model"] == same["model"], "the same digest on every runner"
    left = {path.name for path in tmp_path.iterdir()} - {other.temporary.name}
    assert left == {"reviews.csv", "transom.yaml", "p.yaml", "work"}
