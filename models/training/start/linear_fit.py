"""Fits the linear model beside an encoder, in the background where the training can wait for it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from threading import Thread
from typing import Any, NamedTuple

import keras
import numpy as np

from models.errors import TrainingError
from models.network.surface import Surface, find_surface
from models.training.start.surface_fit import count_fitted, fit_surface, surface_logits
from models.training.token_rows import TokenRows
from models.training.training_checks import is_out_of_memory
from tflite.host.tokenizer import Tokenizer

_SECONDS_BETWEEN_CHECKS = 0.2


class LinearLogits(NamedTuple):
    """What a linear model says, float32 [rows, outputs]. Without one, both are None; of a preset, `unseen`.

    Attributes:
        unseen: of the training rows, from models that have not seen them.
        evaluation: of the eval rows.
    """

    unseen: np.ndarray | None = None
    evaluation: np.ndarray | None = None


def fit_linear(
    model: keras.Model,
    rows: TokenRows,
    evaluation: TokenRows,
    *,
    in_background: bool,
    on_note: Callable[[str], None] | None = None,
    **options: Any,
) -> Future[LinearLogits]:
    """Fits the model's linear part, if it has one.

    Args:
        in_background: in a thread, which is not in the scope of the caller's strategy, and for which the end of the
            process does not wait. BLAS has one thread meanwhile.
        on_note: receives a sentence for the user before the fit.
        options: further arguments of `fit_surface`.
    """
    future: Future[LinearLogits] = Future()
    layer = find_surface(model)
    if layer is None:
        future.set_result(LinearLogits())
        return future
    if on_note is not None:
        count = count_fitted(layer, rows)
        on_note(f"a linear model is fitted to {count:,} row{'' if count == 1 else 's'}")
    work = partial(_fit, layer, rows, evaluation, **options)
    if not in_background:
        future.set_result(work())
    else:
        Thread(target=partial(_keep, future, work), name="linear", daemon=True).start()
    return future


def wait_for(fit: Future[LinearLogits], check: Callable[[], None]) -> LinearLogits:
    """The result of a fit; `check` is called now and then while it lasts, and may raise."""
    while wait([fit], _SECONDS_BETWEEN_CHECKS).not_done:
        check()
    return fit.result()


def raise_if_failed(fit: Future[LinearLogits]) -> None:
    """Raises a fit's error as soon as there is one."""
    if fit.done():
        fit.result()


def _fit(
    layer: Surface, rows: TokenRows, evaluation: TokenRows, *, tokenizer: Tokenizer, **options: Any
) -> LinearLogits:
    try:
        unseen = fit_surface(layer, rows, tokenizer=tokenizer, **options)
        return LinearLogits(unseen, surface_logits(layer, evaluation, tokenizer))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            "there is too little memory to fit the linear model",
            got=f"{type(error).__name__} with {len(rows):,} rows and {int(rows.lengths.sum()):,} tokens",
            expected="room for a matrix of the tokens and of the pairs of neighbours in each row",
            fix="free some memory, or set model.linear_rows to 0: then there is no linear model",
        ) from error


def _keep(future: Future[LinearLogits], work: Callable[[], LinearLogits]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001 (the caller gets any error with the result)
        future.set_exception(error)
