"""`transom profile` in whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def _files(folder: Path) -> dict[Path, bytes]:
    """All files of an output folder with their contents, but for the profiles and the records of runs."""
    left_out = {"profiles", "runs"}
    files = (path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).parts[0] not in left_out)
    return {path: path.read_bytes() for path in files}


@pytest.mark.slow
def test_a_profile_is_printed_and_kept_and_nothing_else_is_changed(tiny: Any, tmp_path: Path) -> None:
    project, _ = tiny
    other = project.copy_to(tmp_path)
    other.transom("run", str(other.config), "--to", "Transform")
    before = {path: content for path, content in _files(other.output).items() if not path.name.startswith("metadata")}
    out = other.transom("profile", str(other.config), "--steps", "4")
    assert "a step, " in out
    assert "together" in out
    (folder,) = [path for path in (other.output / "profiles").iterdir() if path.is_dir()]
    assert f"profile: {folder}" in out
    assert f"xprof --logdir {folder.parent}" in out
    kept = json.loads((folder / "profile.json").read_text())
    assert kept["steps"] == 4
    assert sum(kept["parts"].values()) == pytest.approx(kept["traced_seconds_per_step"])
    assert len(list(folder.glob("plugins/profile/*/*.xplane.pb"))) == 1
    lines = other.transom("profile", str(other.config), "--steps", "4", "--json").splitlines()
    shown = json.loads(lines[-1])
    assert shown["event"] == "profile"
    assert json.loads(Path(shown["folder"], "profile.json").read_text()) | {"folder": shown["folder"]} == shown
    after = {path: content for path, content in _files(other.output).items() if not path.name.startswith("metadata")}
    assert after == before
    assert list(other.temporary.iterdir()) == []


def test_another_framework_is_refused(source: Any) -> None:
    out = source.transom("profile", str(source.config), "--set", "train.backend=jax", "--set", "train.xla=auto", code=2)
    assert "train.backend" in out
    assert "compare-backends" in out
