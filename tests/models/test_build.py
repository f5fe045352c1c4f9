from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_checkpoints

from models.build import build_model, count_parameters, layer_depths, resolve_pooling
from models.config import EncoderConfig, PresetConfig
from models.errors import PresetError
from models.presets.preset import preset_tokenizer
from tflite.host.tokenizer import Tokenizer

SMALL = EncoderConfig(num_layers=2, width=32, num_heads=2, dropout=0.1)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    vocabulary = tuple(tiny_checkpoints.WORDS)
    return Tokenizer(
        "wordpiece",
        start_id=2,
        end_id=3,
        pad_id=0,
        unknown_id=1,
        vocabulary=vocabulary,
        vocabulary_size=len(vocabulary),
        max_length=16,
    )


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    tiny_checkpoints.write(folder, "bert")
    return folder


def preset(folder: Path, **changes: object) -> PresetConfig:
    return PresetConfig(type="preset", preset=str(folder), **changes)


def features(rows: int = 4, length: int = 8) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    mask = (np.arange(length) < generator.integers(2, length + 1, (rows, 1))).astype("int32")
    ids = generator.integers(5, 13, (rows, length)).astype("int32") * mask
    return {"token_ids": ids, "padding_mask": mask, "segment_ids": np.zeros_like(ids)}


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_logits_are_float32_under_every_precision(policy: str, tokenizer: Tokenizer, bert: Path) -> None:
    keras.utils.set_random_seed(0)
    expected = [np.array(build_model(config, tokenizer=tokenizer, outputs=3)(features())) for config in (SMALL,)]
    keras.config.set_dtype_policy(policy)
    try:
        keras.utils.set_random_seed(0)
        models = [build_model(config, tokenizer=tokenizer, outputs=3) for config in (SMALL, preset(bert))]
    finally:
        keras.config.set_dtype_policy("float32")
    for model in models:
        assert {name: value.dtype for name, value in model.input.items()} == dict.fromkeys(features(), "int32")
        assert model.output.shape == (None, 3)
        logits = model(features())
        assert logits.dtype == tf.float32
        assert {weight.dtype for weight in model.weights} == {"float32"}
    np.testing.assert_allclose(models[0](features()), expected[0], atol=0.02)


@pytest.mark.parametrize("kind", sorted(tiny_checkpoints.CONFIGS))
def test_a_preset_of_each_family(kind: str, tmp_path: Path) -> None:
    tiny_checkpoints.write(tmp_path, kind)
    keras.utils.set_random_seed(0)
    model = build_model(preset(tmp_path), tokenizer=preset_tokenizer(str(tmp_path), 16), outputs=2)
    assert sorted(model.input) == ["padding_mask", "segment_ids", "token_ids"]
    logits = np.array(model(features()))
    assert logits.shape == (4, 2)
    assert np.abs(logits).max() < 1.0  # the head starts small
    assert np.ptp(logits, axis=0).min() > 0


def test_depths_of_an_encoder_from_scratch(tokenizer: Tokenizer) -> None:
    depths = layer_depths(build_model(SMALL, tokenizer=tokenizer, outputs=2))
    first = {path.split("/")[0]: depth for path, depth in depths.items()}
    assert first == {
        "token_embedding": 0,
        "segment_embedding": 0,
        "place_embedding": 0,
        "position_embedding": 0,
        "embeddings_layer_norm": 0,
        "neighbours": 0,
        "neighbours_layer_norm": 0,
        "transformer_layer_0": 1,
        "transformer_layer_1": 2,
        "final_layer_norm": 2,
        "logits": 3,
        "surface": 0,
    }


@pytest.mark.parametrize(
    ("kind", "layers"), [("bert", 2), ("distilbert", 2), ("albert", 2), ("deberta-v2", 2), ("roberta", 2)]
)
def test_depths_of_presets(kind: str, layers: int, tmp_path: Path) -> None:
    tiny_checkpoints.write(tmp_path, kind)
    model = build_model(preset(tmp_path), tokenizer=preset_tokenizer(str(tmp_path), 16), outputs=2)
    depths = layer_depths(model)
    assert set(depths) == {weight.path for weight in model.weights}
    assert set(depths.values()) == set(range(layers + 2))
    assert {path for path, depth in depths.items() if depth == layers + 1} == {"logits/kernel", "logits/bias"}
    lowest = ("layer_norm", "embedding", "surface/")
    assert all(any(name in path for name in lowest) for path, depth in depths.items() if depth == 0)


