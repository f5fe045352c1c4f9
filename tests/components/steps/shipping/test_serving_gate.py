"""The serving gate on real, tiny exports: it starts the real server each time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tfx import types
from tfx.types import artifact_utils, standard_artifacts
from tiny_exports import KINDS, Exported

from components.config import ServingConfig
from components.model_gates import serving_gate_report as gate_report
from components.model_gates.replay_rows import choose_replay_rows
from components.report_files import SERVING_FILE
from components.steps.shipping import serving_gate
from models.config import TaskConfig
from serving.check.replay import Replay

TEXTS = ("a good film", "", "Café 好", "bad " * 30, "fine", "good bad good")


def artifact(kind: type[types.Artifact], folder: Path) -> Any:
    made = kind()
    made.uri = str(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return made


def write_rows(folder: Path, task: TaskConfig, texts: tuple[str, ...] = TEXTS) -> Any:
    """An eval split whose rows hold the texts, the second texts in reverse order, and another column."""
    examples = artifact(standard_artifacts.Examples, folder)
    examples.split_names = artifact_utils.encode_split_names(["eval"])
    (folder / "Split-eval").mkdir()
    options = tf.io.TFRecordOptions("GZIP")
    with tf.io.TFRecordWriter(str(folder / "Split-eval" / "data-00000-of-00001.gz"), options) as writer:
        for text, other in zip(texts, reversed(texts), strict=True):
            example = tf.train.Example()
            feature = example.features.feature
            feature[task.text].bytes_list.value.append(text.encode())
            if task.text_pair is not None:
                feature[task.text_pair].bytes_list.value.append(other.encode())
            if task.type == "regression":
                feature[task.label].float_list.value.append(1.0)
            else:
                feature[task.label].bytes_list.value.append(b"x")
            feature["place"].bytes_list.value.append(b"home")
            writer.write(example.SerializeToString())
    return examples


def examine(exported: Exported, folder: Path, model: Path | None = None, **config: Any) -> dict[str, Any]:
    rows = write_rows(folder / "examples", exported.task)
    return gate_report.serving_gate_report(model or exported.folder, rows, exported.task, ServingConfig(**config))


@pytest.mark.slow_variants
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_predicts_as_keras_does_within_the_latency_budget(
    kind: str, exports: dict[str, Exported], tmp_path: Path
) -> None:
    """One kind gets a budget that no server meets, the others one that any server meets."""
    report = examine(exports[kind], tmp_path, latency_ms=0.001 if kind == "single" else 1e6)
    assert report["failed"] == 0, report
    assert report["rows"] == len(TEXTS)
    # Three ways and two protocols for each row, and all rows at once.
    assert report["requests"] == 2 * (3 * len(TEXTS) + 1)
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"]
    assert report["blessed"] == (kind != "single"), report
    if kind == "single":
        assert "serving.latency_ms allows 0.001 ms" in report["verdict"]
        assert report["again"], "a machine that is busy now may be idle in the next run"


@pytest.mark.slow
def test_a_differing_prediction_is_named_by_row_and_request(exports: dict[str, Exported], tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(exports["single"].folder, model)
    # The labels are constants of the server's graph; Keras reads them from a file next to it. Now they differ.
    labels = model / "assets.extra" / "labels.json"
    stored = json.loads(labels.read_text(encoding="utf-8"))
    labels.write_text(json.dumps({**stored, "labels": stored["labels"][::-1]}), encoding="utf-8")
    report = examine(exports["single"], tmp_path, model)
    assert not report["blessed"]
    assert report["verdict"].startswith("not served: gRPC predict of all 6 rows at once: row")
    assert "and Keras predicts" in report["verdict"]
    assert report["failed"] > 1


def test_a_model_that_the_server_cannot_load(exports: dict[str, Exported], tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(exports["single"].folder, model)
    warmup = model / "assets.extra" / "tf_serving_warmup_requests"
    warmup.write_bytes(warmup.read_bytes()[:-7])
    report = examine(exports["single"], tmp_path, model)
    assert not report["blessed"]
    assert "the server did not serve the model" in report["verdict"]


def test_a_killed_server_is_not_a_cached_verdict(exports: dict[str, Exported], tmp_path: Path) -> None:
    def kill() -> None:
        children: list[str] = []
        while not children:
            listed = subprocess.run(
                ["ps", "--ppid", str(os.getpid()), "-o", "pid=,args="], capture_output=True, text=True
            )
            children = [line for line in listed.stdout.splitlines() if "serving.server" in line]
        os.kill(int(children[0].split()[0]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    report = examine(exports["single"], tmp_path)
    killer.join()
    assert not report["blessed"]
    assert report["again"]


def test_missing_warm_up_and_unknown_operations_are_reported_before_anything_starts(
    exports: dict[str, Exported], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    shutil.copytree(exports["single"].folder, model)
    (model / "assets.extra" / "tf_serving_warmup_requests").unlink()
    assert "no warm-up requests" in examine(exports["single"], tmp_path / "one", model)["verdict"]
    monkeypatch.setattr(gate_report, "operation_names", lambda folder: {"MatMul", "FromTheFuture"})
    report = examine(exports["single"], tmp_path / "two", model)
    assert report["verdict"] == "not served: TF Serving 2.20 does not have the operations FromTheFuture"
    assert not report["again"]


def test_the_longest_and_the_shortest_text_are_always_replayed(exports: dict[str, Exported], tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "examples", exports["single"].task)
    chosen = choose_replay_rows(rows, "eval", exports["single"].task, 3)
    assert [row.text for row in chosen] == ["a good film", "bad " * 30, ""]
    assert chosen[0].features == {"review": "a good film"}


def test_the_gate_can_be_off(exports: dict[str, Exported], tmp_path: Path) -> None:
    task = exports["single"].task
    off = ServingConfig(gate=False).model_dump_json()
    blessing = artifact(standard_artifacts.InfraBlessing, tmp_path / "blessing")
    inputs = {
        "examples": [write_rows(tmp_path / "examples", task)],
        "model": [artifact(standard_artifacts.Model, tmp_path / "model")],
    }
    serving_gate.Executor().Do(
        inputs, {"blessing": [blessing]}, {"task": task.model_dump_json(), "config": off, "code": ""}
    )
    assert blessing.get_int_custom_property("blessed") == 1
    assert "is off" in json.loads((tmp_path / "blessing" / SERVING_FILE).read_text())["verdict"]


def test_a_split_without_rows_is_not_served(exports: dict[str, Exported], tmp_path: Path) -> None:
    exported = exports["single"]
    rows = write_rows(tmp_path / "examples", exported.task, ())
    report = gate_report.serving_gate_report(exported.folder, rows, exported.task, ServingConfig())
    assert not report["blessed"]
    assert report["verdict"] == "not served: the eval split has no row to send to the server"


def test_a_server_without_requests_is_not_blessed() -> None:
    report = gate_report.judge_replay(Replay(), ServingConfig(), 0)
    assert report["verdict"] == "not served: no request was sent to the server"
    late = gate_report.judge_replay(Replay(requests=4), ServingConfig(latency_ms=1000), 2)
    assert not late["blessed"], "a latency that was not measured does not meet a limit"
