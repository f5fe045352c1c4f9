"""The folders of a project."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import ConfigError
from pipeline.config import ProjectConfig
from pipeline.paths import Paths

CONFIG = ProjectConfig.model_validate({"name": "k", "data": {"path": "t.csv"}})


@pytest.mark.parametrize("name", ["project [v2]", "what?", "all*"])
def test_tfx_gets_no_path_that_it_would_take_for_a_pattern(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / name).mkdir()
    paths = Paths.from_config(CONFIG, tmp_path / name / "transom.yaml")
    assert not set("[]*?") & set(str(paths.root).removeprefix(str(tmp_path)))
    for _ in range(2):
        paths.make_root()
    paths.artifacts.mkdir(parents=True)
    (paths.root / "file").write_text("here")
    assert (paths.artifacts / "file").read_text() == "here"
    paths.root.parent.unlink()
    paths.root.parent.symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="reads as a pattern"):
        paths.make_root()


def test_other_folders_are_what_they_are(tmp_path: Path) -> None:
    paths = Paths.from_config(CONFIG, tmp_path / "données (1)" / "transom.yaml")
    paths.make_root()
    assert paths.root == paths.artifacts == tmp_path / "données (1)" / "k-out" / "artifacts"
