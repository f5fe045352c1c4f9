"""Fits the linear model of `models.network.surface` with scikit-learn.

An encoder from scratch is trained on top of logits that the linear model gives to rows it has not seen, because on its
own rows it is always right and would leave nothing to learn. They come from cross-validation (stacking, Wolpert 1992):
the rows are cut into folds, and each fold gets the logits of a model that was fitted to the others. Copies of a row are
in the same fold.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from keras import ops
from scipy import sparse
from sentencepiece import SentencePieceProcessor
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from threadpoolctl import threadpool_limits

from models.config import TaskConfig
from models.network.surface import SPELLING_SIZE, Surface
from models.network.surface_features import Features, pair_features, text_features
from models.training.batches import Batches
from models.training.start.joined_columns import JoinedColumns
from models.training.start.regressions import fit_each_label, fit_number, fit_softmax
from models.training.token_rows import TokenRows
from tflite.host.labels import LabelSpace
from tflite.host.tokenizer import CONTINUATION, Tokenizer

FOLDS = 4
MOST_ROWS = 40_000
"""Rows that the model is fitted to, of a larger table: more would take minutes, and an encoder has enough rows then."""
_MOST_TARGETS = 1_000_000  # rows times labels
_BATCH = 256
_MOST_COMPARISONS = 4_000_000  # of two tokens, in a batch of pairs
# How strongly the weights may grow: C of the logistic regression, 1 / alpha of the ridge regression. Chosen on the
# data sets of benchmarks/README.md.
_TEXT_C, _PAIR_C, _RIDGE = 20.0, 3.0, 1 / 3.0
_SPACE = "\u2581"  # in SentencePiece's vocabularies
_DENSE_SCALE = 0.3  # of a standardized number next to a normalized row of words


Fit = Callable[[sparse.csr_matrix, np.ndarray, np.ndarray, float], tuple[np.ndarray, np.ndarray]]
"""Features [N, K], targets, weights of the labels [C] and the strength, to weights [K, C] and bias [C]."""


def fit_surface(
    layer: Surface,
    rows: TokenRows,
    *,
    task: TaskConfig,
    labels: LabelSpace,
    tokenizer: Tokenizer,
    label_weights: np.ndarray,
    stacked: bool,
) -> np.ndarray | None:
    """Fits the layer to the training rows and sets its weights.

    Args:
        layer: built.
        rows: targets as in `TokenRows`.
        tokenizer: its vocabulary gives the spelling of the tokens.
        label_weights: float [C], of the labels in the loss.
        stacked: whether the encoder is trained on top of the linear model.

    Returns:
        If stacked, float32 [N, outputs], the logits that the linear model gives each row without having seen it.
    """
    # BLAS's threads would make the weights depend on the number of cores, and are slower on matrices of this shape.
    with threadpool_limits(1):
        keys = _content_keys(rows)
        order = np.argsort(keys, kind="stable")
        count = count_fitted(layer, rows)
        sample, rest = np.sort(order[:count]), np.sort(order[count:])
        matrix = _Matrix(layer, rows, tokenizer, sample)
        targets = np.asarray(rows.targets[sample])
        if task.type == "regression":
            targets = (targets - labels.mean) / labels.std
        fits: dict[str, Fit] = {"single_label": _fit_one_label, "multi_label": _fit_many_labels}
        fit, strength = fits.get(task.type, fit_number), _PAIR_C if layer.two_texts else _TEXT_C
        if task.type == "regression":
            strength = _RIDGE
        features = matrix.of(sample)
        table, bias = fit(features, targets, label_weights, strength)
        matrix.set_weights(table, bias)
        if not stacked:
            return None
        unseen = np.zeros((len(rows), layer.outputs), np.float32)
        for start in range(0, len(rest), MOST_ROWS):
            part = rest[start : start + MOST_ROWS]
            unseen[part] = matrix.of(part) @ table + bias
        fold = keys[sample] % FOLDS
        for index in range(FOLDS):
            others, own = np.flatnonzero(fold != index), np.flatnonzero(fold == index)
            if len(others) and len(own):
                table, bias = fit(features[others], targets[others], label_weights, strength)
                unseen[sample[own]] = features[own] @ table + bias
        return unseen


def count_fitted(layer: Surface, rows: TokenRows) -> int:
    """How many of the rows `fit_surface` takes."""
    return min(len(rows), max(min(MOST_ROWS, _MOST_TARGETS // layer.outputs), 1))


def surface_logits(layer: Surface, rows: TokenRows, tokenizer: Tokenizer) -> np.ndarray:
    """Float32 [N, outputs], what the fitted layer gives each row."""
    batches = _batches(layer, rows, tokenizer)
    logits = np.zeros((len(rows), layer.outputs), np.float32)
    for batch in batches.by_length():
        features = (batch.features[name] for name in ("token_ids", "padding_mask", "segment_ids"))
        logits[batch.rows] = ops.convert_to_numpy(layer(*features))[: len(batch.rows)]
    return logits


def _batches(layer: Surface, rows: TokenRows, tokenizer: Tokenizer) -> Batches:
    lengths = tuple(range(16, int(rows.lengths.max()) + 16, 16))
    size = min(_BATCH, max(1, _MOST_COMPARISONS // lengths[-1] ** 2)) if layer.two_texts else _BATCH
    return Batches(rows, buckets=lengths, batch_size=size, pad_id=tokenizer.pad_id)


def _content_keys(rows: TokenRows) -> np.ndarray:
    """uint32 [N], a checksum of each row's tokens."""
    ids, offsets = rows.token_ids, rows.offsets
    keys = (zlib.crc32(ids[start:end].tobytes()) for start, end in pairwise(offsets))
    return np.fromiter(keys, np.uint32, len(rows))


