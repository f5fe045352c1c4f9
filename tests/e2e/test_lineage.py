"""Models of other kinds, trained again from nothing but their version folder and their tables."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from framework_environments import python
from preset_folders import hugging_face

from models.training.elsewhere.environments import python_variable
from pipeline.runs import unchanged
from pipeline.runs.run_records import ALREADY_LIVE, UNCHANGED

pytestmark = pytest.mark.slow

FROM_SCRATCH = """\
name: tiny
data: {data}
tokenizer: {{vocabulary_size: 96, max_length: 32}}
model: {{num_layers: 1, width: 16, num_heads: 2}}
train: {{epochs: 2, batch_size: 16, backend: {backend}}}
evaluation: {{baselines: {{majority: warn, linear: "off"}}}}
gate: {{split_overlap: "off", small_class: "off"}}
edge: {{variants: []}}
"""
PRESET = """\
name: tiny
data: {path: reviews.csv}
tokenizer: {max_length: 24}
model: {preset: bert}
train: {epochs: 1, batch_size: 16, contrastive: "on"}
evaluation: {baselines: {majority: warn, linear: "off"}}
edge: {variants: []}
"""


def reproduce(project: Any, *arguments: str, code: int = 0, **variables: str) -> dict[str, Any]:
    """The result of a reproduction, and what was different before it under "differences"."""
    out = project.transom("reproduce", *arguments, "--json", code=code, **variables)
    events = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    last: dict[str, Any] = events[-1]
    return {**last, "differences": events[0].get("differences", []), "out": out}


def test_spans_and_tables_that_were_moved(source: Any, project: Any, tmp_path: Path) -> None:
    """A newer span has come, and the tables are in another folder."""
    days = project.folder / "days"
    for day in ("day-1", "day-2"):
        (days / day).mkdir(parents=True)
        shutil.copy(source.folder / "reviews.csv", days / day / "t.csv")
    where = '{train: "days/day-{SPAN}/t.csv", test: days/day-1/t.csv, dedupe: false}'
    project.config.write_text(FROM_SCRATCH.format(data=where, backend="tensorflow"))
    result = project.run()
    copied = shutil.copytree(result["pushed"], tmp_path / "copied")
    moved = tmp_path / "moved"
    moved.mkdir()
    days.rename(moved / "days")
    (moved / "days" / "day-3").mkdir()
    (moved / "days" / "day-3" / "t.csv").write_text("text,label\ngood,pos\nbad,neg\n")
    refused = project.transom("reproduce", str(copied), code=3)
    assert "t.csv is not there" in refused
    found = reproduce(project, str(copied), "--data", str(moved))
    assert (found["result"], found["differences"]) == ("identical", [])


def test_a_preset_that_is_tuned_on_pairs_of_rows_first(source: Any, project: Any) -> None:
    lines = (source.folder / "reviews.csv").read_text().splitlines(keepends=True)[:161]
    (project.folder / "reviews.csv").write_text("".join(lines))
    hugging_face(project.folder / "bert", "bert")
    project.config.write_text(PRESET)
    result = project.run()
    assert result["training"]["contrastive"] is not None
    assert result["training"]["origin"]["preset"]["name"] == str(project.folder / "bert")
    assert reproduce(project, str(project.output))["result"] == "identical"
    weights = project.folder / "bert" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert "not those that the model was trained with" in project.transom("reproduce", str(project.output), code=5)


def test_another_framework(source: Any, project: Any) -> None:
    shutil.copy(source.folder / "reviews.csv", project.folder)
    project.config.write_text(FROM_SCRATCH.format(data="{path: reviews.csv}", backend="jax"))
    variables = {python_variable("jax"): str(python("jax"))}
    project.transom("run", str(project.config), **variables)
    found = reproduce(project, str(project.output), **variables)
    assert found["result"] == "identical"
    lineage = json.loads(project.transom("lineage", str(project.output), "--json"))
    assert lineage["origin"]["environment"]["backend"]["packages"]["jax"]
    assert lineage["training"]["framework"].startswith("jax")


def test_other_weights_end_it_with_their_own_exit_code(tiny: Any, tmp_path: Path) -> None:
    """The lineage of another training: as if code that nobody noted had changed."""
    project, result = tiny
    copied = shutil.copytree(result["pushed"], tmp_path / "copied")
    file = copied / "assets.extra" / "lineage.json"
    lineage = json.loads(file.read_text())
    lineage["config"]["train"]["seed"] += 1
    lineage["origin"]["environment"]["cpu"] = "Another CPU"
    file.write_text(json.dumps(lineage))
    found = reproduce(project, str(copied), code=11)
    assert (found["result"], found["differences"][0]["then"]) == ("different", "Another CPU")
    assert found["reasons"] == ["another CPU, which adds numbers up in another order"]
    assert found["different"][0]["largest"] > 1e-3
    assert "known reasons that were seen: another CPU" in found["out"]


def test_nothing_runs_again_because_the_lineage_would_differ(source: Any, project: Any) -> None:
    """A run with another name, asked by TFX's cache; and settings that train nothing."""
    shutil.copy(source.folder / "reviews.csv", project.folder)
    project.config.write_text(FROM_SCRATCH.format(data="{path: reviews.csv}", backend="tensorflow"))
    first = project.run()
    file = Path(first["pushed"], "assets.extra", "lineage.json")
    before = file.read_bytes()
    # What is live is new to the second run, and the gate has another setting in the last: then the Pusher looks.
    repeats = ((), ALREADY_LIVE), ((), UNCHANGED), (("--set", "gate.small_class_rows=2"), ALREADY_LIVE)
    for arguments, status in repeats:
        (project.output / unchanged.FILE_NAME).unlink(missing_ok=True)
        later = project.run(*arguments)
        assert (later["status"], later["pushed"]) == (status, first["pushed"])
        trained = {step: later["fates"][step] for step in ("ExampleGen", "Transform", "Trainer", "Evaluator")}
        assert set(trained.values()) == {"cached"}
        assert file.read_bytes() == before
        assert later["tables"] == first["tables"]
