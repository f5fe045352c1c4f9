"""Every kind of task and of table through the whole pipeline."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from models.child_processes import tied_to_parent

pytestmark = pytest.mark.slow

MULTI = """\
name: tiny
data: {train: train.jsonl, eval: eval.jsonl, test: test.jsonl}
task: {type: multi_label, label: tags, threshold: auto}
tokenizer: {vocabulary_size: 96, max_length: 32}
model: {num_layers: 1, width: 32, num_heads: 2, dropout: 0.0, positions: rotary}
train: {epochs: 12, batch_size: 16, learning_rate: 0.01}
evaluation: {thresholds: {micro_f1: {min: 0.9}}}
"""
PAIRS = """\
name: tiny
data: {path: pairs.parquet}
task: {type: regression, text: one, text_pair: two, label: closeness}
tokenizer: {vocabulary_size: 96, max_length: 32}
model: {num_layers: 1, width: 32, num_heads: 2, dropout: 0.0, norm: post, pooling: cls}
train: {epochs: 12, batch_size: 16, learning_rate: 0.003, accumulate: 2}
evaluation: {slices: [text_length, place], min_slice_size: 5, thresholds: {mse: {max: 100.0}}}
"""


def _tagged(rows: int, seed: int) -> list[dict[str, Any]]:
    random_ = random.Random(seed)
    table = []
    for number in range(rows):
        tags = [tag for tag in ("red", "green", "blue") if random_.random() < 0.4]
        words = [*(f"{tag}ish" for tag in tags), *random_.choices(("thing", "box", "hat", "of"), k=4)]
        random_.shuffle(words)
        table.append({"text": f"{' '.join(words)} {number}", "tags": tags})
    return table


def test_several_labels_from_json_lines(project: Any) -> None:
    for split, rows in (("train", 600), ("eval", 100), ("test", 100)):
        lines = (json.dumps(row) for row in _tagged(rows, seed=rows + len(split)))
        (project.folder / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    project.config.write_text(MULTI)
    result = project.run()
    assert result["status"] == "pushed"
    assert result["evaluation"]["metrics"]["micro_f1"] > 0.9
    fitted = result["training"]["calibration"]
    stored = json.loads(Path(result["pushed"], "assets.extra", "transom.json").read_text())
    bundle = json.loads(Path(result["bundle"], "edge.json").read_text())
    assert fitted["tuned"]
    assert fitted["threshold"] == stored["task"]["threshold"] == bundle["threshold"]
    out = project.transom("predict", result["pushed"], "redish blueish box", "hat of thing", "--json")
    labels = [json.loads(line)["label"] for line in out.splitlines()]
    assert labels == ["blue|red", ""]


def test_numbers_for_pairs_from_parquet(project: Any) -> None:
    random_ = random.Random(0)
    rows = []
    for number in range(900):
        one, two = (random_.choice(("good", "bad")) for _ in range(2))
        closeness = 4.0 + 2.0 * (one == "good") - 3.0 * (two == "good") + random_.random() * 0.1
        rows.append(
            {"one": f"a {one} film {number}", "two": f"a {two} story", "closeness": closeness, "place": number % 2}
        )
    pd.DataFrame(rows).to_parquet(project.folder / "pairs.parquet", index=False)
    project.config.write_text(PAIRS)
    result = project.run()
    assert result["evaluation"]["metrics"]["spearman"] > 0.8
    assert {"place=0", "place=1"} <= {entry["slice"] for entry in result["evaluation"]["slices"]}
    # 6 and 1 by the rule above; 3 and 4 if only one of the texts were used.
    for film, story, low, high in (("good", "bad", 4.5, 7.0), ("bad", "good", 0.0, 2.5)):
        texts = f"a {film} film 5", "--pair", f"a {story} story"
        out = project.transom("predict", result["pushed"], *texts, "--json")
        assert low < json.loads(out)["score"] < high


def test_a_killed_run_continues_at_its_last_checkpoint(source: Any, project: Any) -> None:
    (project.folder / "reviews.csv").write_bytes((source.folder / "reviews.csv").read_bytes())
    project.config.write_bytes(source.config.read_bytes())
    sets = ["train.epochs=150", "train.checkpoint_steps=5", "train.learning_rate=0.0001"]
    arguments = ["run", str(project.config), *(part for one in sets for part in ("--set", one))]
    process = subprocess.Popen(
        tied_to_parent([sys.executable, "-m", "pipeline.cli", *arguments]),
        cwd=source.repository,
        stdout=subprocess.DEVNULL,
    )
    checkpoints = project.output / "checkpoints"
    deadline = time.monotonic() + 240
    while not list(checkpoints.glob("*/checkpoint.npz")) and time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before its first checkpoint"
        time.sleep(0.2)
    time.sleep(2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert "interrupted" in project.transom("runs", str(project.config))
    assert not list(Path(project.output, "serving").rglob("saved_model.pb"))

    result = project.run(*(part for one in sets for part in ("--set", one)))
    assert result["fates"]["Transform"] == "cached"
    assert result["training"]["resumed_at_step"] > 0
    assert any(note["text"].startswith("training continues after step ") for note in result["notes"])
    assert result["status"] == "pushed"
    assert not checkpoints.exists()


def test_a_terminated_run_says_so_and_stops_its_step(source: Any, project: Any) -> None:
    (project.folder / "reviews.csv").write_bytes((source.folder / "reviews.csv").read_bytes())
    project.config.write_bytes(source.config.read_bytes())
    process = subprocess.Popen(
        tied_to_parent([sys.executable, "-m", "pipeline.cli", "run", str(project.config), "--json"]),
        cwd=source.repository,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{") and json.loads(line)["event"] == "started":
            break
    process.terminate()
    rest = [json.loads(line) for line in process.stdout.read().splitlines() if line.startswith("{")]
    assert process.wait() == 130
    assert [event["status"] for event in rest if event["event"] == "ended"] == ["interrupted"]
    run = json.loads(project.transom("runs", str(project.config), "--json"))
    assert run["status"] == "interrupted"
    assert [step["status"] for step in run["steps"]] == ["interrupted"]