def test_the_head_is_trained_whatever_is_frozen(tokenizer: Tokenizer, bert: Path) -> None:
    for changes in ({"freeze": "encoder"}, {"lora_rank": 2, "freeze": "encoder"}):
        model = build_model(preset(bert, **changes), tokenizer=tokenizer, outputs=2)
        paths = {weight.path for weight in model.trainable_weights}
        assert {"logits/kernel", "logits/bias"} <= paths
        assert all("lora_kernel" in path for path in paths - {"logits/kernel", "logits/bias"})
    counts = count_parameters(build_model(preset(bert, freeze="encoder"), tokenizer=tokenizer, outputs=2))
    assert counts["trainable"] == 8 * 2 + 2
    assert counts["total"] > 1000


def test_the_same_seed_gives_the_same_model_and_weights_are_restored_by_order(tokenizer: Tokenizer, bert: Path) -> None:
    for config in (SMALL, preset(bert, lora_rank=2)):
        keras.utils.set_random_seed(1)
        first = build_model(config, tokenizer=tokenizer, outputs=2)
        keras.utils.set_random_seed(1)
        same = build_model(config, tokenizer=tokenizer, outputs=2)
        np.testing.assert_array_equal(first(features()), same(features()))
        keras.utils.set_random_seed(2)
        other = build_model(config, tokenizer=tokenizer, outputs=2)
        assert np.abs(np.array(first(features())) - np.array(other(features()))).max() > 0
        assert [v.shape for v in first.variables] == [v.shape for v in other.variables]
        for source, target in zip(first.variables, other.variables, strict=True):
            target.assign(source)
        np.testing.assert_array_equal(first(features()), other(features()))
        # Dropout's generators are among the variables: the next training step repeats too.
        np.testing.assert_array_equal(first(features(), training=True), other(features(), training=True))


def pairs() -> dict[str, np.ndarray]:
    """Two texts in each row, and rows of padding alone."""
    values = features()
    second = (np.arange(8) >= np.array([[4], [2], [3], [8]])).astype("int32")
    values["padding_mask"][:2] = 1
    return {**values, "segment_ids": second * values["padding_mask"]}


def test_a_preset_compares_two_texts_only_where_there_are_two(tokenizer: Tokenizer, bert: Path) -> None:
    sizes = {}
    for choice in ("auto", "together", "both"):
        config = preset(bert, pair_encoding=choice)
        one, two = (build_model(config, tokenizer=tokenizer, outputs=2, two_texts=given) for given in (False, True))
        assert sorted(two.input) == ["padding_mask", "segment_ids", "token_ids"]
        ours, theirs = ([w.path for w in model.weights if "surface/" not in w.path] for model in (one, two))
        assert ours == theirs
        sizes[choice] = [model.get_layer("logits").kernel.shape[0] for model in (one, two)]
    assert sizes == {"auto": [8, 8], "together": [8, 8], "both": [8, 8 + 2 * 8 + 1]}


def test_roberta_cannot_compare_two_texts(tmp_path: Path) -> None:
    tiny_checkpoints.write(tmp_path, "roberta")
    roberta = preset_tokenizer(str(tmp_path), 16)
    build_model(preset(tmp_path), tokenizer=roberta, outputs=2, two_texts=True)
    with pytest.raises(PresetError, match=r"model\.pair_encoding is both"):
        build_model(preset(tmp_path, pair_encoding="both"), tokenizer=roberta, outputs=2, two_texts=True)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_logits_of_pairs_are_float32_under_every_precision(policy: str, tokenizer: Tokenizer, bert: Path) -> None:
    """The head and its input too: a rounded cosine would lose half of its digits."""
    config = preset(bert, pair_encoding="both", pooling="mean")
    built = []
    for name in ("float32", policy):
        keras.config.set_dtype_policy(name)
        try:
            keras.utils.set_random_seed(0)
            built.append(build_model(config, tokenizer=tokenizer, outputs=3, two_texts=True))
        finally:
            keras.config.set_dtype_policy("float32")
    expected, logits = (model(pairs()) for model in built)
    assert logits.dtype == tf.float32
    assert {weight.dtype for weight in built[1].weights} == {"float32"}
    assert {layer.compute_dtype for layer in built[1].layers[-4:]} == {"float32"}
    np.testing.assert_allclose(logits, expected, atol=0.05)


