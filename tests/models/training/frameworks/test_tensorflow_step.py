from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_checkpoints

from models.build import build_model
from models.config import EncoderConfig, PresetConfig, TaskConfig
from models.network.dropout import LeanDropout
from models.network.packed import packed_model, packing_needs
from models.presets.preset import preset_tokenizer
from models.training.batches import Batches
from models.training.frameworks.contract import TrainStep, draws_per_pass, make_predictor, make_step
from models.training.frameworks.devices import default_device
from models.training.loss import row_loss
from models.training.optimizer import make_optimizer
from models.training.packed.packed_batches import PackedBatches
from models.training.token_rows import TokenRows
from models.training_config import TrainConfig, Xla
from tflite.host.labels import LabelSpace
from tflite.host.tokenizer import Tokenizer

TOKENIZER = Tokenizer("wordpiece", start_id=1, end_id=2, pad_id=0, unknown_id=3, vocabulary_size=10, max_length=20)


def _step(
    tiny: ModuleType, *, dropout: float = 0.0, xla: Xla = False, accumulate: int = 1, shares: int = 1
) -> tuple[Any, TrainStep]:
    keras.utils.set_random_seed(0)
    model = tiny.model(dropout=dropout)
    config = TrainConfig(learning_rate=0.01)
    loss = row_loss(TaskConfig(), config, tiny.labels(tiny.rows(8)))
    optimizer = make_optimizer(model, config, steps=10)
    return model, make_step(
        model, optimizer, loss, replace(default_device(), shares=shares), xla=xla, accumulate=accumulate
    )


def _batches(tiny: ModuleType, count: int, size: int) -> list[Any]:
    batches = Batches(tiny.rows(count), (20,), size, pad_id=0)
    return [batches.make_batch(rows) for rows in batches.order(0)]


def _weights(batches: list[Any]) -> list[np.ndarray]:
    return [(np.arange(len(b.targets)) < len(b.rows)).astype(float) for b in batches]


def _all(model: Any) -> np.ndarray:
    return np.concatenate([v.numpy().ravel() for v in model.weights])


@pytest.mark.slow_variants
@pytest.mark.parametrize("xla", [True, False, "parts"])
def test_accumulated_batches_are_one_big_batch(tiny: ModuleType, xla: Xla) -> None:
    model, big = _step(tiny, xla=xla)
    one = _batches(tiny, 10, 10)
    whole = big(one, _weights(one), 0)
    other, small = _step(tiny, xla=xla, accumulate=3)
    parts = _batches(tiny, 10, 4)  # the last holds 2 rows
    accumulated = small(parts, _weights(parts), 0)
    assert float(accumulated.loss) == pytest.approx(float(whole.loss), rel=1e-5)
    assert float(accumulated.gradient_norm) == pytest.approx(float(whole.gradient_norm), rel=1e-4)
    np.testing.assert_allclose(_all(other), _all(model), atol=1e-5)


@pytest.mark.parametrize("xla", [True, "parts"])
def test_a_single_batch_that_is_left_over_needs_no_other_program(tiny: ModuleType, xla: Xla) -> None:
    _, step = _step(tiny, xla=xla, accumulate=2)
    batches = _batches(tiny, 12, 4)
    for number, group in enumerate((batches[:2], batches[2:])):
        due = float(step._optimizer.learning_rate)
        assert float(step(group, _weights(group), number).learning_rate) == pytest.approx(due)
    assert step.traces == 1


