"""A group whose keys are all comments has its defaults, as if it were not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import ConfigError
from pipeline.config import ProjectConfig
from pipeline.configuration.loading import load


def loaded(folder: Path, text: str) -> ProjectConfig:
    file = folder / "transom.yaml"
    file.write_text(f"data: {{path: t.csv}}\n{text}")
    return load(file)


@pytest.mark.parametrize(
    "text",
    [
        "train:\n  # epochs: 3\n",
        "train:\nmodel:\ngate:\nkubeflow:\n",
        "edge:\n  budget:\n    # megabytes: 1\n",
        "evaluation:\n  thresholds:\n  baselines:\n",
        "kubeflow:\n  mounts:\n  steps:\n",
    ],
)
def test_an_empty_group_is_no_group(tmp_path: Path, text: str) -> None:
    assert loaded(tmp_path, text) == loaded(tmp_path, "")


def test_a_key_without_a_value_is_still_one(tmp_path: Path) -> None:
    for text, key in (
        ("train: {batch_size: }", "train.batch_size"),
        ("trian:", "trian"),
        ("edge: {rows: }", "edge.rows"),
    ):
        with pytest.raises(ConfigError, match=key):
            loaded(tmp_path, text)


def test_a_group_that_is_needed_is_needed(tmp_path: Path) -> None:
    file = tmp_path / "transom.yaml"
    file.write_text("data:\n")
    with pytest.raises(ConfigError, match="data"):
        load(file)