@pytest.mark.parametrize("changes", [{"freeze": "encoder"}, {"freeze": 1}, {"lora_rank": 2}, {"freeze": "none"}])
def test_both_passes_train_the_same_weights(changes: dict, tokenizer: Tokenizer, bert: Path) -> None:
    paths = []
    for choice in ("together", "both"):
        config = preset(bert, pair_encoding=choice, **changes)
        model = build_model(config, tokenizer=tokenizer, outputs=2, two_texts=True)
        paths.append([weight.path for weight in model.trainable_weights])
        depths = layer_depths(model)
        assert {path for path, depth in depths.items() if depth == 3} == {"logits/kernel", "logits/bias"}
    assert paths[0] == paths[1]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(pairs(), training=True) ** 2)
    gradients = tape.gradient(loss, model.trainable_weights)
    assert all(np.isfinite(tf.convert_to_tensor(gradient)).all() for gradient in gradients)


def test_pooling_is_what_the_configuration_or_the_folder_says(bert: Path, tmp_path: Path) -> None:
    assert resolve_pooling(SMALL) == "max"
    assert resolve_pooling(preset(bert)) == "cls"
    assert resolve_pooling(preset(bert, pooling="mean")) == "mean"
    tiny_checkpoints.write(tmp_path, "bert")
    (tmp_path / "modules.json").write_text(
        '[{"path": "", "type": "x.Transformer"}, {"path": "p", "type": "x.Pooling"}]'
    )
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "config.json").write_text('{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}')
    assert resolve_pooling(preset(tmp_path)) == "mean"
    (tmp_path / "p" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(PresetError, match="pools by"):
        resolve_pooling(preset(tmp_path))
    assert resolve_pooling(preset(tmp_path, pooling="cls")) == "cls"


def test_it_is_built_in_the_scope_of_a_strategy(tokenizer: Tokenizer, bert: Path) -> None:
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    for config in (SMALL, preset(bert, lora_rank=2, num_layers=1)):
        keras.utils.set_random_seed(3)
        plain = build_model(config, tokenizer=tokenizer, outputs=2)
        keras.utils.set_random_seed(3)
        with strategy.scope():
            mirrored = build_model(config, tokenizer=tokenizer, outputs=2)
        result = strategy.run(lambda x, model=mirrored: model(x), [features()])
        np.testing.assert_allclose(result, plain(features()), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_a_toy_rule_is_learned_in_seconds(positions: str, tokenizer: Tokenizer) -> None:
    """The label is whether "good" (8) comes before "bad" (9): this needs order and attention, not counts."""
    keras.utils.set_random_seed(4)
    generator = np.random.default_rng(4)
    ids = generator.choice([5, 6, 7, 10], (512, 8)).astype("int32")
    places = np.array([generator.choice(8, 2, replace=False) for _ in ids])
    ids[np.arange(512), places[:, 0]] = 8
    ids[np.arange(512), places[:, 1]] = 9
    labels = (places[:, 0] < places[:, 1]).astype("int32")
    values = {"token_ids": ids, "padding_mask": np.ones_like(ids), "segment_ids": np.zeros_like(ids)}
    config = SMALL.model_copy(update={"positions": positions, "num_layers": 1, "bigrams": 0, "dropout": 0.1})
    model = build_model(config, tokenizer=tokenizer, outputs=2)
    model.compile(
        keras.optimizers.AdamW(1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,  # the compilation would take longer than the training
    )
    model.fit(values, labels, batch_size=64, epochs=20, verbose=0)
    assert model.evaluate(values, labels, batch_size=64, verbose=0)[1] > 0.97
