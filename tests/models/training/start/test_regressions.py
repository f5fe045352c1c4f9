"""Regressions as weights of a linear layer."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import special
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from models.training.start import regressions
from models.training.start.regressions import fit_sigmoid, fit_softmax


@pytest.mark.parametrize("labels", [(0, 1), (2, 5), (0, 1, 4)])
def test_the_logits_give_the_shares_of_scikit_learn(labels: tuple[int, ...]) -> None:
    source = np.random.default_rng(0)
    features, targets = source.normal(size=(30, 4)), np.resize(labels, 30)
    weighted = source.uniform(0.5, 2.0, 30)
    present, weights, biases = fit_softmax(features, targets, 3.0, weighted)
    fitted = LogisticRegression(C=3.0).fit(features, targets, weighted)
    assert present.tolist() == list(labels)
    assert (weights.shape, biases.shape) == ((4, len(labels)), (len(labels),))
    shares = special.softmax(features @ weights + biases, axis=1)
    np.testing.assert_allclose(shares, fitted.predict_proba(features), atol=1e-6)


def test_the_logit_of_one_label_gives_its_share() -> None:
    features = np.random.default_rng(0).normal(size=(30, 4))
    has = features[:, 0] > 0.3
    weights, bias = fit_sigmoid(features, has, 1.0)
    expected = LogisticRegression().fit(features, has).predict_proba(features)[:, 1]
    np.testing.assert_allclose(special.expit(features @ weights + bias), expected, atol=1e-6)


def test_a_fit_that_does_not_converge_warns_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regressions, "_MOST_ITERATIONS", 1)
    features, targets = np.random.default_rng(0).normal(size=(30, 4)), np.resize([0, 1, 2], 30)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit_softmax(features, targets, 100.0)
        LogisticRegression(C=100.0, max_iter=1).fit(features, targets)
    # Only that of the regression outside.
    assert [each.category for each in caught].count(ConvergenceWarning) == 1