class _Matrix:
    """The features of rows as a matrix: the rows of the layer's table, then its further numbers, standardized."""

    def __init__(self, layer: Surface, rows: TokenRows, tokenizer: Tokenizer, sample: np.ndarray) -> None:
        self._layer = layer
        self._batches = _batches(layer, rows, tokenizer)
        special = list(tokenizer.special_ids)
        if layer.two_texts:
            layer.spelling.assign(_spelling(tokenizer, special))
            layer.numbers.assign(_numbers(tokenizer))
        self._idf = np.ones(layer.vocabulary + layer.pairs, np.float32)
        self._idf[special] = 0.0
        counts, _ = self._compute(sample)
        texts = np.bincount(counts.indices, minlength=counts.shape[1])  # in which a row of the table occurs
        if layer.two_texts:
            tokens, pairs = texts[: 2 * layer.vocabulary], texts[2 * layer.vocabulary :]
            texts = np.concatenate([part.reshape(2, -1).sum(axis=0) for part in (tokens, pairs)])
        self._idf[layer.vocabulary :] = texts[layer.vocabulary :] > 0  # other pairs have no weight, and must not count
        self._idf *= (np.log((1.0 + len(sample)) / (1.0 + texts)) + 1.0).astype(np.float32)
        _, dense = self._compute(sample)  # with the weights of the tokens
        self._mean, self._std = dense.mean(axis=0), dense.std(axis=0) + 1e-3

    def _features(self, token_ids: Any, padding_mask: Any, segment_ids: Any) -> Features:
        if self._layer.two_texts:
            layer = self._layer
            return pair_features(token_ids, padding_mask, segment_ids, self._idf, layer.spelling, layer.numbers)
        return text_features(token_ids, padding_mask, self._idf, self._layer.vocabulary)

    def of(self, rows: np.ndarray) -> sparse.csr_matrix:
        """[n, K]."""
        table, dense = self._compute(rows)
        standardized = (dense - self._mean) / self._std * _DENSE_SCALE
        return sparse.hstack([table, sparse.csr_matrix(standardized)], format="csr")

    def set_weights(self, table: np.ndarray, bias: np.ndarray) -> None:
        """Sets the layer's weights from those of the matrix's columns."""
        rows = self._layer.table.shape[0]
        self._layer.set_weights_of_rows(table[:rows], self._idf)
        if self._layer.two_texts:
            self._layer.idf.assign(self._idf)
            dense = table[rows:] * _DENSE_SCALE / self._std[:, None]
            self._layer.dense.assign(dense)
            bias = bias - self._mean @ dense
        self._layer.bias.assign(bias)

    def _compute(self, rows: np.ndarray) -> tuple[sparse.csr_matrix, np.ndarray]:
        """The values of the table's rows [n, R], and the further numbers [n, F]."""
        by_length = np.argsort(self._batches.rows.lengths[rows], kind="stable")
        places, columns, values = [], [], []
        dense: np.ndarray | None = None
        size = self._batches.batch_size
        for start in range(0, len(rows), size):
            part = by_length[start : start + size]
            batch = self._batches.make_batch(rows[part])
            given = [
                ops.convert_to_tensor(batch.features[name]) for name in ("token_ids", "padding_mask", "segment_ids")
            ]
            computed = (ops.convert_to_numpy(values) for values in self._features(*given))
            found, value, numbers = (values[: len(part)] for values in computed)
            nonzero = value != 0.0
            places.append(np.broadcast_to(part[:, None], found.shape)[nonzero])
            columns.append(found[nonzero])
            values.append(value[nonzero])
            dense = np.zeros((len(rows), numbers.shape[1])) if dense is None else dense
            dense[part] = numbers
        shape = (len(rows), self._layer.table.shape[0])
        flat = [np.concatenate(each) for each in (values, places, columns)]
        matrix = sparse.csr_matrix((flat[0].astype(np.float64), (flat[1], flat[2])), shape=shape)
        return matrix, np.zeros((len(rows), 0)) if dense is None else dense


