"""Embedding tables in int4, rounded so that a model's answers change little, not so that the tables do.

A text's logits feel an error of a token's embedding in some directions far more than in others. How much in which is
seen in their gradients (the Gauss-Newton matrix of the embedding). Each row is then rounded value by value, and what a
value lost is made up for by those after it, as GPTQ does with a layer's inputs (https://arxiv.org/abs/2210.17323).
One scale serves a whole table: a scale and a zero point for each row take 12 bytes of a row's 64.
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
from tflite.measure.parity import Row, columns

_LARGEST = 7
_KEPT = 0.99  # of a table's values; larger ones are clipped. Which share matters little from 0.98 to 0.997.
_DAMPING = 0.3  # of the mean curvature is added in every direction: rows are few, texts are many
_BATCH = 32
_BLOCK = 32  # values whose losses reach those beyond them in one product
_ROWS = 1024  # of a table at a time, so that they stay in a core's cache


def sensitivity(restored: RestoredModel, rows: Sequence[Row]) -> np.ndarray | None:
    """How much the logits of real rows feel an error of a token's embedding: E[J'J], float64 [D, D].

    J is estimated by random signs of the logits (Hutchinson's method), so that it costs one backward pass.

    Args:
        restored: the model.
        rows: some hundred are enough.

    Returns:
        The matrix; None where there are no rows, or the model looks its tokens up in no table of Keras's.
    """
    layers = [layer for layer in restored.model._flatten_layers() if isinstance(layer, keras.layers.Embedding)]
    if not rows or not layers:
        return None
    table = max((layer.embeddings.value for layer in layers), key=lambda value: int(value.shape[0]))
    signs = np.random.default_rng(0)
    total, tokens = np.zeros([int(table.shape[1])] * 2), 0
    for start in range(0, len(rows), _BATCH):
        features = restored.features(*columns(rows[start : start + _BATCH], restored.task))
        with tf.GradientTape() as tape:
            tape.watch(table)  # it may be frozen
            logits = tf.cast(tf.convert_to_tensor(restored.model(features, training=False)), tf.float32)
            answer = tf.reduce_sum(logits * signs.choice([-1.0, 1.0], logits.shape).astype(np.float32))
        gradient = tape.gradient(answer, table)
        if not isinstance(gradient, tf.IndexedSlices):
            return None
        each = gradient.values.numpy().astype(np.float64).reshape(-1, len(total))
        each = each[features["padding_mask"].numpy().reshape(-1) == 1]
        total += each.T @ each
        tokens += len(each)
    return total / max(tokens, 1)


def round_tables(content: bytes, felt: np.ndarray | None) -> bytes:
    """Puts the tables of a file's EMBEDDING_LOOKUPs into int4.

    Args:
        content: a .tflite file, its tables in float32.
        felt: what `sensitivity` gave. None, or a table of another width: each value is rounded by itself.
    """
    model = flatbuffer.read(content)
    tables: dict[int, list[Any]] = {}  # by buffer, which signatures share
    for graph in model.subgraphs:
        for operation in graph.operators:
            if flatbuffer.operator(model, operation) == "EMBEDDING_LOOKUP":
                tensor = graph.tensors[operation.inputs[1]]
                tables.setdefault(tensor.buffer, []).append(tensor)
    for index, tensors in tables.items():
        buffer = model.buffers[index]
        table = np.frombuffer(bytes(buffer.data), np.float32).reshape(tensors[0].shape)
        known = felt if felt is not None and len(felt) == table.shape[1] else np.eye(table.shape[1])
        numbers, scale = rounded(table, known)
        buffer.data = _packed(numbers)
        for tensor in tensors:
            tensor.type, tensor.quantization = schema.TensorType.INT4, _scaled_by(scale)
    return flatbuffer.write(model)


def rounded(table: np.ndarray, felt: np.ndarray) -> tuple[np.ndarray, float]:
    """A table as integers of four bits and what to multiply them by.

    Args:
        table: float [V, D].
        felt: float [D, D], positive semidefinite.

    Returns:
        int8 [V, D] from -7 to 7, and the scale.
    """
    scale = float(np.quantile(np.abs(table), _KEPT)) / _LARGEST or float(np.abs(table).max()) / _LARGEST or 1.0
    width = len(felt)
    damped = felt + _DAMPING * (np.trace(felt) / width or 1.0) * np.eye(width)
    # Row i of U: how an error of value i is best made up for by the values after it.
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T.astype(np.float32)
    numbers = np.empty(table.shape, np.int8)
    for start in range(0, len(table), _ROWS):
        left = np.array(table[start : start + _ROWS], np.float32).T  # [D, rows], so that a value of all rows is a line
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


def _packed(numbers: np.ndarray) -> np.ndarray:
    """Two values a byte, the first in the lower half."""
    flat = numbers.reshape(-1)
    if len(flat) % 2:
        flat = np.append(flat, np.int8(0))
    halves = flat.view(np.uint8) & 0xF
    return halves[::2] | (halves[1::2] << 4)


def _scaled_by(scale: float) -> Any:
    parameters = schema.QuantizationParametersT()
    parameters.scale, parameters.zeroPoint, parameters.quantizedDimension = [scale], [0], 0
    return parameters
