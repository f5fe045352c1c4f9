"""Temperatures recover what made the logits too large, and refuse rows from which nothing can be learned."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from models import calibration
from models.config import TaskConfig

ONE, MANY = TaskConfig(), TaskConfig(type="multi_label")


def one_label(rows: int, sharpness: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of three labels that are `sharpness` times too large, and targets drawn from the right probabilities."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, 3)) * 1.5
    chosen = (special.softmax(logits, axis=1).cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1)
    return (logits * sharpness).astype(np.float32), chosen.astype(np.int32)


def many_labels(rows: int, sharpness: list[float], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The same for labels of their own, each with its own factor."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-0.5, 2.0, size=(rows, len(sharpness)))
    targets = (rng.random(logits.shape) < special.expit(logits)).astype(np.float32)
    return (logits * sharpness).astype(np.float32), targets


def fit(task: TaskConfig, logits: np.ndarray, targets: np.ndarray, calibrate: bool = True) -> calibration.Calibration:
    names = [f"label {index}" for index in range(logits.shape[1])]
    return calibration.fit(logits, targets, task, names, calibrate=calibrate, metric="auto")


@pytest.mark.parametrize("sharpness", [0.4, 1.0, 3.0])
def test_the_temperature_is_the_factor_by_which_the_logits_are_too_large(sharpness: float) -> None:
    fitted = fit(ONE, *one_label(20_000, sharpness))
    assert fitted.temperatures == pytest.approx((sharpness,), rel=0.05)
    assert fitted.rows == 20_000
    assert not fitted.notes


def test_no_temperature_of_a_grid_has_a_lower_log_loss() -> None:
    logits, targets = one_label(200, 2.0)

    def loss(temperature: float) -> float:
        return float(-special.log_softmax(logits / temperature, axis=1)[np.arange(200), targets].mean())

    (found,) = fit(ONE, logits, targets).temperatures
    assert loss(found) <= min(map(loss, np.geomspace(0.05, 20, 400))) + 1e-9


def test_the_calibrated_loss_is_the_lowest_of_a_grid_also_where_a_part_of_the_rows_gives_the_temperature(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logits, targets = one_label(2_000, 2.0)
    rows = np.arange(len(targets))
    grid = [-special.log_softmax(logits / each, axis=1)[rows, targets].mean() for each in np.geomspace(0.05, 20, 400)]
    whole = calibration.calibrated_loss(logits, targets, several=False)
    assert whole == pytest.approx(min(grid), abs=1e-5)
    monkeypatch.setattr(calibration, "_ENOUGH_VALUES", 1_500)
    assert whole < calibration.calibrated_loss(logits, targets, several=False) == pytest.approx(whole, abs=0.01)


def test_each_label_of_many_has_its_own_temperature() -> None:
    fitted = fit(MANY, *many_labels(20_000, [0.5, 1.0, 4.0]))
    assert fitted.temperatures == pytest.approx((0.5, 1.0, 4.0), rel=0.06)
    assert fitted.threshold == 0.5
    assert not fitted.notes


def test_a_label_with_too_few_rows_takes_the_temperature_of_all_and_the_user_is_told() -> None:
    logits, targets = many_labels(400, [2.0, 2.0, 2.0, 2.0])
    targets[:, 2], targets[:, 3] = 0, 1
    targets[:9, 2] = 1
    fitted = fit(MANY, logits, targets)
    assert fitted.temperatures[2] == fitted.temperatures[3]
    assert len(set(fitted.temperatures)) == 3
    (note,) = fitted.notes
    assert "'label 2', 'label 3' of 4 labels" in note


@pytest.mark.parametrize("task", [ONE, MANY])
def test_too_few_rows_leave_the_probabilities_as_they_are_and_the_user_is_told(task: TaskConfig) -> None:
    rows = one_label(19, 2.0) if task is ONE else many_labels(19, [2.0, 2.0])
    fitted = fit(task, *rows)
    assert fitted.temperatures == ()
    assert "there are 19" in fitted.notes[0]


@pytest.mark.parametrize("task", [ONE, MANY])
def test_rows_that_are_all_right_do_not_make_a_model_certain(task: TaskConfig) -> None:
    """Without one error the log loss falls with the temperature, without end."""
    targets = np.arange(60) % 3
    logits = (np.eye(3, dtype=np.float32)[targets] - 0.5) * 2
    fitted = fit(task, logits, targets if task is ONE else np.eye(3)[targets])
    assert fitted.temperatures == ()
    assert "all 60 are predicted right" in fitted.notes[0]


def test_logits_that_say_nothing_reach_the_limit_and_the_user_is_told() -> None:
    rng = np.random.default_rng(0)
    fitted = fit(ONE, rng.normal(size=(3000, 2)) * 50, rng.integers(0, 2, 3000))
    assert fitted.temperatures == pytest.approx((calibration.HIGHEST,), rel=0.01)
    assert "at its limit" in fitted.notes[0]


@pytest.mark.parametrize("task", [ONE, MANY])
def test_logits_that_are_far_too_close_together_reach_the_lower_limit_and_the_user_is_told(task: TaskConfig) -> None:
    fitted = fit(task, *(one_label(3000, 0.01) if task is ONE else many_labels(3000, [0.01, 1.0])))
    assert fitted.temperatures[0] == pytest.approx(calibration.LOWEST, rel=0.01)
    assert "at its limit, 0.05" in fitted.notes[0]


def test_nothing_is_fitted_for_a_regression_or_where_it_is_turned_off() -> None:
    assert fit(TaskConfig(type="regression"), np.zeros((50, 1)), np.arange(50.0)) == calibration.Calibration(rows=50)
    assert fit(ONE, *one_label(300, 3.0), calibrate=False).temperatures == ()
    assert fit(MANY, *many_labels(300, [3.0]), calibrate=False).temperatures == ()


def test_huge_and_constant_logits_do_not_break_the_fit() -> None:
    targets = np.arange(40) % 2
    for logits in (np.tile([[1e30, -1e30]], (40, 1)), np.zeros((40, 2)), np.full((40, 2), -3e38)):
        (found,) = fit(ONE, logits, targets).temperatures or (1.0,)
        assert calibration.LOWEST <= found <= calibration.HIGHEST


def test_an_automatic_threshold_belongs_to_the_calibrated_probabilities() -> None:
    logits, targets = many_labels(5_000, [3.0, 0.5])
    task = TaskConfig(type="multi_label", threshold="auto")
    fitted = fit(task, logits, targets)
    assert fitted.tuned
    # Where probabilities are right, the F1 is highest from about half of itself (Lipton et al., 2014).
    predicted = calibration.probabilities(logits, task, fitted.temperatures) >= fitted.threshold
    f1 = 2 * (predicted & (targets > 0.5)).sum() / (predicted.sum() + targets.sum())
    assert fitted.threshold == pytest.approx(f1 / 2, abs=0.05)
    assert fit(task, logits, targets, calibrate=False).temperatures == ()


@pytest.mark.parametrize(("rows", "labelled", "why"), [(19, True, "there are 19"), (60, False, "none has a label")])
def test_a_threshold_that_cannot_be_chosen_is_one_half_and_the_user_is_told(
    rows: int, labelled: bool, why: str
) -> None:
    logits, targets = many_labels(rows, [1.0, 1.0])
    fitted = fit(TaskConfig(type="multi_label", threshold="auto"), logits, targets * labelled)
    assert (fitted.threshold, fitted.tuned) == (0.5, False)
    assert why in fitted.notes[-1]


def test_what_temperatures_did_can_be_undone() -> None:
    logits, _ = one_label(500, 2.0)
    cooled = calibration.probabilities(logits, ONE, (2.5,))
    assert calibration.undo(cooled, False, (2.5,)) == pytest.approx(special.softmax(logits, axis=1), abs=1e-5)
    logits, _ = many_labels(500, [2.0, 1.0])
    cooled = calibration.probabilities(logits, MANY, (2.5, 0.7))
    assert calibration.undo(cooled, True, (2.5, 0.7)) == pytest.approx(special.expit(logits), abs=1e-4)
    certain = np.array([[0.0, 1.0]], np.float32)
    for several in (False, True):
        assert np.isfinite(calibration.undo(certain, several, (3.0,))).all()
    assert math.isclose(float(calibration.undo(certain, False, (3.0,)).sum()), 1.0)


def test_few_rows_that_do_not_show_that_a_temperature_helps_get_none() -> None:
    """What a temperature would gain on other rows, of the same distribution, over forty samples."""
    gains, logits_there, targets_there = [], *one_label(20_000, 1.0, seed=999)
    rows = np.arange(len(targets_there))
    for seed in range(40):
        fitted = fit(ONE, *one_label(30, 1.0, seed))
        temperature = fitted.temperatures[0] if fitted.temperatures else 1.0
        gains.append(float(special.log_softmax(logits_there / temperature, axis=1)[rows, targets_there].mean()))
        assert bool(fitted.temperatures) != any("do not show that it helps" in note for note in fitted.notes)
    none = float(special.log_softmax(logits_there, axis=1)[rows, targets_there].mean())
    always = []
    for seed in range(40):
        logits, targets = one_label(30, 1.0, seed)
        margins = logits - logits[np.arange(30), targets][:, None]
        temperature = calibration._minimize(lambda t, m=margins: float(special.logsumexp(m / t, axis=1).mean()))
        always.append(float(special.log_softmax(logits_there / temperature, axis=1)[rows, targets_there].mean()))
    assert none - np.mean(gains) < 0.7 * (none - np.mean(always)), "the harm by chance is smaller"
    helped = sum(bool(fit(ONE, *one_label(60, 4.0, seed)).temperatures) for seed in range(20))
    assert helped >= 18, "but what is far off is corrected"


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_outcomes_that_are_all_alike_decide_nothing(value: float) -> None:
    logits, targets = many_labels(60, [1.0, 2.0])
    fitted = fit(MANY, logits, np.full_like(targets, value))
    assert fitted.temperatures == ()
    assert "must have at least 10 labels" in fitted.notes[0]
