from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf
import tiny_checkpoints
from tiny_exports import KINDS, Exported

from models.build import build_model
from models.config import CONFIG_FILE, EncoderConfig, ModelsConfig, PresetConfig
from models.errors import ModelError
from models.presets.architecture import ARCHITECTURE_FILE, Architecture
from models.presets.backbones import merge_lora
from models.presets.preset import describe_preset, preset_tokenizer
from models.saved.export import export_saved_model
from models.saved.model_identity import same_model
from models.saved.model_locations import EXTRA_FOLDER
from models.saved.restore import restore
from tflite.host.labels import LabelSpace

IDS = {name: np.ones((2, 5), np.int32) for name in ("token_ids", "padding_mask", "segment_ids")}
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
    wanted, got = exported.ask_keras(TEXTS, pairs), restored.predict(TEXTS, pairs)
    assert wanted.keys() == got.keys()
    assert all(np.array_equal(wanted[name], got[name]) for name in wanted)


def test_a_merged_preset_is_restored_where_its_folder_is_gone(tmp_path: Path) -> None:
    """LoRA's updates are then part of the kernels: they are not added twice."""
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
    architecture = describe_preset(str(preset)).text().encode()
    stored = {CONFIG_FILE: config.model_dump_json().encode(), ARCHITECTURE_FILE: architecture}
    folder = tmp_path / "export"
    export_saved_model(
        model, folder, tokenizer=tokenizer, labels=labels, task=config.task, extra_files=stored, warmup_texts=["good"]
    )
    shutil.move(preset, tmp_path / "elsewhere")
    restored = restore(folder)
    np.testing.assert_allclose(restored.model(IDS), model(IDS), atol=1e-6)
    assert restored.tokenizer == tokenizer

    (folder / EXTRA_FOLDER / ARCHITECTURE_FILE).unlink()
    with pytest.raises(ModelError, match="without its preset") as caught:
        restore(folder)
    assert str(preset) in str(caught.value.expected)
    shutil.move(tmp_path / "elsewhere", preset)
    np.testing.assert_allclose(restore(folder).model(IDS), model(IDS), atol=1e-6)


@pytest.mark.slow
def test_a_preset_that_compares_two_texts_is_exported_and_restored(tmp_path: Path) -> None:
    """By default, of a folder that specifies the pooling: its stored architecture must do so, too."""
    preset = tmp_path / "bert"
    tiny_checkpoints.write(preset, "bert")
    modules = [{"path": "", "type": "x.Transformer"}, {"path": "p", "type": "x.Pooling"}]
    (preset / "modules.json").write_text(json.dumps(modules))
    (preset / "p").mkdir()
    (preset / "p" / "config.json").write_text('{"pooling_mode": "mean"}')
    config = ModelsConfig.model_validate(
        {
            "task": {"text_pair": "other"},
            "model": {"preset": str(preset), "lora_rank": 2},
            "tokenizer": {"max_length": 24},  # all positions of the checkpoint
        }
    )
    tokenizer, labels = preset_tokenizer(str(preset), 24), LabelSpace(labels=("a", "b"), temperatures=(1.3,))
    keras.utils.set_random_seed(0)
    model = build_model(config.model, tokenizer=tokenizer, outputs=2, two_texts=True)
    assert model.get_layer("logits").kernel.shape[0] == 8 + 17
    for weight in model.trainable_weights:
        if "lora" in weight.path or weight.path == "logits/kernel":
            weight.assign(keras.random.normal(weight.shape, stddev=0.5))
    merge_lora(model)
    architecture = describe_preset(str(preset)).text().encode()
    stored = {CONFIG_FILE: config.model_dump_json().encode(), ARCHITECTURE_FILE: architecture}
    folder = tmp_path / "export"
    export_saved_model(model, folder, tokenizer=tokenizer, labels=labels, task=config.task, extra_files=stored)
    shutil.rmtree(preset)
    restored = restore(folder)
    others = [TEXTS[-1], TEXTS[0], TEXTS[1], TEXTS[2]]
    expected = restored.predict(TEXTS, others)
    assert np.ptp(expected["probabilities"], axis=0).min() > 0.05
    served = tf.saved_model.load(str(folder)).signatures["serving_default"]
    answers = served(text=tf.constant(TEXTS), text_pair=tf.constant(others))
    np.testing.assert_allclose(answers["probabilities"], expected["probabilities"], atol=1e-5)
    alone = served(text=tf.constant(TEXTS[:1]), text_pair=tf.constant(others[:1]))
    np.testing.assert_allclose(alone["probabilities"], expected["probabilities"][:1], atol=1e-5)
    again = tmp_path / "again"
    given = {"tokenizer": tokenizer, "labels": labels, "task": config.task, "extra_files": stored}
    export_saved_model(restored.model, again, **given)
    assert same_model(folder, again)
    features = restored.features(TEXTS, others)
    np.testing.assert_allclose(restored.model(features), model(features), atol=1e-6)


