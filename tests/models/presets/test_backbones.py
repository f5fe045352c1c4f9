from __future__ import annotations

import json
from pathlib import Path

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from reference_states import FAMILIES, features, largest_difference, load, reference

from models.errors import PresetError
from models.presets.backbones import merge_lora


@pytest.mark.parametrize("kind", FAMILIES)
def test_padding_changes_nothing(kind: str, checkpoints: dict) -> None:
    model, values = load(checkpoints[kind][0]), features(40)
    longer = {name: np.pad(value, ((0, 0), (0, 9))) for name, value in values.items()}
    assert largest_difference(np.array(model(longer))[:, :11], model(values), values) < 1e-5


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_folder_in_kerashubs_format_gives_the_same_states(kind: str, checkpoints: dict, tmp_path: Path) -> None:
    keras.utils.set_random_seed(5)
    saved = save_keras_hub(tmp_path, kind, checkpoints[kind][0])
    values = features(40)
    expected = saved({name: values[name] for name in saved.input})
    states = expected["sequence_output"] if isinstance(expected, dict) else expected
    assert largest_difference(load(tmp_path)(values), states, values) < 1e-5


@pytest.mark.parametrize("kind", FAMILIES)
def test_no_random_values_are_drawn_for_weights_that_the_checkpoint_gives(
    kind: str, checkpoints: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(*arguments: object, **options: object) -> None:
        raise AssertionError("random values for weights that the checkpoint replaces")

    expected = load(checkpoints[kind][0])
    monkeypatch.setattr("keras.src.backend.random.truncated_normal", drawn)
    model = load(checkpoints[kind][0])
    for one, other in zip(model.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(AssertionError, match="random values"):
        keras.initializers.TruncatedNormal()((2, 2))  # as before, afterwards


def save_keras_hub(folder: Path, kind: str, source: Path) -> keras.Model:
    """A KerasHub folder with random weights, written by KerasHub."""
    sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16, "max_sequence_length": 24}
    models = keras_hub.models
    if kind == "bert":
        backbone = models.BertBackbone(vocabulary_size=40, **sizes)
    elif kind == "distilbert":
        backbone = models.DistilBertBackbone(vocabulary_size=40, **sizes)
    elif kind == "electra":
        backbone = models.ElectraBackbone(vocab_size=40, embedding_dim=4, **sizes)
    elif kind == "albert":
        backbone = models.AlbertBackbone(vocabulary_size=40, embedding_dim=4, **sizes)
    elif kind == "roberta":
        backbone = models.RobertaBackbone(vocabulary_size=40, **sizes)
    else:
        backbone = models.DebertaV3Backbone(vocabulary_size=40, bucket_size=4, **sizes)
    generator = np.random.default_rng(8)
    for weight in backbone.weights:
        weight.assign(weight + generator.normal(0, 0.3, weight.shape))
    backbone.save_to_preset(str(folder))
    assets = folder / "assets" / "tokenizer"
    assets.mkdir(parents=True)
    files = {"vocab.txt": "vocabulary.txt", "spiece.model": "vocabulary.spm", "spm.model": "vocabulary.spm"}
    files |= {"vocab.json": "vocabulary.json", "merges.txt": "merges.txt"}
    for name, target in files.items():
        if (source / name).is_file():
            (assets / target).write_bytes((source / name).read_bytes())
    return backbone


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_first_layers_alone(kind: str, checkpoints: dict) -> None:
    folder, config, tensors = checkpoints[kind]
    key = "n_layers" if kind == "distilbert" else "num_hidden_layers"
    values, kept = features(40), config[key] // 2
    shorter = {**config, key: kept, "num_hidden_groups": 1}
    model = load(folder, num_layers=kept)
    assert largest_difference(model(values), reference(tensors, shorter, values), values) < 2e-5
    assert len(model.weights) < len(load(folder).weights)


def test_albert_cut_inside_a_group_of_shared_layers(checkpoints: dict) -> None:
    folder, config, tensors = checkpoints["albert"]
    values = features(40)
    # Four layers of two groups: the third is the second group's first call.
    states = reference(tensors, {**config, "num_hidden_layers": 4}, values)
    assert largest_difference(load(folder, num_layers=4)(values), states, values) < 2e-5
    three = load(folder, num_layers=3)(values)
    assert largest_difference(three, states, values) > 0.01
    assert largest_difference(three, load(folder, num_layers=2)(values), values) > 0.01


def trainable(model: keras.Model) -> set[str]:
    return {weight.path.split("/")[0] for weight in model.trainable_weights}


def test_freezing(checkpoints: dict) -> None:
    folder = checkpoints["bert"][0]
    everything = trainable(load(folder))
    blocks = {"transformer_layer_0", "transformer_layer_1"}
    assert everything > blocks
    assert trainable(load(folder, freeze="embeddings")) == blocks
    assert trainable(load(folder, freeze=0)) == blocks
    assert trainable(load(folder, freeze=1)) == {"transformer_layer_1"}
    assert trainable(load(folder, freeze=2)) == set()
    assert trainable(load(folder, freeze="encoder")) == set()
    assert trainable(load(checkpoints["deberta-v2"][0], freeze="embeddings")) == {
        "disentangled_attention_encoder_layer_0",
        "disentangled_attention_encoder_layer_1",
    }


@pytest.mark.parametrize("kind", FAMILIES)
def test_lora_trains_its_own_matrices_and_merges_without_a_change(kind: str, checkpoints: dict) -> None:
    values = features(40)
    model = load(checkpoints[kind][0], lora_rank=2)
    paths = [weight.path for weight in model.trainable_weights]
    assert len(paths) == 2 * 2 * 2
    assert all("lora_kernel" in path and ("/query/" in path or "/value/" in path) for path in paths)
    before = model(values)
    assert largest_difference(before, load(checkpoints[kind][0])(values), values) < 1e-6
    generator = np.random.default_rng(4)
    for weight in model.trainable_weights:
        weight.assign(generator.normal(0, 0.5, weight.shape))
    trained = model(values)
    assert largest_difference(trained, before, values) > 0.01
    count = len(model.variables)
    merge_lora(model)
    assert largest_difference(model(values), trained, values) < 1e-5
    assert len(model.variables) == count


def test_kerashub_weights_of_another_model_are_refused(checkpoints: dict, tmp_path: Path) -> None:
    save_keras_hub(tmp_path, "bert", checkpoints["bert"][0])
    config = json.loads((tmp_path / "config.json").read_text())
    config["config"]["num_layers"] = 3
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(PresetError, match="cannot be loaded"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("bert", {"num_layers": 3}, "num_layers is more"),
        ("bert", {"num_layers": 1, "freeze": 2}, "freeze is more"),
        ("albert", {"freeze": 1}, "share their weights"),
    ],
)
def test_more_layers_than_there_are(kind: str, changes: dict, message: str, checkpoints: dict) -> None:
    with pytest.raises(PresetError, match=message):
        load(checkpoints[kind][0], **changes)


@pytest.mark.parametrize("kind", FAMILIES)
def test_xla_with_static_shapes_and_a_graph_with_free_ones(kind: str, checkpoints: dict) -> None:
    model = load(checkpoints[kind][0])
    values = {name: tf.constant(value) for name, value in features(40).items()}
    free = {name: tf.TensorSpec([None, None], tf.int32, name) for name in values}
    expected = model(values)
    compiled = tf.function(lambda x: model(x, training=True), jit_compile=True)
    graph = tf.function(lambda x: model(x, training=False), input_signature=[free])
    assert compiled(values).shape == expected.shape
    np.testing.assert_allclose(graph(values), expected, atol=2e-5)