@pytest.mark.slow_variants
@pytest.mark.parametrize("xla", [True, False, "parts"])
def test_a_batch_that_is_passed_in_parts_is_one_step(tiny: ModuleType, xla: Xla) -> None:
    model, one = _step(tiny, xla=xla)
    (whole,) = _batches(tiny, 8, 8)
    one([whole], _weights([whole]), 0)
    other, step = _step(tiny, xla=xla)
    parts = _batches(tiny, 8, 4)
    step(parts, _weights(parts), 0)
    np.testing.assert_allclose(_all(other), _all(model), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("xla", [True, False, "parts"])
def test_shares_of_a_batch_that_are_computed_side_by_side_are_one_step(tiny: ModuleType, xla: Xla) -> None:
    (batch,) = _batches(tiny, 8, 8)
    model, whole = _step(tiny, xla=xla)
    one = whole([batch], _weights([batch]), 0)
    for shares in (2, 4, 3):  # 8 rows cannot be divided by 3
        other, step = _step(tiny, xla=xla, shares=shares)
        result = step([batch], _weights([batch]), 0)
        assert float(result.loss) == pytest.approx(float(one.loss), rel=1e-5)
        assert float(result.gradient_norm) == pytest.approx(float(one.gradient_norm), rel=1e-4)
        np.testing.assert_allclose(_all(other), _all(model), atol=1e-5)
        logits, expected = (
            make_predictor(other, replace(default_device(), shares=each), xla=xla)(batch.features)
            for each in (shares, 1)
        )
        np.testing.assert_allclose(logits, expected, atol=1e-5)


@pytest.mark.slow
def test_shares_drop_other_units_than_each_other_and_than_the_next_step(tiny: ModuleType) -> None:
    (batch,) = _batches(tiny, 8, 8)
    features = {name: np.tile(value[:4], (2, 1)) for name, value in batch.features.items()}
    twice = replace(batch, features=features, targets=np.tile(batch.targets[:4], 2))
    halves = [np.repeat([1.0, 0.0], 4), np.repeat([0.0, 1.0], 4)]
    losses = []
    for weights, number in ((halves[0], 0), (halves[1], 0), (halves[0], 1), (halves[0], 0)):
        _, step = _step(tiny, dropout=0.5, shares=2)
        losses.append(float(step([twice], [weights], number).loss))
    assert losses[0] == losses[3]
    assert len(set(losses)) == 3


def test_empty_rows_and_their_padding_change_nothing(tiny: ModuleType) -> None:
    model, step = _step(tiny)
    exact = _batches(tiny, 5, 5)
    loss = float(step(exact, _weights(exact), 0).loss)
    other, padded_step = _step(tiny)
    padded = _batches(tiny, 5, 8)
    assert float(padded_step(padded, _weights(padded), 0).loss) == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(_all(other), _all(model), atol=1e-6)


def test_the_loss_is_that_of_keras_and_weights_count(tiny: ModuleType) -> None:
    model, step = _step(tiny)
    batches = _batches(tiny, 6, 6)
    weights = np.array([1.0, 2.0, 0.5, 0.0, 3.0, 1.0])
    losses = keras.losses.sparse_categorical_crossentropy(
        batches[0].targets, model(batches[0].features), from_logits=True
    )
    expected = float((np.asarray(losses) * weights).sum() / weights.sum())
    assert float(step(batches, [weights], 0).loss) == pytest.approx(expected, rel=1e-5)


def test_dropout_depends_on_the_step_and_on_nothing_before_it(tiny: ModuleType) -> None:
    batches = _batches(tiny, 8, 8)
    losses = []
    for number in (0, 1, 1):
        _, step = _step(tiny, dropout=0.5)
        losses.append(float(step(batches, _weights(batches), number).loss))
    assert losses[0] != losses[1]
    assert losses[1] == losses[2]


def test_one_trace_for_each_length(tiny: ModuleType) -> None:
    model, step = _step(tiny)
    predictor = make_predictor(model, default_device(), xla=False)
    batches = Batches(tiny.rows(200), (8, 16, 20), 8, pad_id=0)
    for epoch in range(2):
        for rows in batches.order(epoch):
            batch = batches.make_batch(rows)
            step([batch], _weights([batch]), 0)
            predictor(batch.features)
    assert step.traces == predictor.traces == 3


@pytest.mark.slow_variants
@pytest.mark.parametrize("encoder", [EncoderConfig(width=8), EncoderConfig(width=8, positions="rotary", norm="post")])
def test_the_whole_step_compiles_with_static_shapes_and_never_calls_the_host(
    tiny: ModuleType, encoder: EncoderConfig
) -> None:
    # A TPU's requirements, in its precision. Running on one is unverified: none was available.
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build_model(encoder, tokenizer=TOKENIZER, outputs=2)
    finally:
        keras.config.set_dtype_policy(before)
    config = TrainConfig(learning_rate=0.01)
    loss = row_loss(TaskConfig(), config, tiny.labels(tiny.rows(8)))
    step = make_step(model, make_optimizer(model, config, steps=10), loss, default_device(), xla=True)
    (batch,) = _batches(tiny, 8, 8)

    @tf.function(jit_compile=True)
    def whole(features: Any, base: Any, targets: Any, weights: Any, states: Any) -> Any:
        loss, *gradients = step._forward_backward(features, base, targets, weights, states)
        return loss, step._apply(gradients)

    weights = np.full(8, 0.125, np.float32)
    inputs = tf.nest.map_structure(
        tf.constant, (batch.features, batch.base_logits, batch.targets, weights, step._states(0))
    )
    operations = {node.op for node in _nodes(whole.get_concrete_function(*inputs).graph.as_graph_def())}
    assert not {name for name in operations if "PyFunc" in name or "Outside" in name or "Outfeed" in name}
    program = whole.experimental_get_compiler_ir(*inputs)(stage="hlo")
    assert "ENTRY" in program
    assert "bf16[8,20,8]" in program  # [B, L, width], all known
    assert "<=" not in program  # how the program text marks a bounded, dynamic dimension
    for word in ("outfeed", "infeed", "send(", "recv(", "host", "callback", "get-dimension-size"):
        assert word not in program


def _nodes(graph: Any) -> list[Any]:
    return [*graph.node, *(node for function in graph.library.function for node in function.node_def)]


@pytest.mark.parametrize(
    ("family", "changes", "kept"),
    [
        ("bert", {}, 16),
        ("albert", {"num_hidden_layers": 24, "num_hidden_groups": 1, "hidden_dropout_prob": 0.1}, 24 * 16),
        ("albert", {"num_hidden_layers": 12, "num_hidden_groups": 2, "inner_group_num": 2}, 6 * 16),
    ],
)
def test_layers_that_are_shared_draw_anew_each_time(tmp_path: Path, family: str, changes: dict, kept: int) -> None:
    """A step's draws end before the next one's begin, however often the layers are called (ALBERT-large: 24 times)."""
    import tiny_checkpoints

    changes = {"attention_probs_dropout_prob": 0.1, **changes}
    tiny_checkpoints.write(tmp_path / "preset", family, **changes)
    tokenizer = Tokenizer("wordpiece", start_id=1, end_id=2, pad_id=0, unknown_id=3, vocabulary_size=10, max_length=20)
    model = build_model(PresetConfig(preset=str(tmp_path / "preset")), tokenizer=tokenizer, outputs=2)
    seeds = [v for v in model.non_trainable_variables if v.path.endswith("seed_generator_state")]
    row = {name: tf.ones((1, 4), tf.int32) for name in ("token_ids", "padding_mask", "segment_ids")}
    with keras.StatelessScope(state_mapping=[(v, tf.constant([7, 0], tf.int64)) for v in seeds]) as scope:
        model(row, training=True)
        drawn = [int(scope.get_current_value(v)[1]) for v in seeds]
    assert max(drawn) <= draws_per_pass(model) == kept
    assert family == "bert" or max(drawn) > 4


@pytest.mark.slow_variants
@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.parametrize("two_texts", [False, True])
def test_shares_of_packed_lines_are_one_step(two_texts: bool, remat: bool, tmp_path: Path) -> None:
    tiny_checkpoints.write(tmp_path, "bert")
    tokenizer = preset_tokenizer(str(tmp_path), 24)
    source = np.random.default_rng(0)
    ids = [[1, *source.integers(4, 10, int(length)).tolist(), 2] for length in source.integers(2, 18, 24)]
    segments = [[int(two_texts and place > len(row) // 2) for place in range(len(row))] for row in ids]
    rows = TokenRows.from_lists(ids, source.integers(0, 2, 24).astype(np.int32), segments)
    config, found = TrainConfig(learning_rate=0.01), []
    settings = {"preset": str(tmp_path), "pair_encoding": "both" if two_texts else "together"}
    for shares in (1, 2):
        keras.utils.set_random_seed(0)
        devices = replace(default_device(), shares=shares)
        model = build_model(PresetConfig.model_validate(settings), tokenizer=tokenizer, outputs=2, two_texts=two_texts)
        for layer in model._flatten_layers():
            if isinstance(layer, LeanDropout):
                layer.rate = 0.0
        network = packed_model(model, remat=remat)
        optimizer, loss = (
            make_optimizer(model, config, steps=10),
            row_loss(TaskConfig(), config, LabelSpace(("a", "b"), (12, 12), 24)),
        )
        step = make_step(model, optimizer, loss, devices, network=network, xla="parts")
        batches = PackedBatches(rows, 24, tokenizer.pad_id, packing_needs(model), **devices.packing)
        (batch,) = batches.make_batches(batches.order(0)[0])
        predict = make_predictor(network, devices, xla="parts")
        logits = predict(batch.features)[np.argsort(batch.rows)]
        result = step([batch], [np.ones(24)], 0)
        found.append([logits, float(result.loss), float(result.gradient_norm)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-5)
