"""A model on packed rows: several share a line, and none sees another.

The packed model is the same layers with the same weights, run on other tensors: each row keeps its own positions,
attention stays inside the row, and each row is pooled by itself. So the same rows give the same logits as unpacked.

Lines are [R, C]; batches have B rows. The inputs of one set of lines, int32:
    token_ids, padding_mask, segment_ids, positions [R, C]: as of a row that stands alone.
    rows [R, C]: the number of the token's row in the batch, from 1; 0 for padding.
    starts [B]: where each row begins in the lines written one after the other.
A model that encodes two texts apart reads them in lines of their own, whose inputs begin with "apart_"; text k of row i
is row 2 i + k there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import keras_hub
from keras import ops

from models.network.head import find_head
from models.network.pooling import Pooling
from models.network.rematerialized import Rematerialized
from models.network.text_pairs import ComparedTexts, SeparateTexts, compare
from models.network.token_features import BigramRows, SharedToken
from models.network.transformer_layer import TransformerLayer

_LINES = ("token_ids", "padding_mask", "segment_ids", "positions", "rows")
"""The inputs [R, C]; `starts` is the other one."""
APART = "apart_"

_POSITIONS = (keras_hub.layers.PositionEmbedding, keras_hub.layers.TokenAndPositionEmbedding)


@dataclass(frozen=True)
class PackingNeeds:
    """What a model needs of the lines that it reads."""

    width: int  # of the states
    gap: int = 0  # tokens of padding between two rows: a convolution reaches as far
    start_id: int | None = None  # of the start token of each text, if the model reads two texts apart


def packing_needs(model: keras.Model) -> PackingNeeds:
    """The needs of a model that `models.build.build_model` gave."""
    layers = model._flatten_layers()
    reach = max((layer.kernel_size[0] // 2 for layer in layers if isinstance(layer, keras.layers.Conv1D)), default=0)
    start = next((layer.start_id for layer in layers if isinstance(layer, SeparateTexts)), None)
    pooling = next(layer for layer in layers if isinstance(layer, Pooling))
    return PackingNeeds(pooling.output.shape[-1], reach, start)


def packed_model(model: keras.Model, *, remat: bool = False) -> keras.Model:
    """The model on packed rows, to float32 logits [B, outputs] without those of its linear part.

    Args:
        model: what `models.build.build_model` gave.
        remat: compute the activations of Transformer layers again in the backward pass.
    """
    inputs = _inputs_of_lines()
    lines = _Lines(inputs, remat)
    if any(isinstance(layer, SeparateTexts) for layer in model._flatten_layers()):
        apart = _inputs_of_lines(APART)
        lines.apart = _Lines({name.removeprefix(APART): value for name, value in apart.items()}, remat)
        inputs = inputs | apart
    head = find_head(model)
    deep = keras.Model(model.input, head.output)
    tensors = {name: inputs[name] for name in model.input}
    # What `keras.models.clone_model` does; that one accepts no tensors besides the model's inputs.
    logits = deep._run_through_graph(tensors, operation_fn=lambda layer: layer, call_fn=lines.call)
    return keras.Model(inputs, logits, name="packed")


def _inputs_of_lines(prefix: str = "") -> dict[str, keras.KerasTensor]:
    """The inputs of one set of lines, by name."""
    shapes = {**dict.fromkeys(_LINES, (None,)), "starts": ()}
    return {prefix + name: keras.Input(shape, dtype="int32", name=prefix + name) for name, shape in shapes.items()}


class _Lines:
    """Calls layers on one set of lines."""

    def __init__(self, inputs: Mapping[str, Any], remat: bool) -> None:
        self.inputs, self.remat = inputs, remat
        self.attention = SameRow(dtype="int32")(inputs["rows"])
        self.apart: _Lines | None = None

    def call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """The layer's output where it is called like this for rows that stand alone."""
        if isinstance(layer, SeparateTexts):
            assert self.apart is not None
            texts = {name: self.apart.inputs[name] for name in ("token_ids", "padding_mask", "positions")}
            return {**texts, "texts": self.apart.inputs["segment_ids"], "attention": self.apart.attention}
        if isinstance(layer, ComparedTexts):
            assert self.apart is not None
            return ComparedRows(layer.mode, dtype="float32")(args[0], *self.apart.of_rows())
        if isinstance(layer, Pooling):
            return RowPooling(layer.mode, dtype="float32")(args[0], *self.of_rows())
        if isinstance(layer, _POSITIONS):
            if kwargs.get("positions") is None:
                kwargs["positions"] = self.inputs["positions"]
        elif isinstance(layer, BigramRows):
            kwargs["positions"] = self.inputs["positions"]
        # KerasHub's Transformer layers are called with a padding mask.
        attends = isinstance(layer, (SharedToken, TransformerLayer)) or "padding_mask" in kwargs
        if attends and kwargs.get("attention_mask") is None:
            kwargs["attention_mask"] = self.attention
        if self.remat and attends and layer.weights:
            return Rematerialized(layer)(*args, **kwargs)
        return layer(*args, **kwargs)

    def of_rows(self) -> tuple[Any, Any]:
        return self.inputs["rows"], self.inputs["starts"]


