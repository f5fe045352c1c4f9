"""Runs of other settings on copies of the tiny project, and the frameworks compared on its rows."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

Tiny = tuple[Any, dict[str, Any]]


@pytest.mark.slow
def test_frameworks_are_compared_on_the_projects_rows(tiny: Tiny, tmp_path: Path) -> None:
    project, _ = tiny
    other = project.copy_to(tmp_path)
    none = {"TRANSOM_BACKENDS": str(tmp_path), "TRANSOM_JAX_PYTHON": "", "TRANSOM_TORCH_PYTHON": ""}
    out = other.transom("compare-backends", str(other.config), "--steps", "5", "--json", **none)
    result = json.loads(out.splitlines()[-1])
    (measured,) = result["measured"]
    assert (measured["framework"], measured["steps"]) == ("tensorflow", 5)
    assert measured["whole_seconds"] > 0
    assert result["machine"]["cores"] >= 1
    assert result["advice"] == "keep train.backend: tensorflow: no other was measured here"
    assert json.loads((other.output / "backends.json").read_text()) == result
    assert list(other.temporary.iterdir()) == []
    out = other.transom("compare-backends", str(other.config), "--steps", "5", **none)
    assert "not installed: jax; `transom backends install jax`" in out
    own = {**none, "TRANSOM_TORCH_PYTHON": sys.executable}
    out = other.transom("compare-backends", str(other.config), "--steps", "5", "--json", **own)
    result = json.loads(out.splitlines()[-1])
    assert [measured["framework"] for measured in result["measured"]] == ["tensorflow"]  # the others still count
    assert list(result["errors"]) == ["torch"]
    assert "which lacks torch" in result["errors"]["torch"]


@pytest.mark.slow
def test_a_later_training_uses_what_was_compiled(tiny: Tiny, tmp_path: Path) -> None:
    project, _ = tiny
    other = project.copy_to(tmp_path)
    arguments = ("run", str(other.config), "--to", "Trainer", "--set", "train.xla=true", "--set", "train.epochs=1")
    found = []
    for seed in (0, 1):
        other.transom(*arguments, "--set", f"train.seed={seed}", TRANSOM_COMPILE_CACHE=str(tmp_path / "cache"))
        found.append(sorted((path.name, path.stat().st_ino) for path in tmp_path.glob("cache/*/*.zip")))
        assert list(other.temporary.iterdir()) == []
    assert [name.split("-")[0] for name, _ in found[0]] == ["compiled"] * 2 + ["graph"] * 3
    # With the other seed a batch may not fit its shape: then there is a sum of gradients, too, not compiled by XLA.
    assert set(found[0]) <= set(found[1])
    assert len([name for name, _ in found[1] if name.startswith("compiled")]) == 2


@pytest.mark.slow
def test_a_start_in_the_middle_needs_an_earlier_run(tiny: Tiny, tmp_path: Path) -> None:
    project, _ = tiny
    other = project.copy_to(tmp_path)
    out = other.transom("run", str(other.config), "--set", "edge.variants=[]", "--to", "EdgeGate", code=2)
    assert "not a step while edge.variants is empty" in out
    out = other.transom("run", str(other.config), "--from", "Trainer", code=2)
    assert "ExampleGen did not finish in the last run" in out
    assert "without --from" in out
