"""Settings that contradict each other or have no effect are refused by key before TensorFlow is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.errors import ConfigError
from pipeline.configuration.loading import load

MULTI = {"task.type": "multi_label"}
NUMBER = {"task.type": "regression"}
PRESET = {"model.preset": "folder"}
PAIR = {"task.text_pair": "other"}


def configure(folder: Path, **groups: Any) -> Any:
    """Loads a configuration of keys such as {"train.epochs": 3}."""
    file = folder / "transom.yaml"
    raw: dict[str, Any] = {"data": {"path": "a.csv"}}
    for key, value in groups.items():
        *parents, last = key.split(".")
        place = raw
        for name in parents:
            place = place.setdefault(name, {})
        place[last] = value
    file.write_text(yaml.safe_dump(raw))
    return load(file)


@pytest.mark.parametrize(
    ("keys", "refused", "expected"),
    [
        # Settings of one kind of task.
        ({"task.threshold": 0.3}, "task.threshold", "only a multi_label task"),
        ({"task.threshold": "auto"}, "task.threshold", "only a multi_label task"),
        (NUMBER | {"evaluation.calibrate": False}, "evaluation.calibrate", "has no labels"),
        ({"task.label_separator": ";"}, "task.label_separator", "only a multi_label task"),
        (NUMBER | {"task.threshold": 0.3}, "task.threshold", "task.type is regression"),
        (NUMBER | {"train.label_smoothing": 0.1}, "train.label_smoothing", "has no labels"),
        (NUMBER | {"train.class_weights": "balanced"}, "train.class_weights", "has no labels"),
        (NUMBER | {"train.metric": "accuracy"}, "train.metric", "mse, spearman"),
        ({"train.metric": "mse"}, "train.metric", "accuracy, calibrated_loss, macro_f1, micro_f1"),
        (NUMBER | {"gate.small_class": "error"}, "gate.small_class", "has no labels"),
        (NUMBER | {"gate.small_class_rows": 3}, "gate.small_class_rows", "has no labels"),
        (NUMBER | {"gate.unseen_label": "warn"}, "gate.unseen_label", "has no labels"),
        (NUMBER | {"gate.conflicting_labels": "error"}, "gate.conflicting_labels", "different numbers"),
        (NUMBER | {"evaluation.slices": ["label", "place"]}, "evaluation.slices", "text_length"),
        # Labels that no row can have.
        (MULTI | {"task.labels": ["a|b", "c"]}, "task", "split at '|'"),
        (MULTI | {"task.labels": ["a b", "c"], "task.label_separator": " "}, "task", "split at ' '"),
        ({"task.labels": ["a ", "c"]}, "task", "write 'a'"),
        ({"task.labels": [" ", "c"]}, "task", "an empty field"),
        (MULTI | {"train.class_weights": {"a|b": 2.0}}, "train.class_weights", "split at '|'"),
        ({"train.backend": "jax", "train.strategy": "tpu"}, "train.strategy", "no TPU strategy"),
        ({"train.backend": "torch", "train.shards": 2}, "train.shards", "each device has the whole model"),
        ({"train.backend": "jax", "train.shards": 2, "train.devices": 3}, "train.shards", "a divisor of train.devices"),
        ({"train.backend": "jax", "train.shards": 2, "train.strategy": "none"}, "train.shards", "1, with"),
        (
            {"train.backend": "jax", "train.shards": 3, "model.num_heads": 4, "model.width": 64},
            "train.shards",
            "a divisor of model.num_heads, which is 4",
        ),
        ({"train.devices": 2, "train.strategy": "none"}, "train.devices", "uses one device"),
        ({"train.backend": "torch", "train.xla": False}, "train.xla", "nothing, because train.backend is torch"),
        ({"train.class_weights": {" a": 2.0}}, "train.class_weights", "write 'a'"),
        ({"task.labels": ["a", "b"], "train.class_weights": {"c": 2.0}}, "train.class_weights", "'a', 'b'"),
        (MULTI | {"evaluation.thresholds": {"f1/a|b": {"min": 0.5}}}, "evaluation.thresholds.f1/a|b", "split at '|'"),
        (
            MULTI | {"evaluation.thresholds": {"micro_f1": {"min": 0.5, "slices": ["label=a|b"]}}},
            "evaluation.thresholds.micro_f1.slices",
            "split at '|'",
        ),
        (
            {"evaluation.thresholds": {"accuracy": {"min": 0.5, "slices": ["text_length=short"]}}},
            "evaluation.thresholds.accuracy.slices",
            "0-15 characters",
        ),
        # Two spellings of one label: the second would replace the first.
        ({"train.class_weights": {"1": 2.0, "1.0": 3.0}}, "train.class_weights", "'1' and '1.0' are two spellings"),
        (
            {"evaluation.thresholds": {"recall/1": {"min": 0.9}, "recall/1.0": {"min": 0.1}}},
            "evaluation.thresholds",
            "'recall/1' and 'recall/1.0'",
        ),
        (
            {"evaluation.thresholds": {"f1/caf\xe9": {"min": 0.9}, "f1/cafe\u0301": {"min": 0.1}}},
            "evaluation.thresholds",
            "'f1/cafe\\u0301' and 'f1/caf\\xe9'",
        ),
        ({"evaluation.thresholds": {"recall/a ": {"min": 0.9}}}, "evaluation.thresholds.recall/a ", "write 'a'"),
        # Weights and thresholds that cancel each other out.
        (MULTI | {"train.label_smoothing": 0.2, "task.threshold": 0.1}, "train.label_smoothing", "it is 0.1"),
        (MULTI | {"train.label_smoothing": 0.2, "task.threshold": 0.95}, "train.label_smoothing", "it is 0.95"),
        ({"train.class_weights": {"a": 0}}, "train.class_weights.a", "greater than 0"),
        ({"train.class_weights": {"a": -1.0}}, "train.class_weights.a", "greater than 0"),
        ({"train.class_weights": {"a": float("inf")}}, "train.class_weights.a", "finite"),
        ({"train.class_weights": {"a": True}}, "train.class_weights.a", "a number"),
        # Settings that a preset determines, and settings that only a preset has.
        (PRESET | {"tokenizer.vocabulary_size": 900}, "tokenizer.vocabulary_size", "its own vocabulary"),
        (PRESET | {"tokenizer.lowercase": False}, "tokenizer.lowercase", "its own vocabulary"),
        (PRESET | {"tokenizer.strip_accents": False}, "tokenizer.strip_accents", "its own vocabulary"),
        (PRESET | {"model.lora_rank": 4, "model.freeze": "embeddings"}, "model.freeze", "LoRA"),
        (PRESET | {"model.lora_rank": 4, "model.freeze": 2}, "model.freeze", "remove one"),
        (PRESET | {"model.freeze": "encoder", "train.layer_decay": 0.9}, "train.layer_decay", "no layer below"),
        (PRESET | {"model.freeze": True}, "model.freeze", "'encoder' or a number"),
        (PRESET | {"model.freeze": "encoder", "train.remat": True}, "train.remat", "no layer below"),
        ({"train.contrastive": "on"}, "train.contrastive", "an encoder from scratch"),
        (PRESET | {"train.contrastive": "on", "model.freeze": "encoder"}, "train.contrastive", "that is frozen"),
        (PRESET | {"train.contrastive": "on", "model.lora_rank": 4}, "train.contrastive", "LoRA"),
        (PRESET | PAIR | {"train.contrastive": "on"}, "train.contrastive", "pairs of texts"),
        (PRESET | MULTI | {"train.contrastive": "on"}, "train.contrastive", "task.type multi_label"),
        (PRESET | NUMBER | {"train.contrastive": "on"}, "train.contrastive", "task.type regression"),
        ({"train.contrastive": "yes"}, "train.contrastive", "'auto', 'on' or 'off'"),
        ({"train.layer_decay": 0.9}, "train.layer_decay", "for a preset"),
        ({"train.head_multiple": 3.0}, "train.head_multiple", "for a preset"),
        ({"kubeflow.preset": "/mnt/preset"}, "kubeflow.preset", "no model.preset"),
        # Lengths.
        ({"edge.lengths": [64, 256]}, "edge.lengths", "at most 128 tokens"),
        (PAIR | {"tokenizer.max_length": 5}, "tokenizer.max_length", "at least 6 for a pair"),
        (PAIR | {"edge.lengths": [4]}, "edge.lengths", "at least 6 for a pair"),
        ({"tokenizer.mediapipe_compatible": True, "edge.lengths": [32, 64]}, "edge.lengths", "several signatures"),
        (NUMBER | {"tokenizer.mediapipe_compatible": True}, "tokenizer.mediapipe_compatible", "for a regression"),
        # The rest.
        ({"data": {"train": "a.csv", "splits": {"eval": 2}}}, "data.splits.eval", "goes with `path`"),
        ({"evaluation.slices": [], "edge.max_slice_loss": 0.1}, "edge.max_slice_loss", "evaluation.slices is empty"),
        ({"train.strategy": "tpu", "train.xla": False}, "train.xla", "a TPU runs only"),
        ({"train.strategy": "tpu", "train.xla": "parts"}, "train.xla", "a TPU runs only"),
        ({"kubeflow.default": {"accelerators": 2}}, "kubeflow.default.accelerators", "names the kind"),
        ({"kubeflow.steps": {"Trainer": {"accelerators": 2}}}, "kubeflow.steps.Trainer.accelerators", "names the kind"),
        ({"kubeflow.default": {"shared_memory_gb": 9}}, "kubeflow.default.shared_memory_gb", "at most 8"),
        ({"kubeflow.default": {"cpu": 0.0001}}, "kubeflow.default.cpu", "0.001"),
        ({"kubeflow.default": {"tolerations": [{}]}}, "kubeflow.default.tolerations.0", "give the `key`"),
        (
            {"kubeflow.default": {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}},
            "kubeflow.default.tolerations.0",
            "matches any value",
        ),
        ({"edge.variants": ["float16", "float16"]}, "edge.variants", "'float16' occurs more than once"),
        ({"edge.lengths": [8, 16, 8]}, "edge.lengths", "8 occurs more than once"),
        ({"evaluation.slices": ["place", "place"]}, "evaluation.slices", "more than once"),
        ({"edge.budget": {"operations": ["ADD", "ADD"]}}, "edge.budget.operations", "more than once"),
        ({"train.epochs": True}, "train.epochs", "a number"),
        ({"push.keep": False}, "push.keep", "a number"),
        ({"train.learning_rate": float("nan")}, "train.learning_rate", "finite"),
        ({"model.dropout": 0.999999}, "model.dropout", "0.99"),
        ({"serving.rows": 1}, "serving.rows", "2"),
        ({"serving.tolerance": 1}, "serving.tolerance", "less than 1"),
        ({"task.text": ""}, "task.text", "not empty"),
    ],
)
def test_settings_without_effect_are_refused(tmp_path: Path, keys: dict, refused: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configure(tmp_path, **keys)
    line = str(caught.value).splitlines()[0].partition("transom.yaml: ")[2]
    assert line == refused or line.startswith(f"{refused}: ")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "keys",
    [
        # A key set to its default is allowed even if it has no effect.
        NUMBER | {"task.threshold": 0.5, "train.class_weights": "none", "evaluation.slices": ["label", "text_length"]},
        PRESET | {"tokenizer.vocabulary_size": 8000, "tokenizer.strip_accents": True},
        PRESET | {"tokenizer.mediapipe_compatible": True},
        {"train.layer_decay": 1.0, "train.head_multiple": 1.0},
        # Settings of a feature that is turned off are kept for later.
        {"gate.drift": "off", "gate.drift_threshold": 0.4},
        {"serving.gate": False, "serving.latency_ms": 3.0},
        {"edge.variants": [], "edge.lengths": [999]},
        {"edge.variants": [], "edge.lengths": [32, 64], "tokenizer.mediapipe_compatible": True},
        PAIR | {"edge.variants": [], "edge.lengths": [4]},
        NUMBER | {"gate.small_class": "off", "gate.small_class_rows": 3},
        NUMBER | {"gate.small_class": "off", "gate.unseen_label": "off", "gate.conflicting_labels": "off"},
        # Valid combinations.
        MULTI | {"task.labels": ["a b", "c"], "task.label_separator": ";", "train.class_weights": {"a b": 2.0}},
        MULTI | {"train.label_smoothing": 0.1, "task.threshold": 0.2, "train.class_weights": "balanced"},
        MULTI | {"train.label_smoothing": 0.1, "task.threshold": "auto", "evaluation.calibrate": False},
        {"task.labels": ["a|b", "c"], "evaluation.thresholds": {"recall/a|b": {"min": 0.5, "slices": ["label=a|b"]}}},
        PRESET | {"model.lora_rank": 4, "train.layer_decay": 0.9, "kubeflow.preset": "/mnt/preset"},
        PRESET | {"model.freeze": 0},
        PRESET | {"model.freeze": "encoder", "train.head_multiple": 3.0},
        {"kubeflow.default": {"accelerators": 2}, "kubeflow.steps": {"Trainer": {"accelerator": "nvidia.com/gpu"}}},
        {"kubeflow.default": {"tolerations": [{"operator": "Exists"}, {"key": "spot", "value": "yes"}]}},
        {"kubeflow.steps": {"Trainer": {"memory_gb": 16, "shared_memory_gb": 9}}},
        {"train.epochs": "3", "train.learning_rate": "1e-4", "train.xla": "no"},
    ],
)
def test_what_goes_together_is_taken(tmp_path: Path, keys: dict) -> None:
    configure(tmp_path, **keys)


def test_all_that_does_not_go_together_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"2 keys are wrong\n  - task.threshold: .*\n  - train.metric: ") as caught:
        configure(tmp_path, **{"task.threshold": 0.3, "train.metric": "mse"})
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("keys", "known"),
    [
        ({"edge.budget": {"foo": 1}}, "latency_ratio, megabytes, memory_megabytes, operations"),
        ({"data.splits": {"foo": 1}}, "eval, test, train"),
        ({"evaluation.thresholds": {"accuracy": {"foo": 1}}}, "max, max_loss_to_live, min, slices"),
        ({"kubeflow.mounts": [{"claim": "a", "path": "/b", "foo": 1}]}, "claim, path"),
        ({"kubeflow.steps": {"Trainer": {"tolerations": [{"foo": 1}]}}}, "effect, key, operator, value"),
        ({"model.foo": 1}, "num_layers, pooling, positions"),
        ({"model": {"preset": "a", "foo": 1}}, "freeze, linear_rows, lora_rank"),
        ({"foo": 1}, "data, edge"),
    ],
)
def test_an_unknown_key_names_those_of_its_group_wherever_it_stands(tmp_path: Path, keys: dict, known: str) -> None:
    with pytest.raises(ConfigError, match="a key that Transom does not know") as caught:
        configure(tmp_path, **keys)
    assert known in str(caught.value)


def test_no_tensorflow_is_loaded_for_it(repository: Path) -> None:
    code = (
        "import sys, pipeline.configuration.combinations; "
        "print([m for m in ('tensorflow', 'keras', 'tfx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
