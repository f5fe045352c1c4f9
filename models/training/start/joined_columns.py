"""Joins columns of a sparse matrix without changing the fits of a linear model."""

from __future__ import annotations

import numpy as np
from scipy import sparse


class JoinedColumns:
    """A matrix in which all columns that occur in the same one row are joined into one; empty ones are left out.

    Of the words of a text, many occur nowhere else. A penalty on the squares of the weights makes those of a row's own
    columns proportional to their values, so that one column with the root of the sum of the squared values has the same
    fits at the same penalty. A bias must not be penalized.

    Args:
        matrix: float64 [N, K].

    Attributes:
        matrix: float64 [N, J].
    """

    def __init__(self, matrix: sparse.csr_matrix) -> None:
        if not matrix.data.all():
            matrix = matrix.copy()
            matrix.eliminate_zeros()
        counts = matrix.getnnz(axis=0)
        self._columns = matrix.shape[1]
        self._shared, self._own = np.flatnonzero(counts > 1), np.flatnonzero(counts == 1)
        own = matrix[:, self._own].tocsc()
        lengths = np.sqrt(np.bincount(own.indices, np.square(own.data), minlength=matrix.shape[0]))
        rows = np.flatnonzero(lengths)
        joined = sparse.csr_matrix((lengths[rows], (rows, np.arange(len(rows)))), shape=(matrix.shape[0], len(rows)))
        self.matrix = sparse.hstack([matrix[:, self._shared], joined], format="csr")
        self._places = len(self._shared) + np.searchsorted(rows, own.indices)
        self._parts = own.data / lengths[own.indices]

    def weights(self, fitted: np.ndarray) -> np.ndarray:
        """From weights [J, C] of the joined columns, those of all columns, float64 [K, C]."""
        found = np.zeros((self._columns, fitted.shape[1]))
        found[self._shared] = fitted[: len(self._shared)]
        found[self._own] = fitted[self._places] * self._parts[:, None]
        return found
