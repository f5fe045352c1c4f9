from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from pipeline.paths import Paths
from pipeline.reports.run_tables import print_costs, print_summary
from pipeline.runs.run_records import RunRecord
from tflite.measure.cost import Cost, Latency


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


def test_off_the_terminal_a_row_is_one_line_whatever_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    names = [f"/a/long/{'folder/' * 40}{number}" for number in range(2)]
    latency = Latency("classify", 1.0, 1.5)
    cost = Cost(bytes=1_000_000, load_ms=1.0, memory_bytes=1_000_000, threads=1, latency_ms=(latency,))
    stream = io.StringIO()
    print_costs(names, [cost, cost], stream)
    assert [line.split()[0] for line in stream.getvalue().splitlines()] == ["bundle", *names]


@pytest.mark.parametrize("columns", ["80", "160"])
def test_tables_fit_and_lose_no_letter(tmp_path: Path, columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    metrics = {"accuracy": 0.9, "mean_average_precision": 0.8, "calibration_error": 0.1}
    label, address = "words of a label " * 6, "source=https://example.com/" + "x" * 90
    run, stream = RunRecord(name="1", status="pushed", started="", config={}), io.StringIO()
    run.evaluation = {
        "metrics": metrics,
        "rows": 12345,
        "comparison": {
            "rows": 11000,
            "candidate": metrics,
            "live": metrics,
            "losses": dict.fromkeys(metrics, (-0.0123, 0.0456)),
            "interval": 0.9,
        },
        "per_label": {label: {"f1": 0.5}, "other": {"f1": 0.25}},
        "slices": [{"column": "source", "slice": address, "value": "x", "rows": 7, "metrics": metrics}],
    }
    print_summary(run, Paths(tmp_path, tmp_path, tmp_path, tmp_path), stream, as_json=False)
    tables = stream.getvalue().split("run:  ")[0]
    assert max(map(len, tables.splitlines())) <= int(columns)
    assert "…" not in tables
    assert all(f"\n{name}  " in tables for name in metrics)
    shown = "".join(line.split("  ")[0].strip() for line in tables.split("slice  ")[1].splitlines()[1:])
    assert address in shown
