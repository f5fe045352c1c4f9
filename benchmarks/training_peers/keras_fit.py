"""Keras's `fit`, on the framework that KERAS_BACKEND names.

    KERAS_BACKEND=jax python -m benchmarks.training_peers.keras_fit FOLDER PRESET PRECISION SEED

Trains on the token ids in FOLDER/tokens.npz for one epoch: Transom's own model, padded to the longest row, AdamW,
Keras's defaults otherwise (TensorFlow and JAX compile the step with XLA where they can). Prints one line of JSON.
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np

from benchmarks.training_peers.step_clock import StepClock
from models.build import build_model
from models.config import PresetConfig
from models.presets.preset import preset_tokenizer

_BATCH = 32


class Clock(keras.callbacks.Callback):
    """Notes when each step ended."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = StepClock()

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.steps.step_ended()


def main() -> int:
    """Trains and prints the figures."""
    folder, preset, precision, seed = sys.argv[1:]
    keras.utils.set_random_seed(int(seed))
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    with np.load(Path(folder, "tokens.npz")) as stored:
        ids, offsets, targets = stored["token_ids"], stored["offsets"], stored["targets"]
    lengths = np.diff(offsets)
    tokenizer = preset_tokenizer(preset, 128)
    features = {name: np.zeros((len(lengths), lengths.max()), np.int32) for name in ("padding_mask", "segment_ids")}
    features["token_ids"] = np.full_like(features["padding_mask"], tokenizer.pad_id)
    for row, (begin, length) in enumerate(zip(offsets, lengths, strict=False)):
        features["token_ids"][row, :length] = ids[begin : begin + length]
        features["padding_mask"][row, :length] = 1
    model = build_model(PresetConfig(preset=preset, linear_rows=0), tokenizer=tokenizer, outputs=int(targets.max()) + 1)
    model.compile(
        keras.optimizers.AdamW(5e-5, weight_decay=0.01, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    clock = Clock()
    model.fit(features, targets, batch_size=_BATCH, shuffle=False, verbose=0, callbacks=[clock])
    clock.steps.print_figures([int(lengths[row : row + _BATCH].sum()) for row in range(0, len(lengths), _BATCH)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
