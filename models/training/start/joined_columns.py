"""Fits a linear model to fewer columns than a sparse matrix has, with the same result."""

from __future__ import annotations

import numpy as np
from scipy import sparse


class JoinedColumns:
    """A matrix in which the columns that only one row has are one for each such row; empty ones are left out.

    Of the words of a text, most occur nowhere else. A penalty on the squares of the weights makes those of a row's own
    columns proportional to their values, so that one column of the values' length (the root of the sum of squares) has
    the same fits at the same penalty.

    Args:
        matrix: [N, K], without stored zeros.

    Attributes:
        matrix: [N, J].
    """

    def __init__(self, matrix: sparse.csr_matrix) -> None:
        counts = matrix.getnnz(axis=0)
        self._columns, self._shared, self._own = (
            matrix.shape[1],
            np.flatnonzero(counts > 1),
            np.flatnonzero(counts == 1),
        )
        own = matrix[:, self._own].tocsc()
        lengths = np.sqrt(np.bincount(own.indices, np.square(own.data), minlength=matrix.shape[0]))
        rows = np.flatnonzero(lengths)
        joined = sparse.csr_matrix((lengths[rows], (rows, np.arange(len(rows)))), shape=(matrix.shape[0], len(rows)))
        self.matrix = sparse.hstack([matrix[:, self._shared], joined], format="csr")
        self._places = len(self._shared) + np.searchsorted(rows, own.indices)
        self._parts = own.data / lengths[own.indices]

    def weights(self, fitted: np.ndarray) -> np.ndarray:
        """From weights [J, C] of the joined columns, those [K, C] of all columns."""
        found = np.zeros((self._columns, fitted.shape[1]))
        found[self._shared] = fitted[: len(self._shared)]
        found[self._own] = fitted[self._places] * self._parts[:, None]
        return found