CHECKPOINTS = [*sorted(tiny_checkpoints.CONFIGS), "keras_hub"]


@pytest.mark.parametrize("kind", CHECKPOINTS)
@pytest.mark.parametrize("changes", [{}, {"num_layers": 1, "lora_rank": 2, "pooling": "mean"}], ids=["whole", "cut"])
@pytest.mark.parametrize("two_texts", [False, True], ids=["one", "two"])
def test_a_preset_of_any_family_is_built_again_from_its_architecture(
    kind: str, changes: Any, two_texts: bool, tmp_path: Path
) -> None:
    preset = tmp_path / "preset"
    _write(preset, kind)
    config = PresetConfig(preset=str(preset), pair_encoding="auto" if kind == "roberta" else "both", **changes)
    tokenizer = preset_tokenizer(str(preset), 16)
    model = build_model(config, tokenizer=tokenizer, outputs=3, two_texts=two_texts)
    (tmp_path / ARCHITECTURE_FILE).write_text(describe_preset(str(preset)).text(), encoding="utf-8")
    shutil.rmtree(preset)

    architecture = Architecture.load(tmp_path)
    again = build_model(config, tokenizer=tokenizer, outputs=3, two_texts=two_texts, architecture=architecture)
    assert [weight.path for weight in again.weights] == [weight.path for weight in model.weights]
    for variable, trained in zip(again.variables, model.variables, strict=True):
        variable.assign(trained)
    np.testing.assert_array_equal(again(IDS), model(IDS))


def _write(folder: Path, kind: str) -> None:
    """A tiny checkpoint in Hugging Face's format or in KerasHub's."""
    if kind != "keras_hub":
        tiny_checkpoints.write(folder, kind, **({"hidden_act": "relu"} if kind == "bert" else {}))
        return
    sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16, "max_sequence_length": 24}
    keras_hub.models.BertBackbone(vocabulary_size=40, **sizes).save_to_preset(str(folder))
    keras_hub.models.BertTokenizer(vocabulary=tiny_checkpoints.WORDS).save_to_preset(str(folder))


def test_a_model_that_transom_did_not_export(tmp_path: Path, exports: dict[str, Exported]) -> None:
    folder = tmp_path / "model"
    shutil.copytree(exports["single"].folder, folder)
    (folder / EXTRA_FOLDER / CONFIG_FILE).unlink()
    with pytest.raises(ModelError, match=CONFIG_FILE):
        restore(folder)


@pytest.mark.parametrize("content", ["{", '{"family": "bert"}'])
def test_a_damaged_architecture_is_named(content: str, tmp_path: Path, exports: dict[str, Exported]) -> None:
    folder = tmp_path / "model"
    shutil.copytree(exports["single"].folder, folder)
    (folder / EXTRA_FOLDER / ARCHITECTURE_FILE).write_text(content)
    with pytest.raises(ModelError, match="cannot be restored"):
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


def test_a_stored_model_of_an_earlier_version_has_no_linear_part() -> None:
    stored = ModelsConfig().model_dump(mode="json")
    del stored["model"]["linear_rows"]
    earlier = ModelsConfig.from_stored(stored).model
    assert isinstance(earlier, EncoderConfig)
    assert earlier.linear_rows == 0


def test_a_stored_preset_of_an_earlier_version_reads_two_texts_only_together() -> None:
    stored = ModelsConfig.model_validate({"model": {"preset": "folder"}}).model_dump(mode="json")
    assert stored["model"].pop("pair_encoding") == "auto"
    earlier, now = (
        ModelsConfig.from_stored({**stored, "model": {**stored["model"], **more}}).model
        for more in ({}, {"pair_encoding": "auto"})
    )
    assert isinstance(earlier, PresetConfig)
    assert isinstance(now, PresetConfig)
    assert (earlier.pair_encoding, now.pair_encoding) == ("together", "auto")


def test_a_stored_preset_of_an_earlier_version_has_no_linear_part() -> None:
    stored = ModelsConfig.model_validate({"model": {"preset": "folder"}}).model_dump(mode="json")
    assert stored["model"].pop("linear_rows") > 0
    earlier = ModelsConfig.from_stored(stored).model
    assert isinstance(earlier, PresetConfig)
    assert earlier.linear_rows == 0