class SameRow(keras.layers.Layer):
    """Which tokens of a line are of the same row."""

    def call(self, rows: Any) -> Any:
        """Int32 [R, C] to int32 [R, C, C], 1 for two tokens of one row; padding sees padding."""
        return ops.cast(ops.equal(ops.expand_dims(rows, 2), ops.expand_dims(rows, 1)), "int32")


class RowPooling(keras.layers.Layer):
    """`Pooling` of rows that share lines.

    Args:
        mode: "cls", "mean" or "max".
    """

    def __init__(self, mode: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mode = mode

    def call(self, states: Any, rows: Any, starts: Any) -> Any:
        """States [R, C, D], int32 rows [R, C] and starts [B], to float32 [B, D]."""
        flat = ops.reshape(states, (-1, states.shape[-1]))
        if self.mode == "cls":
            return ops.cast(ops.take(flat, starts, axis=0), "float32")
        flat = ops.cast(flat, "float32")
        rows, count = ops.reshape(rows, (-1,)), ops.shape(starts)[0]
        if self.mode == "max":
            # Row 0 is the padding. A row without tokens has no maximum; that of its numbers is then negative.
            seen = ops.segment_max(rows, rows, count + 1)[1:]
            return ops.where(ops.expand_dims(seen, 1) > 0, _highest(flat, rows, count), 0.0)
        weights = ops.cast(_own_tokens(rows, count), "float32")
        return ops.matmul(weights, flat) / ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1.0)

    def compute_output_spec(self, states: keras.KerasTensor, rows: Any, starts: keras.KerasTensor) -> keras.KerasTensor:
        """Float32 under every policy: the head is computed in float32."""
        return keras.KerasTensor((starts.shape[0], states.shape[-1]), dtype="float32")


def _own_tokens(rows: Any, count: Any) -> Any:
    """Which tokens are a row's: int32 [T] to bool [B, T]."""
    return ops.equal(ops.expand_dims(ops.arange(1, count + 1, dtype="int32"), 1), ops.expand_dims(rows, 0))


def _highest(flat: Any, rows: Any, count: Any) -> Any:
    """The maximum of each row's tokens: float32 [T, D] and int32 [T] to [B, D]."""
    if keras.backend.backend() != "jax":
        return ops.segment_max(flat, rows, count + 1)[1:]
    # JAX gives the gradient to the tokens that equal the maximum. XLA may compute them again, rounded otherwise: then
    # none does, and the gradient is lost. So the place of the maximum is found first, and only its value has one.
    own = ops.expand_dims(_own_tokens(rows, count), 2)
    places = ops.argmax(ops.where(own, ops.stop_gradient(flat), -math.inf), axis=1)
    return ops.take_along_axis(flat, places, axis=0)


class ComparedRows(keras.layers.Layer):
    """`ComparedTexts` of texts that share lines.

    Args:
        mode: how a text's tokens become its vector: "cls" or "mean".
    """

    def __init__(self, mode: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pooling = RowPooling(mode, dtype="float32", name="row_pooling")

    def call(self, states: Any, rows: Any, starts: Any) -> Any:
        """States [R, C, D], int32 rows [R, C] and starts [2 B], to float32 [B, 2 D + 1]."""
        vectors = self.pooling(states, rows, starts)
        return compare(vectors[0::2], vectors[1::2])

    def compute_output_spec(self, states: keras.KerasTensor, rows: Any, starts: keras.KerasTensor) -> keras.KerasTensor:
        """Float32 under every policy: the head is computed in float32."""
        return keras.KerasTensor((None, 2 * states.shape[-1] + 1), dtype="float32")
