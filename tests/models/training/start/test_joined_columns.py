"""Joined columns have the fits of all columns."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from models.training.start.joined_columns import JoinedColumns
from models.training.start.regressions import fit_each_label, fit_softmax

SOURCE = np.random.default_rng(0)
MATRICES = {
    "mostly own": sparse.random(40, 300, density=0.01, random_state=1, format="csr"),
    "few own": sparse.random(40, 20, density=0.2, random_state=2, format="csr"),
    "all own": sparse.csr_matrix(np.kron(np.eye(40), [[1.0, -2.0, 3.0]])),
    "none own": sparse.csr_matrix(SOURCE.normal(size=(40, 3))),
    "an empty row": sparse.vstack(
        [sparse.csr_matrix((1, 60)), sparse.random(39, 60, density=0.03, random_state=3)]
    ).tocsr(),
}


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("labels", [2, 4])
def test_a_fit_is_that_of_all_columns(name: str, labels: int) -> None:
    matrix, targets = MATRICES[name], np.arange(40) % labels
    joined = JoinedColumns(matrix)
    counts = matrix.getnnz(axis=0)
    rows = len(np.unique(matrix[:, counts == 1].nonzero()[0]))
    assert joined.matrix.shape == (40, (counts > 1).sum() + rows)
    _, wanted, biases = fit_softmax(matrix, targets, 20.0)
    _, weights, found = fit_softmax(joined.matrix, targets, 20.0)
    np.testing.assert_allclose(joined.weights(weights), wanted, atol=1e-3)
    np.testing.assert_allclose(found, biases, atol=1e-3)
    np.testing.assert_allclose(joined.matrix @ weights, matrix @ joined.weights(weights), atol=1e-9)


def test_a_fit_of_each_label_too() -> None:
    matrix, targets = MATRICES["mostly own"], SOURCE.integers(0, 2, (40, 3))
    joined = JoinedColumns(matrix)
    wanted, biases = fit_each_label(matrix, targets, np.ones(3), 20.0)
    weights, found = fit_each_label(joined.matrix, targets, np.ones(3), 20.0)
    np.testing.assert_allclose(joined.weights(weights), wanted, atol=1e-3)
    np.testing.assert_allclose(found, biases, atol=1e-3)


def test_stored_zeros_are_no_values() -> None:
    matrix = sparse.csr_matrix(([0.0, 2.0, 3.0], ([0, 0, 1], [0, 1, 1])), shape=(2, 3))
    joined = JoinedColumns(matrix)
    assert joined.matrix.toarray().tolist() == [[2.0], [3.0]]
    assert joined.weights(np.array([[5.0]])).tolist() == [[0.0], [5.0], [0.0]]
    assert matrix.nnz == 3, "the given matrix stays as it is"


def test_columns_without_values_have_no_weight() -> None:
    joined = JoinedColumns(sparse.csr_matrix((5, 7)))
    assert joined.matrix.shape == (5, 0)
    assert joined.weights(np.zeros((0, 2))).tolist() == [[0.0, 0.0]] * 7
