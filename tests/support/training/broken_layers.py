"""Training on a tiny encoder's rows in which something is not finite, and what a debug run says of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import stored_training
import tensorflow as tf

from models.network.packed import RowPooling
from models.training.inspection.debug_training import DebugStep, debug, debugged
from models.training.inspection.not_finite import Finding, NotFiniteError
from models.training.training_request import Request

NAN = float("nan")


def request(folder: Path, **changes: Any) -> Request:
    """A request without folders for checkpoints and logs, as a debug run has it."""
    made = stored_training.store(folder, **changes)
    return replace(made, config=debugged(made.config)[0], checkpoint_dir=None, log_dir=None)


def steps_of(made: Request, count: int) -> list[DebugStep]:
    """The steps of a debug run."""
    taken: list[DebugStep] = []
    debug(made, count, on_note=lambda text: None, on_step=taken.append)
    return taken


def stopped(made: Request, count: int = 8) -> tuple[Finding, str]:
    """What stops a debug run, and the error's text."""
    try:
        steps_of(made, count)
    except NotFiniteError as error:
        return error.finding, error.render()
    raise AssertionError("everything was finite")


def bad_token(former: Any) -> Any:
    """`Embedding.call` with which the vector of token 9 is not a number."""

    def call(layer: Any, inputs: Any) -> Any:
        vectors = former(layer, inputs)
        if isinstance(vectors, keras.KerasTensor) or layer.name != "token_embedding":
            return vectors
        return tf.where(tf.expand_dims(inputs == 9, -1), NAN, vectors)

    return call


class BadGradient:
    """Pooling whose gradient is infinite for rows with one of the three highest first numbers of the first batch, or a
    higher one; the places of such rows in each batch are in `rows`."""

    def __init__(self) -> None:
        self.rows: list[list[int]] = []
        self.former = RowPooling.call
        self.limit: Any = None

    def __call__(self, layer: Any, *given: Any) -> Any:
        pooled = self.former(layer, *given)
        if isinstance(pooled, keras.KerasTensor):
            return pooled
        if self.limit is None:
            self.limit = tf.sort(pooled[:, 0])[-3]
        bad = pooled[:, :1] >= self.limit - 1e-6
        self.rows.append(tf.where(bad[:, 0]).numpy().ravel().tolist())

        @tf.custom_gradient
        def same(values: Any) -> Any:
            return tf.identity(values), lambda upstream: tf.where(bad, float("inf"), upstream)

        return same(pooled)
