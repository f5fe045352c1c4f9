"""Optimizer steps of a tiny real Transformer on packed rows, on any framework.

python framework_steps.py FRAMEWORK FOLDER

Each NAME.npz in the folder has settings and initial weights; NAME-out.npz gets the result.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    os.environ["KERAS_BACKEND"] = sys.argv[1]
    if sys.argv[1] == "jax":
        import jax

        jax.config.update("jax_num_cpu_devices", 8)

import keras  # not before its framework is chosen
import numpy as np

from models.build import build_model, layer_depths
from models.config import EncoderConfig, TaskConfig
from models.network.packed import packed_model, packing_needs
from models.training.batches import standardized
from models.training.frameworks.contract import make_predictor, make_step
from models.training.frameworks.devices import choose_devices, default_device
from models.training.loss import label_weights, row_loss, row_weights
from models.training.optimizer import make_optimizer, resolve_defaults
from models.training.packed.packed_batches import PackedBatches
from models.training.token_rows import TokenRows
from models.training.variables.frozen_weights import HalvedWeights
from models.training_config import TrainConfig
from tflite.host.labels import LabelSpace
from tflite.host.tokenizer import Tokenizer

TOKENIZER = Tokenizer("wordpiece", start_id=1, end_id=2, pad_id=0, unknown_id=3, vocabulary_size=30, max_length=20)
ENCODER = EncoderConfig(num_layers=2, width=16, num_heads=2, dropout=0.0, linear_rows=0, bigrams=50)


def take(
    initial: list[np.ndarray] | None,
    *,
    task: str = "single_label",
    pairs: bool = False,
    steps: int = 50,
    frozen: bool = False,
    halved: bool = False,
    **train: Any,
) -> dict[str, np.ndarray]:
    """Takes steps, with these initial weights if given.

    Args:
        frozen: whether the Transformer layers and the embeddings of tokens are not trained.
        halved: whether `HalvedWeights` are kept while steps are taken.

    Returns:
        Arrays by name: "losses" and "norms" [steps] of each step, "logits" [N, C] after the last one, "first" and
        "last" weights, flat, in the order of the model; "held", the share of the weights on the first device; "halved",
        how many weights were in bfloat16.
    """
    keras.utils.set_random_seed(0)
    config = resolve_defaults(TrainConfig(**{"learning_rate": 0.01, "batch_size": 16, **train}), preset=False)
    keras.config.set_dtype_policy("float32" if config.precision == "auto" else config.precision)
    rows, labels = _rows(task, pairs)
    task_config = TaskConfig(type=task, text_pair="second" if pairs else None)
    devices = choose_devices(config)
    with devices.scope():
        model = build_model(ENCODER, tokenizer=TOKENIZER, outputs=labels.outputs, two_texts=pairs)
        for layer in model.layers if frozen else ():
            layer.trainable = layer.name == "logits"
        optimizer = make_optimizer(model, config, steps=steps, depths=layer_depths(model))
    weights, packed = _set_weights(model, initial), packed_model(model, remat=config.remat)
    first = [np.asarray(keras.ops.convert_to_numpy(weight)) for weight in weights]
    kept = HalvedWeights(model) if halved else None
    types = [str(weight.dtype) for weight in weights]
    step = make_step(
        model,
        optimizer,
        row_loss(task_config, config, labels),
        devices,
        network=packed,
        xla=False,
        accumulate=config.accumulate,
    )
    batches = PackedBatches(rows, config.batch_size, TOKENIZER.pad_id, packing_needs(model), **devices.packing)
    by_label, losses, norms = label_weights(task_config, config, labels), [], []
    for number in range(steps):
        epoch, place = divmod(number, len(batches) // config.accumulate)
        group = batches.order(epoch)[place * config.accumulate : (place + 1) * config.accumulate]
        given = [batch for chosen in group for batch in batches.make_batches(chosen)]
        if task == "regression":
            given = [standardized(batch, labels.mean, labels.std) for batch in given]
        result = step(given, [row_weights(b.targets, len(b.rows), task_config, by_label) for b in given], number)
        losses.append(float(result.loss))
        norms.append(float(result.gradient_norm))
    predict, logits = make_predictor(packed, devices, xla=False), np.zeros((len(rows), labels.outputs))
    for batch in batches.all_rows():
        logits[batch.rows] = predict(batch.features)[: len(batch.rows)]
    keras.config.set_dtype_policy("float32")
    if kept is not None:
        kept.restore()
    last = [np.asarray(keras.ops.convert_to_numpy(weight)) for weight in weights]
    return {
        "losses": np.array(losses),
        "norms": np.array(norms),
        "logits": logits,
        "held": np.array(_held(weights)),
        "halved": np.array(types.count("bfloat16")),
        **{f"first{index}": value for index, value in enumerate(first)},
        **{f"last{index}": value for index, value in enumerate(last)},
    }


def _held(weights: list[Any]) -> float:
    if keras.backend.backend() != "jax":
        return 1.0
    held = sum(weight.value.addressable_shards[0].data.size for weight in weights)
    return float(held / sum(weight.value.size for weight in weights))


def _set_weights(model: keras.Model, values: list[np.ndarray] | None) -> list[Any]:
    """Sets the weights, if values are given, and returns them; without the states of random generators."""
    weights = [weight for weight in model.weights if "seed" not in weight.path]
    for weight, value in zip(weights, values or (), strict=values is not None):
        weight.assign(value)
    return weights


def losses_with_dropout(initial: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The loss of step 0, of step 0 again and of step 1, each on the same batch and from the same weights; and for step
    0 the norm of the gradients, with activations kept and computed again."""
    rows, labels = _rows("single_label", False)
    losses = {}
    for name, number, remat in (
        ("dropped", 0, False),
        ("dropped_again", 0, False),
        ("dropped_next", 1, False),
        ("dropped_remat", 0, True),
    ):
        keras.utils.set_random_seed(0)
        dropped = ENCODER.model_copy(update={"dropout": 0.5})
        model = build_model(dropped, tokenizer=TOKENIZER, outputs=2)
        _set_weights(model, initial)
        config, packed = resolve_defaults(TrainConfig(), preset=False), packed_model(model, remat=remat)
        optimizer, loss = make_optimizer(model, config, steps=2), row_loss(TaskConfig(), config, labels)
        step = make_step(model, optimizer, loss, default_device(), network=packed, xla=False)
        batches = PackedBatches(rows, 32, TOKENIZER.pad_id, packing_needs(model))
        (batch,) = batches.make_batches(batches.order(0)[0])
        result = step([batch], [np.ones(32)], number)
        losses[name], losses[f"{name}_norm"] = np.array(float(result.loss)), np.array(float(result.gradient_norm))
    return losses


