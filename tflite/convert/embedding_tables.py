"""Embedding tables in int4, rounded to change the model's predictions little rather than the tables themselves.

Logits react to an error of a token's embedding far more in some directions than in others. Their gradients show how
much (the Gauss-Newton matrix of the embedding). Each row is then rounded value by value, and later values compensate
for the error of earlier ones, as GPTQ does with a layer's inputs (https://arxiv.org/abs/2210.17323). A whole table has
one scale: a scale and a zero point per row would take 12 bytes for a row of 64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from models.saved.restore import RestoredModel
from tflite.convert import flatbuffer
from tflite.measure.parity import TextRow, text_columns

_LARGEST = 7
_SURFACE = b"/surface"  # in the names of the linear model's tensors
_UNCLIPPED_SHARE = 0.99  # of a table's values. Any share from 0.98 to 0.997 gives similar results.
_DAMPING = 0.3  # share of the mean curvature that is added in every direction, because the rows are a small sample
_BATCH = 32
_BLOCK = 32  # values whose errors are passed on to later values in one product
_ROWS = 1024  # of a table at a time, to stay in a core's cache


def embedding_sensitivity(restored: RestoredModel, rows: Sequence[TextRow]) -> np.ndarray | None:
    """How strongly the logits of real rows react to an error of a token's embedding: E[J'J], float64 [D, D].

    J is estimated with random signs on the logits (Hutchinson's method), which costs one backward pass.

    Args:
        rows: a few hundred are enough.

    Returns:
        The matrix; None if there are no rows or the model has no Keras embedding table.
    """
    layers = [layer for layer in restored.model._flatten_layers() if isinstance(layer, keras.layers.Embedding)]
    if not rows or not layers:
        return None
    table = max((layer.embeddings.value for layer in layers), key=lambda value: int(value.shape[0]))
    signs = np.random.default_rng(0)
    total, tokens = np.zeros([int(table.shape[1])] * 2), 0
    for start in range(0, len(rows), _BATCH):
        features = restored.features(*text_columns(rows[start : start + _BATCH], restored.task))
        with tf.GradientTape() as tape:
            tape.watch(table)  # it may be frozen
            logits = tf.cast(tf.convert_to_tensor(restored.model(features, training=False)), tf.float32)
            signed_sum = tf.reduce_sum(logits * signs.choice([-1.0, 1.0], logits.shape).astype(np.float32))
        gradient = tape.gradient(signed_sum, table)
        if not isinstance(gradient, tf.IndexedSlices):
            return None
        each = gradient.values.numpy().astype(np.float64).reshape(-1, len(total))
        # By the ids, not the mask: a model that also reads two texts apart looks each token up twice.
        each = each[gradient.indices.numpy().reshape(-1) != restored.tokenizer.pad_id]
        total += each.T @ each
        tokens += len(each)
    return total / max(tokens, 1)


def quantize_tables(content: bytes, sensitivity: np.ndarray | None) -> bytes:
    """Quantizes the float32 tables of a file's EMBEDDING_LOOKUPs: to int4, those of the linear model to int8.

    The linear model (`models.network.surface`) needs eight bits, and its tables are narrow: the quantizer would give
    each row a scale and a zero point, which take more room than the row.

    Args:
        content: a .tflite file with float32 tables.
        sensitivity: the output of `embedding_sensitivity`. If None, or for a table of another width, each value is
            rounded to the nearest.
    """
    model = flatbuffer.read(content)
    tables: dict[int, list[Any]] = {}  # by buffer, which signatures share
    for graph in model.subgraphs:
        for operation in graph.operators:
            if flatbuffer.operation_name(model, operation) != "EMBEDDING_LOOKUP":
                continue
            tensor = graph.tensors[operation.inputs[1]]
            # Without data it is not a constant: weights in int8 that are made floats before the lookup.
            if tensor.type == schema.TensorType.FLOAT32 and model.buffers[tensor.buffer].data is not None:
                tables.setdefault(tensor.buffer, []).append(tensor)
    for index, tensors in tables.items():
        buffer = model.buffers[index]
        table = np.frombuffer(bytes(buffer.data), np.float32).reshape(tensors[0].shape)
        width = table.shape[1]
        if _SURFACE in tensors[0].name:
            numbers, scale = _round_to_int8(table)
            buffer.data = numbers.reshape(-1).view(np.uint8)
            for tensor in tensors:
                tensor.type, tensor.quantization = schema.TensorType.INT8, _quantization(scale)
            continue
        known = sensitivity if sensitivity is not None and len(sensitivity) == width else np.eye(width)
        numbers, scale = round_to_int4(table, known)
        buffer.data = _pack_int4(numbers)
        for tensor in tensors:
            tensor.type, tensor.quantization = schema.TensorType.INT4, _quantization(scale)
    return flatbuffer.write(model)


def _round_to_int8(table: np.ndarray) -> tuple[np.ndarray, float]:
    """A table as integers from -127 to 127, each rounded to the nearest, and their scale."""
    scale = float(np.abs(table).max()) / 127 or 1.0
    return np.rint(table / scale).astype(np.int8), scale


def round_to_int4(table: np.ndarray, sensitivity: np.ndarray) -> tuple[np.ndarray, float]:
    """A table as four-bit integers and their scale.

    Args:
        table: float [V, D].
        sensitivity: float [D, D], positive semidefinite.

    Returns:
        int8 [V, D] from -7 to 7, and the scale.
    """
    scale = (
        float(np.quantile(np.abs(table), _UNCLIPPED_SHARE)) / _LARGEST or float(np.abs(table).max()) / _LARGEST or 1.0
    )
    width = len(sensitivity)
    damped = sensitivity + _DAMPING * (np.trace(sensitivity) / width or 1.0) * np.eye(width)
    # Row i of U: how later values best compensate for an error of value i.
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T.astype(np.float32)
    numbers = np.empty(table.shape, np.int8)
    for start in range(0, len(table), _ROWS):
        left = np.array(table[start : start + _ROWS], np.float32).T  # [D, rows]: a value of all rows is contiguous
        for block in range(0, width, _BLOCK):
            end = min(block + _BLOCK, width)
            lost = np.empty((end - block, left.shape[1]), np.float32)
            for i in range(block, end):
                nearest = np.clip(np.rint(left[i] / scale), -_LARGEST, _LARGEST)
                numbers[start : start + _ROWS, i] = nearest
                lost[i - block] = (left[i] - scale * nearest) / upper[i, i]
                left[i + 1 : end] -= upper[i, i + 1 : end, None] * lost[i - block]
            left[end:] -= upper[block:end, end:].T @ lost
    return numbers, scale


def _pack_int4(numbers: np.ndarray) -> np.ndarray:
    """Packs two values into a byte, the first in the lower half."""
    flat = numbers.reshape(-1)
    if len(flat) % 2:
        flat = np.append(flat, np.int8(0))
    halves = flat.view(np.uint8) & 0xF
    return halves[::2] | (halves[1::2] << 4)


def _quantization(scale: float) -> Any:
    parameters = schema.QuantizationParametersT()
    parameters.scale, parameters.zeroPoint, parameters.quantizedDimension = [scale], [0], 0
    return parameters
