"""Rows of a split, as the edge's comparison with Keras needs them."""

from __future__ import annotations

import hashlib
import heapq
from typing import Any

import tensorflow as tf
from tfx import types

from components.evaluation.slices import slice_values
from components.tf_examples import read_split
from models.config import TaskConfig
from tflite.measure.parity import TextRow


def edge_rows(
    examples: types.Artifact, split: str, task: TaskConfig, count: int, slices: tuple[str, ...] = ()
) -> list[TextRow]:
    """`count` rows of a split, or all if there are fewer. They are chosen by a hash, because a table may be sorted.

    Args:
        examples: raw rows.
        slices: names of slices, as in `evaluation.slices`.
    """
    rows = heapq.nsmallest(count, read_split(examples, split), key=lambda row: hashlib.blake2b(row).digest())
    return [_row(tf.train.Example.FromString(row).features.feature, task, slices) for row in rows]


def _row(features: Any, task: TaskConfig, slices: tuple[str, ...]) -> TextRow:
    return TextRow(
        text=_text(features[task.text]),
        pair=None if task.text_pair is None else _text(features[task.text_pair]),
        target=_target(features[task.label], task),
        slices=tuple(f"{name}={value}" for name in slices for value in slice_values(name, features, task)),
    )


def _text(feature: Any) -> str:
    return str(feature.bytes_list.value[0].decode()) if feature.bytes_list.value else ""


def _target(feature: Any, task: TaskConfig) -> tuple[str, ...] | float | None:
    """The row's label, labels or number; None if it has none. For `multi_label`, no label at all is a target too."""
    if task.type == "regression":
        return float(feature.float_list.value[0]) if feature.float_list.value else None
    labels = tuple(value.decode() for value in feature.bytes_list.value)
    return labels if labels or task.type == "multi_label" else None