def _rows(task: str, pairs: bool) -> tuple[TokenRows, LabelSpace]:
    """Rows of 5 to 19 tokens; the target is whether token 9 occurs, as class, as labels or as a number."""
    source = np.random.default_rng(0)
    ids = [[1, *source.integers(4, 30, int(length)).tolist(), 2] for length in source.integers(3, 18, 200)]
    segments = [[0] * (len(row) // 2) + [1] * (len(row) - len(row) // 2) for row in ids] if pairs else None
    has = np.array([9 in row for row in ids])
    if task == "regression":
        numbers = np.where(has, 30.0, 10.0).astype(np.float32)
        return TokenRows.from_lists(ids, numbers, segments), LabelSpace(rows=200, mean=18.0, std=9.0)
    several = np.stack([has, [8 in row for row in ids]], axis=1).astype(np.float32)
    targets = several if task == "multi_label" else has.astype(np.int32)
    return TokenRows.from_lists(ids, targets, segments), LabelSpace(("no", "yes"), (100, 100), 200)


if __name__ == "__main__":
    for path in sorted(Path(sys.argv[2]).glob("*.npz")):
        with np.load(path) as given:
            weights = [given[str(index)] for index in range(len(given.files) - 1)]
            settings = json.loads(str(given["settings"]))
        found = take(weights, **settings)
        if path.stem == "labels":
            found |= losses_with_dropout(weights)
        if path.stem == "frozen":
            found["exact"] = take(weights, **{**settings, "halved": False})["losses"]
        np.savez(path.with_name(f"{path.stem}-out.npz"), **found)
