"""Temperatures that make a model's probabilities match how often it is right. No TensorFlow.

A trained network is usually too sure of itself. Dividing its logits by one number, the temperature, corrects most of
that and leaves their order as it is (Guo et al., "On Calibration of Modern Neural Networks", 2017). The temperature is
the one with the lowest log loss on the eval rows; that loss is convex in its inverse, so there is one minimum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, special

from models.config import TaskConfig
from models.threshold_tuning import best_threshold

LOWEST, HIGHEST = 0.05, 20.0
"""The limits of a temperature."""
FEWEST_ROWS = 20
"""With fewer eval rows, a temperature would say more about chance than about the model."""
FEWEST_OUTCOMES = 10
"""`multi_label`: rows with a label, and rows without it, that its own temperature needs; and labels that rows have, and
have not, that any needs."""
ENOUGH_ROWS = 1_000
"""With fewer eval rows, some of them must show that a temperature fitted to the others helps."""
_ENOUGH_VALUES = 1_000_000  # rows times labels, for one temperature
_FOLDS = 5
_NAMED, _NEARLY_LOWEST, _NEARLY_HIGHEST = 5, 1.01 * LOWEST, 0.99 * HIGHEST


@dataclass(frozen=True)
class Calibration:
    """What the eval rows decide about a model's predictions.

    Attributes:
        temperatures: one, or for `multi_label` one per label; empty if the logits stay as they are.
        threshold: `multi_label`: the probability from which a label is predicted.
        tuned: whether the threshold was chosen here (`task.threshold: auto`).
        rows: eval rows.
        notes: sentences for the user about what could not be decided.
    """

    temperatures: tuple[float, ...] = ()
    threshold: float = 0.5
    tuned: bool = False
    rows: int = 0
    notes: tuple[str, ...] = ()


def fit(
    logits: np.ndarray, targets: np.ndarray, task: TaskConfig, labels: Sequence[str], *, calibrate: bool, metric: str
) -> Calibration:
    """Fits the temperatures and, for `task.threshold: auto`, the threshold.

    Args:
        logits: [N, C] float, of the eval rows.
        targets: int [N], or [N, C] with 1 where the row has the label.
        labels: the C labels; for a regression nothing is fitted.
        calibrate: whether to fit temperatures (`evaluation.calibrate`).
        metric: the metric that decides which epoch is best; the threshold maximizes `macro_f1` if it is that, else
            `micro_f1`.
    """
    rows, notes = len(targets), list[str]()
    if task.type == "regression":
        return Calibration(rows=rows)
    logits, several = logits.astype(np.float64), task.type == "multi_label"
    temperatures: tuple[float, ...] = ()
    if calibrate:
        fit_task = _temperature_per_label if several else _one_temperature
        temperatures, notes = fit_task(logits, targets, labels)
    if any(temperature > _NEARLY_HIGHEST for temperature in temperatures):
        notes.append(f"calibration: a temperature is at its limit, {HIGHEST:g}: the logits say next to nothing")
    if any(temperature < _NEARLY_LOWEST for temperature in temperatures):
        notes.append(
            f"calibration: a temperature is at its limit, {LOWEST:g}: the logits are so close together that the "
            "probabilities remain too low"
        )
    threshold = task.probability_threshold
    if not several or task.threshold != "auto":
        return Calibration(temperatures, threshold, False, rows, tuple(notes))
    true = targets > 0.5
    if rows < FEWEST_ROWS or not true.any():
        found = f"there are {rows}" if rows < FEWEST_ROWS else "none has a label"
        notes.append(
            f"task.threshold: auto is {threshold:g}: it needs at least {FEWEST_ROWS} eval rows, some of them with a "
            f"label, but {found}"
        )
        return Calibration(temperatures, threshold, False, rows, tuple(notes))
    threshold = best_threshold(probabilities(logits, task, temperatures), true, macro=metric == "macro_f1")
    return Calibration(temperatures, threshold, True, rows, tuple(notes))


def calibrated_loss(logits: np.ndarray, targets: np.ndarray, several: bool) -> float:
    """The log loss with the one temperature, between the limits, at which it is lowest.

    Args:
        logits: [N, C] float.
        targets: int [N], or [N, C] with 1 where the row has the label.
        several: whether each label has its own probability (`multi_label`).

    Returns:
        With fewer rows than a temperature needs, the loss as it is.
    """

    losses = _losses_per_label(_signed(logits, targets)) if several else _losses_of_one_label(logits, targets)
    sample = slice(None, None, max(1, logits.size // _ENOUGH_VALUES))
    few = len(targets) < FEWEST_ROWS
    temperature = 1.0 if few else _minimize(lambda tried: float(losses(sample, tried).mean()))
    return float(losses(slice(None), temperature).mean())


def probabilities(logits: np.ndarray, task: TaskConfig, temperatures: Sequence[float] = ()) -> np.ndarray:
    """The probabilities of logits [N, C], as the exported model computes them: float32."""
    scaled = logits / np.array(temperatures) if len(temperatures) else logits
    values = special.softmax(scaled, axis=1) if task.type == "single_label" else special.expit(scaled)
    exact: np.ndarray = values.astype(np.float32)
    return exact


def undo(calibrated: np.ndarray, several: bool, temperatures: Sequence[float]) -> np.ndarray:
    """The probabilities that a model would have without its temperatures, from those that it has.

    Args:
        calibrated: [N, C] float, finite.
        several: whether each label has its own probability (`multi_label`).
        temperatures: as in `Calibration`.

    Returns:
        [N, C] float64, exact except where float32 has rounded a probability to 0 or 1.
    """
    smallest = float(np.finfo(np.float32).tiny)
    factors = np.array(temperatures, np.float64)
    if several:
        clipped = np.clip(calibrated.astype(np.float64), smallest, 1 - np.finfo(np.float32).epsneg / 2)
        single: np.ndarray = special.expit(special.logit(clipped) * factors)
        return single
    joint: np.ndarray = special.softmax(np.log(np.maximum(calibrated, smallest, dtype=np.float64)) * factors, axis=1)
    return joint


_Losses = Callable[[Any, Any], np.ndarray]
"""From an index or a mask of rows, and temperatures, to the losses of these rows; 1 leaves the logits as they are."""


def _losses_of_one_label(logits: np.ndarray, targets: np.ndarray) -> _Losses:
    # The loss of a row is log(sum(exp(every logit - the right one))).
    margins = logits - logits[np.arange(len(targets)), targets][:, None]
    return lambda chosen, temperatures: np.asarray(special.logsumexp(margins[chosen] / temperatures, axis=1))


def _signed(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The margins of yes-or-no predictions, [N, C]: the logit of what is true."""
    return np.where(targets > 0.5, logits, -logits)


