"""Trains only those token vectors of a preset that the rows contain.

A preset knows tens or hundreds of thousands of tokens, and a table of labelled text contains a few thousand of them.
The gradients of the others are 0, so Adam would write half of all its numbers in each step for nothing. While training
lasts, the embedding table therefore consists of the vectors of the tokens in the training and eval rows. The others
keep the values that the checkpoint gave them; weight decay does not reach them.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from models.training.token_rows import TokenRows
from models.training.variables.set_aside import SetAside, replace_values

logger = logging.getLogger(__name__)

_MULTIPLE = 2048  # of the vectors, so that a little more text does not mean another program to compile
_WORTHWHILE = 0.75  # at most this share of a table is trained, or all of it
_IDS_PER_READ = 2**20


class UsedTokens(keras.layers.ReversibleEmbedding):
    """A token embedding whose table lacks the vectors of unused tokens, which it must not be asked for.

    A layer that is built becomes one.

    Attributes:
        used: int64 [K], ascending, the ids of the tokens that have a vector.
        places: variable [V], by token id the row of the vector; not of integers, which not every device keeps.
        whole: returns the variable of all tokens' vectors, [V, D] outside the training, and the `SetAside` with its
            values, or None if it still has them.
    """

    def call(self, inputs: Any) -> Any:
        """Token ids [B, L], as of the whole table, to vectors [B, L, D]."""
        return super().call(ops.cast(ops.take(self.places, inputs, axis=0), "int32"))


def used_tokens(tables: Iterable[TokenRows], also: Sequence[int]) -> np.ndarray:
    """The token ids that rows contain, and some others: int64, ascending."""
    counts = np.bincount(also)
    for rows in tables:
        ids = rows.token_ids
        for begin in range(0, len(ids), _IDS_PER_READ):  # they may be larger than the memory
            some = np.bincount(ids[begin : begin + _IDS_PER_READ], minlength=len(counts))
            some[: len(counts)] += counts
            counts = some
    return np.flatnonzero(counts)


def keep_used(model: keras.Model, used: np.ndarray, multiple: int = _MULTIPLE, *, folder: Path | None = None) -> None:
    """Leaves a model only the vectors of these tokens, where its token embedding is trained and that is worthwhile.

    Outputs and gradients stay the same for rows of these tokens, and so do the paths and the order of the trainable
    weights. Call it in the scope in which the model was made.

    Args:
        used: int64, ascending.
        multiple: of the vectors that are left; those above the tokens' number are 0 and get no gradient.
        folder: of a file where the vectors of all tokens wait (`SetAside`); not under a strategy. None: in memory.
    """
    for layer in model._flatten_layers():
        if type(layer) is keras.layers.ReversibleEmbedding and layer._embeddings.trainable:
            size = -(-len(used) // multiple) * multiple
            if size <= _WORTHWHILE * layer.input_dim:
                _keep(layer, used, size, folder)


def give_back(model: keras.Model) -> None:
    """Gives a model all its vectors again, those of the used tokens as trained; in the same scope."""
    for layer in model._flatten_layers():
        if isinstance(layer, UsedTokens):
            _give_back(layer)


def count_vectors(model: keras.Model) -> dict[str, int] | None:
    """How many token vectors are trained, and of how many; None if nothing was left out."""
    for layer in model._flatten_layers():
        if isinstance(layer, UsedTokens):
            return {"trained": len(layer.used), "all": layer.input_dim}
    return None


def _keep(layer: Any, used: np.ndarray, size: int, folder: Path | None) -> None:
    whole = layer._embeddings
    places = np.zeros(layer.input_dim, np.float32)
    places[used] = np.arange(len(used))
    layer.__class__ = UsedTokens
    layer.used = used
    with _changing_variables(layer):
        layer._untrack_variable(whole)
        values = ops.pad(ops.take(whole, used, axis=0), [(0, size - len(used)), (0, 0)])
        layer._embeddings = layer.add_weight(values.shape, _constant(values), whole.dtype, name=whole.name)
        layer.places = layer.add_weight(
            places.shape, _constant(places), "float32", trainable=False, autocast=False, name="places"
        )
    aside = None if folder is None else _set_aside(whole, folder)
    layer.whole = lambda: (whole, aside)  # a variable by itself would count among the layer's


def _set_aside(whole: Any, folder: Path) -> SetAside | None:
    try:
        aside = SetAside([whole], folder)
    except OSError as error:  # then the training needs more memory
        logger.warning("the vectors of unused tokens stay in memory: %s", error)
        return None
    replace_values(whole, np.zeros((0, *whole.shape[1:]), np.float32), whole.dtype)
    return aside


def _give_back(layer: Any) -> None:
    (whole, aside), trained = layer.whole(), layer._embeddings
    if aside is None:
        whole.assign(ops.scatter_update(whole, layer.used[:, None], trained[: len(layer.used)]))
    else:
        (values,) = aside.take_back()
        values[layer.used] = ops.convert_to_numpy(trained)[: len(layer.used)]
        replace_values(whole, values, whole.dtype)
    layer.__class__ = keras.layers.ReversibleEmbedding
    with _changing_variables(layer):
        layer._untrack_variable(layer.places)
        layer._untrack_variable(trained)
        layer._embeddings = whole  # tracked by that
    layer.whole = layer.used = layer.places = None


def _constant(values: Any) -> Callable[..., Any]:
    return lambda shape, dtype: ops.convert_to_tensor(values, dtype)


@contextlib.contextmanager
def _changing_variables(layer: Any) -> Iterator[None]:
    """Within the block, a layer that is built may get variables, with the paths that they would have had."""
    with contextlib.ExitStack() as scopes:
        for name in layer._embeddings.path.split("/")[:-2]:
            scopes.enter_context(keras.name_scope(name))
        layer._tracker.unlock()
        try:
            yield
        finally:
            layer._tracker.lock()
