from __future__ import annotations

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tiny_checkpoints
from tiny_exports import KINDS, Exported

from models.backbones import merge_lora
from models.build import build_model
from models.config import CONFIG_FILE, ModelsConfig
from models.errors import ModelError
from models.export import EXTRA_FOLDER, export_saved_model
from models.labels import LabelSpace
from models.presets import preset_tokenizer
from models.restore import restore

TEXTS = [b"good", b"", "Café 好".encode(), b"a bad bad film " * 9]


@pytest.mark.parametrize("kind", KINDS)
def test_the_restored_model_answers_as_the_exported_one(kind: str, exports: dict[str, Exported]) -> None:
    exported = exports[kind]
    restored = restore(exported.folder)
    assert (restored.tokenizer, restored.labels, restored.task) == (
        exported.tokenizer,
        exported.labels,
        exported.task,
    )
    pairs = TEXTS[::-1] if exported.task.text_pair else None
    wanted, got = exported.ask_keras(TEXTS, pairs), restored.answer(TEXTS, pairs)
    assert wanted.keys() == got.keys()
    assert all(np.array_equal(wanted[name], got[name]) for name in wanted)


def test_merged_lora_is_not_added_twice(tmp_path: Path) -> None:
    preset = tmp_path / "bert"
    tiny_checkpoints.write(preset, "bert")
    config = ModelsConfig.model_validate(
        {"model": {"preset": str(preset), "lora_rank": 2}, "tokenizer": {"max_length": 16}}
    )
    tokenizer, labels = preset_tokenizer(str(preset), 16), LabelSpace(labels=("a", "b"))
    keras.utils.set_random_seed(0)
    model = build_model(config.model, tokenizer=tokenizer, outputs=2)
    for weight in model.trainable_weights:
        weight.assign(keras.random.normal(weight.shape, stddev=0.5))
    merge_lora(model)
    stored = {CONFIG_FILE: config.model_dump_json().encode()}
    folder = tmp_path / "export"
    export_saved_model(
        model, folder, tokenizer=tokenizer, labels=labels, task=config.task, extra_files=stored, warmup_texts=["good"]
    )
    ids = {name: np.ones((2, 5), np.int32) for name in ("token_ids", "padding_mask", "segment_ids")}
    np.testing.assert_allclose(restore(folder).model(ids), model(ids), atol=1e-6)


def test_a_model_that_transom_did_not_export(tmp_path: Path, exports: dict[str, Exported]) -> None:
    folder = tmp_path / "model"
    shutil.copytree(exports["single"].folder, folder)
    (folder / EXTRA_FOLDER / CONFIG_FILE).unlink()
    with pytest.raises(ModelError, match=CONFIG_FILE):
        restore(folder)


def test_weights_of_another_configuration_are_named(tmp_path: Path, exports: dict[str, Exported]) -> None:
    folder = tmp_path / "model"
    shutil.copytree(exports["single"].folder, folder)
    stored = folder / EXTRA_FOLDER / CONFIG_FILE
    config = json.loads(stored.read_text())
    config["model"]["width"] = 16
    stored.write_text(json.dumps(config))
    with pytest.raises(ModelError, match="do not fit") as caught:
        restore(folder)
    assert "weights/1/" in caught.value.got