def _spelling(tokenizer: Tokenizer, special: list[int]) -> np.ndarray:
    """Float32 [V, SPELLING_SIZE]: unit vectors of the tokens' character n-grams, reduced to few dimensions (LSA)."""
    vectors = np.zeros((tokenizer.vocabulary_size, SPELLING_SIZE), np.float32)
    words = _spelled(tokenizer)
    grams = TfidfVectorizer(analyzer="char", ngram_range=(1, 4), sublinear_tf=True).fit_transform(words)
    size = min(SPELLING_SIZE, min(grams.shape) - 1)
    if size > 0:
        vectors[: len(words), :size] = TruncatedSVD(size, random_state=0).fit_transform(grams)
    vectors[special] = 0.0
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)


def _numbers(tokenizer: Tokenizer) -> np.ndarray:
    """Float32 [V], 1 for tokens of digits."""
    digits = [word.removeprefix("^").isdecimal() for word in _spelled(tokenizer)]
    return np.pad(np.array(digits, np.float32), (0, tokenizer.vocabulary_size - len(digits)))


def _spelled(tokenizer: Tokenizer) -> list[str]:
    """The tokens of a vocabulary in the order of their ids, with "^" where a word begins: "in" is not spelled like the
    "in" of "king"."""
    if tokenizer.family == "sentencepiece":
        model: Any = SentencePieceProcessor(model_proto=tokenizer.sentencepiece_model)
        pieces = (model.id_to_piece(index) for index in range(model.get_piece_size()))
        return [piece.replace(_SPACE, "^") for piece in pieces][: tokenizer.vocabulary_size]
    return [f"^{t}" if not t.startswith(CONTINUATION) else t.removeprefix(CONTINUATION) for t in tokenizer.vocabulary]


def _fit_one_label(
    features: sparse.csr_matrix, targets: np.ndarray, label_weights: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Multinomial logistic regression; a label without rows gets a low logit."""
    counts = np.bincount(targets, minlength=len(label_weights)).astype(np.float64)
    table = np.zeros((features.shape[1], len(counts)))
    bias = np.log((counts + 0.5) / (len(targets) + 0.5 * len(counts)))
    present, joined = np.flatnonzero(counts), JoinedColumns(features)
    if len(present) > 1 and joined.matrix.shape[1]:
        _, weights, offsets = fit_softmax(joined.matrix, targets, strength, label_weights[targets])
        table[:, present] = joined.weights(weights)
        bias[present] = offsets
    return table, bias


def _fit_many_labels(
    features: sparse.csr_matrix, targets: np.ndarray, label_weights: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """A logistic regression for each label."""
    joined = JoinedColumns(features)
    weights, bias = fit_each_label(joined.matrix, targets, label_weights, strength)
    return joined.weights(weights), bias
