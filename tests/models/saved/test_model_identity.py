"""Exports of one model are the same; everything that affects predictions or inputs makes another model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import golden_text
import keras
import pytest
import tensorflow as tf
from tiny_exports import ENCODER, Exported, export, tiny_model

from models.config import CONFIG_FILE, ModelsConfig, TaskConfig
from models.saved.export import EXTRA_FOLDER, export_saved_model
from models.saved.model_identity import model_digest, same_model
from tflite.host.labels import LabelSpace


def _again(folder: Path, exported: Exported, **changes: Any) -> Path:
    """Another export of a model, with possible changes."""
    arguments = {"tokenizer": exported.tokenizer, "labels": exported.labels, "task": exported.task} | changes
    model = arguments.pop("model", exported.model)
    stored = ModelsConfig(task=exported.task, model=ENCODER).model_dump_json().encode()
    export_saved_model(model, folder, extra_files={CONFIG_FILE: stored}, warmup_texts=["warm"], **arguments)
    return folder


@pytest.mark.slow
def test_exports_of_one_model_are_the_same_whatever_their_bytes(tmp_path: Path, exports: dict[str, Exported]) -> None:
    keras.layers.Dense(3)(keras.Input([2]))  # TensorFlow's and Keras's counters move on
    tf.function(lambda x: x + 1)(tf.constant(1))
    again = export("single", tmp_path / "again")
    first = exports["single"].folder
    assert model_digest(_again(tmp_path / "third", exports["single"])) == model_digest(first)
    assert (first / "saved_model.pb").read_bytes() != (again.folder / "saved_model.pb").read_bytes()
    assert same_model(first, again.folder)
    (again.folder / EXTRA_FOLDER / "training.json").write_text('{"seconds": 3.1}')
    (again.folder / EXTRA_FOLDER / "data_summary.json").write_text("{}")
    assert same_model(first, again.folder)


def _one_weight(exported: Exported) -> keras.Model:
    model = tiny_model(exported.tokenizer, exported.labels.outputs)
    bias = next(variable for variable in model.variables if variable.path.endswith("query/bias"))
    bias.assign(bias + 1e-6)
    return model


def _exchanged_weights(exported: Exported) -> keras.Model:
    """The same values in a different order."""
    model = tiny_model(exported.tokenizer, exported.labels.outputs)
    query, key = (next(v for v in model.variables if v.path.endswith(f"{name}/kernel")) for name in ("query", "key"))
    values = query.numpy(), key.numpy()
    query.assign(values[1])
    key.assign(values[0])
    return model


def _other_activation(exported: Exported) -> keras.Model:
    """The same weights in another computation."""
    model = tiny_model(exported.tokenizer, exported.labels.outputs)
    model.get_layer("logits").activation = keras.activations.tanh
    return model


OTHERS: dict[str, Callable[[Exported], dict[str, Any]]] = {
    "a weight": lambda one: {"model": _one_weight(one)},
    "weights in other places": lambda one: {"model": _exchanged_weights(one)},
    "a label's name": lambda one: {"labels": LabelSpace(labels=("bad", "good", "tres"))},
    "a computation": lambda one: {"model": _other_activation(one)},
    "a token": lambda one: {
        "tokenizer": replace(one.tokenizer, vocabulary=(*one.tokenizer.vocabulary[:-1], "unheard")),
    },
    "the column in a signature": lambda one: {"task": TaskConfig(text="comment")},
}


@pytest.mark.slow_variants
@pytest.mark.parametrize("what", OTHERS)
def test_what_the_model_answers_with_makes_another(what: str, tmp_path: Path, exports: dict[str, Exported]) -> None:
    one = exports["single"]
    assert model_digest(_again(tmp_path / "other", one, **OTHERS[what](one))) not in (None, model_digest(one.folder))


STORED: dict[str, tuple[Callable[[dict[str, Any]], Any], bool]] = {
    "a setting of the training": (lambda stored: stored["train"].update(label_smoothing=0.1), False),
    "a setting of the task": (lambda stored: stored["task"].update(threshold=0.4), False),
    "a setting of the tokenizer": (lambda stored: stored["tokenizer"].update(lowercase=False), False),
    "when it saves checkpoints": (lambda stored: stored["train"].update(checkpoint_steps=7), True),
    "where the preset lay": (lambda stored: stored["model"].update(preset="/elsewhere"), True),
    "where the data lay": (lambda stored: stored.update(data={"path": "2026-11-26.csv"}), True),
}


@pytest.mark.parametrize("what", STORED)
def test_settings_of_the_model_are_part_of_it(what: str, tmp_path: Path, exports: dict[str, Exported]) -> None:
    change, same = STORED[what]
    folder = shutil.copytree(exports["single"].folder, tmp_path / "other")
    stored = json.loads((folder / EXTRA_FOLDER / CONFIG_FILE).read_text())
    change(stored)
    (folder / EXTRA_FOLDER / CONFIG_FILE).write_text(json.dumps(stored))
    assert same_model(exports["single"].folder, folder) == same


@pytest.mark.parametrize("gone", ["saved_model.pb", "variables/variables.index", f"{EXTRA_FOLDER}/{CONFIG_FILE}"])
def test_what_cannot_be_read_is_the_same_as_nothing(gone: str, tmp_path: Path, exports: dict[str, Exported]) -> None:
    folder = shutil.copytree(exports["single"].folder, tmp_path / "other")
    (folder / gone).unlink()
    assert model_digest(folder) is None
    assert not same_model(folder, folder)
    (folder / gone).write_bytes(b"\x00damaged")
    assert model_digest(folder) is None
    assert not same_model(folder, exports["single"].folder)


@pytest.mark.parametrize("kind", ["pair", "multi", "number"])
def test_every_kind_of_task_has_an_identity(kind: str, exports: dict[str, Exported]) -> None:
    found = {name: model_digest(one.folder) for name, one in exports.items()}
    assert found[kind] is not None
    assert list(found.values()).count(found[kind]) == 1
    assert golden_text.tokenizer() == exports[kind].tokenizer