def _losses_per_label(margins: np.ndarray) -> _Losses:
    return lambda chosen, temperatures: np.asarray(np.logaddexp(0.0, -margins[chosen] / temperatures).mean(axis=1))


_Fitted = tuple[tuple[float, ...], list[str]]
"""The temperatures, and sentences for the user."""


def _one_temperature(logits: np.ndarray, targets: np.ndarray, labels: Sequence[str]) -> _Fitted:
    if why := _why_not(len(targets), bool((logits.argmax(axis=1) != targets).any())):
        return (), [why]
    losses = _losses_of_one_label(logits, targets)

    def fitted(chosen: np.ndarray) -> np.ndarray:
        return np.array([_minimize(lambda temperature: float(losses(chosen, temperature).mean()))])

    return _if_it_helps(fitted, losses, len(targets))


def _temperature_per_label(logits: np.ndarray, targets: np.ndarray, labels: Sequence[str]) -> _Fitted:
    """A label's own temperature; that of all labels together where the label has too few rows for its own."""
    true, margins = targets > 0.5, _signed(logits, targets)
    wrong = margins < 0
    if why := _why_not(len(true), bool(wrong.any())) or _why_not_pooled(int(true.sum()), true.size):
        return (), [why]
    enough = (np.minimum(true.sum(axis=0), (~true).sum(axis=0)) >= FEWEST_OUTCOMES) & wrong.any(axis=0)

    def fitted(chosen: np.ndarray) -> np.ndarray:
        pooled = _of_margins(margins[chosen])
        return np.array([_of_margins(margins[chosen, i]) if own else pooled for i, own in enumerate(enough)])

    temperatures, notes = _if_it_helps(fitted, _losses_per_label(margins), len(true))
    if enough.all() or not temperatures:
        return temperatures, notes
    names = [repr(labels[index]) for index in np.flatnonzero(~enough)]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    note = (
        f"calibration: {', '.join(names[:_NAMED])}{more} of {len(labels)} labels take the temperature of all labels "
        f"together: their own needs {FEWEST_OUTCOMES} eval rows with the label, {FEWEST_OUTCOMES} without it, and one "
        "that is predicted wrong"
    )
    return temperatures, [note]


def _why_not(rows: int, any_wrong: bool) -> str:
    """Why no temperature can be fitted; "" if one can. If all rows are right, the loss falls with it without end."""
    if rows >= FEWEST_ROWS and any_wrong:
        return ""
    found = f"there are {rows}" if rows < FEWEST_ROWS else f"all {rows} are predicted right"
    return (
        f"the probabilities are not calibrated: that needs at least {FEWEST_ROWS} eval rows, some of them predicted "
        f"wrong, but {found}"
    )


def _why_not_pooled(true: int, cells: int) -> str:
    """The same of several labels per row, for the number of labels that rows have, out of rows times labels."""
    if min(true, cells - true) >= FEWEST_OUTCOMES:
        return ""
    found = f"they have {true}" if true < FEWEST_OUTCOMES else f"they lack {cells - true}"
    return (
        f"the probabilities are not calibrated: the eval rows must have at least {FEWEST_OUTCOMES} labels in all, and "
        f"lack as many, but {found}"
    )


def _if_it_helps(fitted: Callable[[np.ndarray], np.ndarray], losses: _Losses, rows: int) -> _Fitted:
    """The temperatures of all rows, if those of some rows lower the loss of the others: few rows may mislead.

    Args:
        fitted: the temperatures of the rows that a mask bool [N] chooses.
        losses: of the rows that it chooses.
    """
    fold = np.random.default_rng(0).permutation(rows) % _FOLDS
    if rows < ENOUGH_ROWS:
        change = 0.0
        for index in range(_FOLDS):
            temperatures, others = fitted(fold != index), fold == index
            change += float((losses(others, temperatures) - losses(others, np.ones_like(temperatures))).sum())
        if change >= 0:
            why = (
                f"the probabilities are not calibrated: the {rows} eval rows do not show that it helps (temperatures "
                "fitted to four fifths of them do not lower the log loss of the others)"
            )
            return (), [why]
    return tuple(map(float, fitted(np.ones(rows, bool)))), []


def _of_margins(margins: np.ndarray) -> float:
    """The temperature of yes-or-no predictions; a margin is the logit of what is true."""
    return _minimize(lambda temperature: float(np.logaddexp(0.0, -margins / temperature).mean()))


def _minimize(loss: Callable[[Any], float]) -> float:
    """The temperature between the limits at which a loss is lowest."""
    bounds = (math.log(LOWEST), math.log(HIGHEST))
    found = optimize.minimize_scalar(lambda log: loss(math.exp(log)), bounds=bounds, method="bounded")
    return float(math.exp(found.x))
