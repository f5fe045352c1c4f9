"""A model whose tokens count as much as given weights say, from 0 (a token is as if it were padding) to 1.

The weights scale what the model knows of a token by its identity: the vectors of the token and of its bigram, and its
rows in the linear part. Its position, its segment and the attention mask stay. So the gradient of a prediction by the
weights says how much each token matters: see `models.saved.attributions`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops

from models.network.surface import Surface
from models.network.text_pairs import SeparateTexts

_MOVED = 2**28
"""Above every token id: numbers from here on are places, see `_apart`."""


@contextlib.contextmanager
def weighted_tokens(model: keras.Model, weights: Any, pad_id: int) -> Iterator[None]:
    """Within the block, calls of the model use the weights.

    Args:
        model: what `models.build.build_model` made.
        weights: float32 [B, L], of the tokens of the next call; 1 for special tokens and padding.
        pad_id: the token that one of weight 0 is like.
    """
    embeddings = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Embedding)]
    tables = [layer for layer in embeddings if "token_embedding" in layer.name or layer.name == "bigram_embedding"]
    surfaces = [layer for layer in model._flatten_layers() if isinstance(layer, Surface) and not layer.two_texts]
    apart = next((layer for layer in model._flatten_layers() if isinstance(layer, SeparateTexts)), None)
    inputs = _Inputs()
    with contextlib.ExitStack() as stack:
        if apart is not None:
            stack.enter_context(_replaced(apart, inputs.remember(apart)))
        for layer in tables:
            base = pad_id if "token_embedding" in layer.name else 0
            stack.enter_context(_replaced(layer, _weighted_vectors(layer, weights, base, apart, inputs)))
        for layer in surfaces:
            stack.enter_context(_replaced(layer, _weighted_rows(layer, weights)))
        yield


class _Inputs:
    """What `SeparateTexts` was called with."""

    masks: tuple[Any, ...] = ()

    def remember(self, layer: SeparateTexts) -> Callable[..., Any]:
        call = layer.call

        def remembered(token_ids: Any, padding_mask: Any, segment_ids: Any) -> Any:
            self.masks = padding_mask, segment_ids
            return call(token_ids, padding_mask, segment_ids)

        return remembered


@contextlib.contextmanager
def _replaced(layer: Any, call: Callable[..., Any]) -> Iterator[None]:
    """Within the block, the layer calls another function."""
    vars(layer)["call"] = call  # not by an assignment, which Keras would track
    try:
        yield
    finally:
        del vars(layer)["call"]


def _weighted_vectors(
    layer: keras.layers.Embedding, weights: Any, base: int, apart: SeparateTexts | None, inputs: _Inputs
) -> Callable[..., Any]:
    """The vectors of a table, each moved towards the one of the row `base`. The second call is for the texts apart."""
    call, calls = layer.call, []

    def weighted(indices: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(indices)
        vectors = call(indices, *args, **kwargs)
        own = weights if len(calls) == 1 or apart is None else _apart(apart, weights, *inputs.masks)
        scale = ops.cast(ops.expand_dims(own, 2), vectors.dtype)
        nothing = call(ops.full_like(indices[:1, :1], base), *args, **kwargs)
        return nothing + (vectors - nothing) * scale

    return weighted


def _apart(layer: SeparateTexts, weights: Any, padding_mask: Any, segment_ids: Any) -> Any:
    """The weights [B, L] where `SeparateTexts` puts their tokens, [B, L + 1]; 1 for the token that it adds."""
    places = ops.broadcast_to(ops.arange(ops.shape(weights)[1], dtype="int32"), ops.shape(weights))
    moved = type(layer).call(layer, places + _MOVED, padding_mask, segment_ids)["token_ids"] - _MOVED
    found = ops.take_along_axis(weights, ops.maximum(moved, 0), axis=1)
    return ops.where(moved >= 0, found, ops.ones_like(found))


def _weighted_rows(layer: Surface, weights: Any) -> Callable[..., Any]:
    def weighted(token_ids: Any, padding_mask: Any, segment_ids: Any, training: bool = False) -> Any:
        return layer.weighted(token_ids, padding_mask, weights)

    return weighted
