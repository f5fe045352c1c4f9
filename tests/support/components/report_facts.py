"""Facts of made-up runs, for pages: of every task, with texts of any kind. The rows' facts come from the real code."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from components.config import EvaluationConfig
from components.data.gate.counts import SplitFacts
from components.data.gate.data_facts import describe_data
from components.data.gate.drift import summarize as summarize_data
from components.data.row_batches import RowBatch
from components.data.rows import Record
from components.evaluation import metrics
from components.evaluation.measurements import Measurements, Slice
from components.evaluation.summary import summarize
from components.predictions.examined_rows import examine
from components.predictions.row_outcomes import rebuild_targets
from components.predictions.stored_predictions import PredictedRows, PredictionFacts, StoredPredictions, write_rows
from components.report.page_facts import RunFacts
from models.config import TaskConfig
from tflite.host.json_text import to_json

HOSTILE = '</p><script>alert("x")</script><img src=x onerror=alert(1)> & \' {{ 7*7 }} \x1b[31m'
RIGHT_TO_LEFT = "שלום עולם"


def run_facts(
    folder: Path, task: str = "single_label", labels: int = 2, text: str = "a fine film", rows: int = 60, **changed: Any
) -> RunFacts:
    """The facts of a whole run.

    Args:
        folder: for the predictions' files.
        task: its type.
        labels: their number.
        text: of every row; the label names begin with it, too.
        changed: attributes of `RunFacts` with other values.
    """
    names = tuple(f"{text[:40]} {number}" for number in range(labels)) if task != "regression" else ()
    facts = PredictionFacts(task, "test", names, live_labels=names)  # type: ignore[arg-type]
    predicted = _predicted(facts, text, rows)
    with io.FileIO(folder / "part-00000.parquet", "w") as stream:
        write_rows(stream, iter([predicted]), facts)
    errors = [{"key": predicted.keys[0], "suggested": list(names[:1])}]
    found: dict[str, Any] = {
        "project": text[:40],
        "name": "20261130-120000",
        "status": "pushed",
        "started": "2026-11-30 12:00:00",
        "seconds": 125.0,
        "verdict": f"blessed: {text[:100]}",
        "config": {"name": "p", "task": {"type": task}, "gate": {"drift_threshold": 0.2, "split_overlap": "warn"}},
        "steps": [{"name": "Trainer", "status": "done", "seconds": 100.0}],
        "notes": [{"step": "Trainer", "text": text[:300]}],
        "data": _data(task, names, text),
        "findings": [
            {"rule": "split_overlap", "severity": "warn", "split": "test", "column": text[:20], "message": text[:200]}
        ],
        "training": TRAINING,
        "losses": [(step, 1.0 / step) for step in range(1, 40)],
        "evaluation": _evaluation(facts, predicted, text),
        "rows": json.loads(to_json(examine(StoredPredictions(folder), errors))),
        "serving": SERVING,
        "edge": EDGE,
        "pushed": "/out/serving/p/17",
        "bundle": "/out/edge/p/17",
        "lineage": {"origin": {"code": {"commit": "0123456789abcdef", "note": text[:100]}}, "data": _tables(text)},
    }
    return RunFacts(**{**found, **changed})


def _predicted(facts: PredictionFacts, text: str, rows: int) -> PredictedRows:
    rng = np.random.default_rng(0)
    found = PredictedRows(list(range(rows)), [text] * rows)
    found.others = [{text[:30]: text[:300]}] * rows
    if facts.task == "regression":
        numbers = rng.normal(0, 1, rows)
        found.numbers = numbers.tolist()
        found.scores = {"model": (numbers + rng.normal(0, 0.2, rows)).astype(np.float32)[:, None]}
        return found
    classes = len(facts.labels)
    targets = rng.integers(0, classes, rows)
    found.given = [(facts.labels[target],) for target in targets]
    for source, noise in (("model", 1.0), ("live", 2.0), ("linear", 2.0)):
        logits = rng.normal(0, noise, (rows, classes))
        logits[np.arange(rows), targets] += 2.0
        scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        found.scores[source] = scores.astype(np.float32)
    return found


def _evaluation(facts: PredictionFacts, predicted: PredictedRows, text: str) -> dict[str, Any]:
    task = TaskConfig(type=facts.task)
    targets = rebuild_targets(facts, predicted.given, predicted.numbers)
    measured, confusion = metrics.measure(task, facts.labels, targets, predicted.scores["model"])
    whole = Slice("", "", measured)
    slices = tuple(Slice(text[:30], value, measured) for value in (text[:60], "other"))
    found = Measurements(
        task=facts.task,
        split="test",
        labels=facts.labels,
        whole=whole,
        slices=slices,
        confusion=None if confusion is None else confusion.tolist(),
        notes=(text[:100],),
    )
    config = EvaluationConfig.model_validate({"slices": [text[:30]], "min_slice_size": 5})
    summary: dict[str, Any] = json.loads(to_json(summarize(found, config)))
    error = {"split": "train", "text": text[:200], "text_pair": None, "given": [text[:20]], "suggested": [text[:20]]}
    error |= {"probability": 0.01, "usual": 0.7, "places": [{"file": f"{text[:20]}.csv", "row": 3, "line": 4}]}
    return {**summary, "label_errors": {"found": {"train": 1}, "rows": [error]}}


def _data(task: str, labels: tuple[str, ...], text: str) -> dict[str, Any]:
    config = TaskConfig(type=task)  # type: ignore[arg-type]
    facts = SplitFacts("train", config)
    records = [
        Record(text, None, (labels[row % len(labels)],) if labels else (), None if labels else float(row), {"c": text})
        for row in range(max(40, len(labels)))
    ]
    facts.add(RowBatch.of_records(records, config))
    described: dict[str, Any] = json.loads(
        to_json(describe_data({"train": facts, "test": facts}, summarize_data(facts), 3))
    )
    return described


def _tables(text: str) -> dict[str, Any]:
    file = {"path": f"{text[:60]}.csv", "bytes": 1000, "sha256": "ab" * 32}
    return {"rows": {"train": 10}, "sources": [{"key": "path", "patterns": ["*.csv"], "files": [file]}]}


TRAINING: dict[str, Any] = {
    "strategy": "none",
    "devices": ["/device:CPU:0"],
    "framework": "tensorflow 2.21.0",
    "xla": "parts",
    "xla_because": "auto: a reason",
    "onednn": "on",
    "precision": "float32",
    "seed": 0,
    "rows": {"train": 40, "eval": 5},
    "dropped_rows": {"train": 0, "eval": 0},
    "parameters": {"total": 1000, "trainable": 900},
    "steps": 39,
    "epochs": 2,
    "stopped_early": False,
    "metric": "accuracy",
    "best_epoch": 2,
    "history": [
        {"epoch": 1, "train_loss": 0.7, "traces": 1, "loss": 0.6, "accuracy": 0.5},
        {"epoch": 2, "train_loss": 0.5, "traces": 0, "loss": 0.5, "accuracy": 0.7},
    ],
    "calibration": {"temperatures": [1.2], "threshold": 0.5, "tuned": False, "rows": 5, "notes": []},
    "linear_weight": 0.5,
    "resumed_at_step": None,
    "seconds": 100.0,
    "tokens_per_second": 2000.0,
    "peak_memory_mb": 900.0,
}
SERVING: dict[str, Any] = {
    "blessed": True,
    "verdict": "served: all agree",
    "rows": 32,
    "requests": 194,
    "failed": 0,
    "failures": [],
    "largest_difference": 1e-7,
    "latency_ms": {"p50": 3.0, "p99": 9.0},
    "latencies_ms": [3.0, 3.5, 4.0, 9.0],
}
EDGE: dict[str, Any] = {
    "blessed": True,
    "variant": "dynamic_int8",
    "verdict": "edge bundle dynamic_int8: 0.5 MB",
    "budget": {"megabytes": 2.0, "latency_ratio": None},
    "variants": [
        {
            "variant": "dynamic_int8",
            "cost": {"bytes": 500_000, "memory_bytes": 1_000_000, "latency_ms": [{"median": 0.02, "p90": 0.03}]},
            "latency_ratio": 0.5,
            "parity": {
                "agreement": 0.99,
                "max_difference": 0.01,
                "quality": [{"slice": "", "rows": 5, "keras": 0.8, "edge": 0.8, "loss": 0.0}],
            },
            "same_answer": "99.0%",
            "chosen": True,
            "why": "",
        },
        {"variant": "float16", "cost": None, "parity": None, "chosen": False, "why": "it could not be exported"},
    ],
}
