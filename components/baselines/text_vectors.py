"""Texts as sparse vectors: TF-IDF of words and of characters, and how much the two texts of a pair have in common."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import StandardScaler

from components.baselines.text_rows import TextRows

_MOST_FEATURES = 300_000
"""Two thirds of them are of characters; the most frequent ones are kept."""
_ONCE_IS_RARE = 200
"""From this many texts on, what occurs in only one of them is left out."""
# Scripts without spaces: each character is a word, and two are a pair of words.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]"
_OVERLAP_WEIGHT, _EACH_WEIGHT = 0.2, 0.3
"""Of the standardized overlap features and of each text's own vector, beside vectors of length 1. Chosen on MRPC and
STS-B, where 0.1 to 0.3 differ by less than a point."""


class NothingToCountError(Exception):
    """The texts have neither words nor other characters."""


class TextVectors:
    """Learns the features of training texts and computes them for others.

    For one text: TF-IDF of words (1 and 2) and of characters within words (2 to 5), each of length 1. For a pair: the
    difference and the product of both vectors, less weight on each, and `_overlaps`.
    """

    def __init__(self, most_features: int = _MOST_FEATURES) -> None:
        third = max(1, min(most_features, _MOST_FEATURES) // 3)
        self._words = _vectorizer(analyzer="word", token_pattern=_WORD, ngram_range=(1, 2), max_features=third)
        self._characters = _vectorizer(analyzer="char_wb", ngram_range=(2, 5), max_features=2 * third)
        self._scaler = StandardScaler()

    def fit_transform(self, rows: TextRows) -> sparse.csr_matrix:
        """The features of the training rows, float32 [N, F].

        Raises:
            NothingToCountError: the texts are empty or only white space.
        """
        texts = [*rows.texts, *(rows.pairs or ())]
        parts = [_fit(vectorizer, texts) for vectorizer in (self._words, self._characters)]
        if rows.pairs is None:
            return sparse.hstack(parts, format="csr")
        overlaps = self._scaler.fit_transform(_overlaps(rows, parts))
        return _pair_features(parts, overlaps)

    def transform(self, rows: TextRows) -> sparse.csr_matrix:
        """The features of other rows, float32 [N, F]."""
        texts = [*rows.texts, *(rows.pairs or ())]
        parts = [vectorizer.transform(texts) for vectorizer in (self._words, self._characters)]
        if rows.pairs is None:
            return sparse.hstack(parts, format="csr")
        return _pair_features(parts, self._scaler.transform(_overlaps(rows, parts)))


def _vectorizer(**options: Any) -> TfidfVectorizer:
    return TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **options)


def _fit(vectorizer: TfidfVectorizer, texts: list[str]) -> sparse.csr_matrix:
    vectorizer.set_params(min_df=2 if len(texts) >= _ONCE_IS_RARE else 1)
    try:
        return vectorizer.fit_transform(texts)
    except ValueError:  # nothing occurs twice
        vectorizer.set_params(min_df=1)
    try:
        return vectorizer.fit_transform(texts)
    except ValueError as error:
        raise NothingToCountError(str(error)) from error


def _pair_features(parts: Sequence[sparse.csr_matrix], overlaps: np.ndarray) -> sparse.csr_matrix:
    features = [sparse.csr_matrix(overlaps * np.float32(_OVERLAP_WEIGHT), dtype=np.float32)]
    for part in parts:
        first, second = _halves(part)
        features += [abs(first - second), first.multiply(second)]
        features += [own * np.float32(_EACH_WEIGHT) for own in (first, second)]
    return sparse.hstack(features, format="csr")


def _halves(part: sparse.csr_matrix) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """The vectors of the first texts, and of the second."""
    rows = part.shape[0] // 2
    return part[:rows], part[rows:]


def _overlaps(rows: TextRows, parts: Sequence[sparse.csr_matrix]) -> np.ndarray:
    """How much two texts have in common, float32 [N, 16]: by their vectors, by their sets of words, by length."""
    columns = [column for part in parts for column in _vector_overlaps(*_halves(part))]
    pattern = re.compile(_WORD)
    words = [[set(pattern.findall(text.lower())) for text in column] for column in (rows.texts, rows.pairs or ())]
    counts = np.array([_set_overlaps(*both) for both in zip(*words, strict=True)], np.float32).reshape(-1, 6)
    lengths = np.array([[len(text) for text in column] for column in (rows.texts, rows.pairs or ())], np.float32)
    shorter, longer = lengths.min(axis=0), np.maximum(lengths.max(axis=0), 1)
    table = np.column_stack([*columns, counts, shorter / longer, np.log1p(lengths.sum(axis=0))])
    return table.astype(np.float32)


def _vector_overlaps(first: sparse.csr_matrix, second: sparse.csr_matrix) -> list[np.ndarray]:
    """Cosine, shared weight relative to all weight (weighted Jaccard), and the shares of each text's weight."""
    shared, both = _row_sums(first.minimum(second)), (_row_sums(first), _row_sums(second))
    shares = [shared / np.maximum(total, 1e-9) for total in both]
    jaccard = shared / np.maximum(both[0] + both[1] - shared, 1e-9)
    return [_row_sums(first.multiply(second)), jaccard, np.minimum(*shares), np.maximum(*shares)]


def _row_sums(matrix: sparse.csr_matrix) -> np.ndarray:
    return np.asarray(matrix.sum(axis=1), np.float32).ravel()


def _set_overlaps(first: set[str], second: set[str]) -> list[float]:
    """Jaccard overlap, numbers of shared and unshared words, whether numbers differ."""
    shared, only_first, only_second = len(first & second), len(first - second), len(second - first)
    numbers = {word for word in first ^ second if word.isdecimal()}
    jaccard = shared / max(1, shared + only_first + only_second)
    return [jaccard, *np.log1p([shared, only_first, only_second]), float(bool(numbers)), float(first == second)]
