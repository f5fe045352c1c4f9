"""The checked step: it trains as the training does, and names what is not finite, and its rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import broken_layers
import keras
import numpy as np
import pytest
import stored_training
import tensorflow as tf

from models.network.packed import RowPooling
from models.training.frameworks import tensorflow_step
from models.training.inspection.checked_step import narrow
from models.training.inspection.debug_training import debugged
from models.training.inspection.some_steps import first_steps, weights_of
from models.training.token_rows import TokenRows
from models.training.training_request import Request


@pytest.mark.slow_variants
@pytest.mark.parametrize(
    "changes",
    [{}, {"accumulate": 2, "clip_norm": 0.1}, {"task": "regression", "remat": True}],
    ids=["plain", "accumulated", "rematerialized"],
)
def test_it_takes_the_steps_of_the_training(tmp_path: Path, changes: dict[str, Any]) -> None:
    made = broken_layers.request(tmp_path, **changes)
    with made.prepare(lambda text: None) as ready:
        loop, usual = ready.loop, list[tuple[float, float]]()
        for number, batches in enumerate(first_steps(loop, 6)):
            result = loop.step(batches, weights_of(loop, batches), number)
            usual.append((float(result.loss), float(result.gradient_norm)))
    taken = broken_layers.steps_of(made, 6)
    assert [each.step for each in taken] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose([(each.loss, each.gradient_norm) for each in taken], usual, rtol=2e-4)
    assert all(each.largest_output > 0 and each.largest_output_of for each in taken)
    assert not tf.config.functions_run_eagerly()
    assert keras.config.is_traceback_filtering_enabled()


def test_there_are_no_more_steps_than_the_training_has(tmp_path: Path) -> None:
    assert len(broken_layers.steps_of(broken_layers.request(tmp_path, epochs=1), 50)) == 8


def test_a_loss_scale_may_leave_steps_out(tmp_path: Path) -> None:
    made = broken_layers.request(tmp_path, precision="mixed_float16")
    assert len(broken_layers.steps_of(made, 3)) == 3


@pytest.mark.parametrize(("accumulate", "remat"), [(1, False), (3, True)])
def test_a_layer_is_named_with_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accumulate: int, remat: bool
) -> None:
    made = broken_layers.request(tmp_path, accumulate=accumulate, remat=remat)
    rows = TokenRows.stored(made.train_rows)
    with_token = {row for row in range(len(rows)) if 9 in rows.token_ids[rows.offsets[row] : rows.offsets[row + 1]]}
    monkeypatch.setattr(keras.layers.Embedding, "call", broken_layers.bad_token(keras.layers.Embedding.call))
    finding, text = broken_layers.stopped(made)
    assert (finding.kind, finding.step) == ("output", 1)
    assert finding.where == "token_embedding"
    assert set(finding.rows) == with_token & set(finding.batch)
    assert 0 < len(finding.rows) < len(finding.batch) <= 16
    assert f"the output of token_embedding is not finite\n  got: {finding.counts[0]} NaN of" in text
    assert f"of {len(finding.rows)} of the batch's {len(finding.batch)} rows" in text


def test_a_layer_inside_of_others_is_named_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = broken_layers.request(tmp_path, remat=True)
    former = keras.layers.Dense.call

    def call(layer: Any, inputs: Any, training: bool | None = None) -> Any:
        output = former(layer, inputs, training=training)
        bad = layer.name == "feedforward_output_dense" and not isinstance(output, keras.KerasTensor)
        return output * float("inf") if bad else output

    monkeypatch.setattr(keras.layers.Dense, "call", call)
    finding, _ = broken_layers.stopped(made)
    assert finding.where == "transformer_layer_0/feedforward_output_dense"
    assert finding.counts[0] + finding.counts[1] == finding.counts[2]
    assert finding.rows == tuple(sorted(finding.batch)), "padding is of no row"


def test_a_gradient_is_named_with_the_rows_that_have_it_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = broken_layers.request(tmp_path, dropout=0.0)
    bad = broken_layers.BadGradient()
    monkeypatch.setattr(RowPooling, "call", lambda layer, *given: bad(layer, *given))
    finding, text = broken_layers.stopped(made)
    assert finding.kind == "gradient"
    places = bad.rows[finding.step - 1]
    assert set(finding.rows) == {finding.batch[place] for place in places if place < len(finding.batch)}
    assert 0 < len(finding.rows) < len(finding.batch)
    assert finding.where == "final_layer_norm/beta", "the nearest to the loss, beyond the pooling"
    assert "also final_layer_norm/gamma" in text


def test_a_loss_is_named_with_the_row_whose_number_is_too_large(tmp_path: Path) -> None:
    made = broken_layers.request(tmp_path, task="regression")
    targets = np.load(made.train_rows / "targets.npy")
    targets[17] = 1e30
    np.save(made.train_rows / "targets.npy", targets)
    linear = made.config.model.model_copy(update={"linear_rows": 0})
    finding, text = broken_layers.stopped(replace(made, config=made.config.model_copy(update={"model": linear})))
    assert (finding.kind, finding.rows) == ("loss", (17,))
    assert "look at the labels of the rows" in text


def test_a_weight_that_the_model_begins_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = Request.build

    def build(request: Request, *given: Any) -> keras.Model:
        model = built(request, *given)
        weight = next(one for one in model.weights if one.path.endswith("query/kernel"))
        weight.assign(np.full(weight.shape, np.nan))
        return model

    monkeypatch.setattr(Request, "build", build)
    finding, text = broken_layers.stopped(broken_layers.request(tmp_path))
    assert (finding.kind, finding.step, finding.rows) == ("weight", 0, ())
    assert text.startswith("before the first step: the weight transformer_layer_0/self_attention_layer/query/kernel")


def test_a_weight_that_an_update_spoils(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    former = tensorflow_step.update_on_one_device

    def update(optimizer: Any, variables: Any, gradients: Any, rate: Any) -> Any:
        norm = former(optimizer, variables, gradients, rate)
        if int(optimizer.iterations) == 3:
            variables[0].assign(variables[0] * np.inf)
        return norm

    monkeypatch.setattr(tensorflow_step, "update_on_one_device", update)
    finding, text = broken_layers.stopped(broken_layers.request(tmp_path))
    assert (finding.kind, finding.step) == ("weight", 3)
    assert len(finding.batch) == 15
    assert "try a lower train.learning_rate" in text


def test_too_high_a_rate_is_found_out(tmp_path: Path) -> None:
    finding, text = broken_layers.stopped(broken_layers.request(tmp_path, learning_rate=1e30))
    assert finding.step == 2
    assert "try a lower train.learning_rate" in text


def test_what_a_debug_run_leaves_out_is_said(tmp_path: Path) -> None:
    config = stored_training.store(tmp_path, backend="jax", devices=2).config
    changed, notes = debugged(config)
    assert (changed.train.backend, changed.train.devices, changed.train.xla) == ("tensorflow", None, False)
    assert "train.backend is jax" in notes[0]
    assert "one device" in notes[1]
    assert changed.model == config.model


def test_rows_are_found_by_halving() -> None:
    bad, calls = {3, 9}, list[int]()

    def fails(rows: np.ndarray) -> bool:
        calls.append(len(rows))
        return bool(bad & set(rows.tolist()))

    assert sorted(narrow(np.arange(16), fails, lambda: True)) == [3, 9]
    assert len(calls) <= 16
    assert narrow(np.arange(16), fails, lambda: len(calls) < 3) == []
    assert narrow(np.arange(16), lambda rows: len(rows) == 16, lambda: True) == [], "only together"
