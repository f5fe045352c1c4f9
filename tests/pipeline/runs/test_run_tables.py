from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from pipeline.paths import Paths
from pipeline.runs.run_records import RunRecord
from pipeline.runs.run_tables import print_summary


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "on tensorflow 2.21.0, 22.7 M parameters, 3 epochs (best: 2), 1,235 tokens/s, float32, XLA in parts"),
        (
            {"epochs": 1, "parameters": {"total": 22_700_000, "trainable": 74_112}, "onednn": "off", "xla": False},
            "on tensorflow 2.21.0, 22.7 M parameters (74,112 trained), 1 epoch, 1,235 tokens/s, float32, XLA off, "
            "oneDNN off",
        ),
        (
            {"framework": "jax 0.10.2", "devices": ["a", "b"], "strategy": "mirrored", "xla": True, "onednn": None},
            "on jax 0.10.2, 2 devices (mirrored), 22.7 M parameters, 3 epochs (best: 2), 1,235 tokens/s, float32",
        ),
    ],
)
def test_the_summary_says_what_trained_and_how(tmp_path: Path, changes: dict[str, Any], line: str) -> None:
    run, stream = RunRecord(name="1", status="pushed", started="", config={}), io.StringIO()
    paths = Paths(tmp_path, tmp_path, tmp_path, tmp_path)
    run.training = {
        "framework": "tensorflow 2.21.0",
        "devices": ["/device:CPU:0"],
        "strategy": "none",
        "parameters": {"total": 22_700_000, "trainable": 22_690_000},
        "epochs": 3,
        "best_epoch": 2,
        "tokens_per_second": 1234.6,
        "precision": "float32",
        "xla": "parts",
        "onednn": "on",
        **changes,
    }
    print_summary(run, paths, stream, as_json=False)
    assert f"training: {line}" in " ".join(stream.getvalue().split())
