"""Which slices a row is in, and which slices do not exist. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from components.config import EvaluationConfig
from components.evaluation.measurements import Measurements
from components.evaluation.thresholds import LABEL_SLICE, LENGTH_SLICE, possible_columns
from models.config import TaskConfig
from models.errors import ConfigError

LENGTH_BUCKETS = (16, 32, 64, 128, 256, 512, 1024, 2048)
"""The lower bounds of the buckets of the slice "text_length", in characters, after the first, which is 0."""
MISSING = "(missing)"
"""Slice value of a row that lacks the column."""
NO_LABEL = "(none)"
"""Slice value of a row without a label."""


def slice_values(name: str, features: Mapping[str, Any], task: TaskConfig) -> list[str]:
    """The values that a row has for a slice.

    Args:
        name: "label", "text_length" or the name of a feature.
        features: of the row's `tf.train.Example`.
        task: names the features with the texts and the target.
    """
    if name == LENGTH_SLICE:
        return [length_bucket(characters(features, task))]
    if name == LABEL_SLICE:
        return [_text(value) for value in features[task.label].bytes_list.value] or [NO_LABEL]
    return column_values(features[name]) or [MISSING]


def characters(features: Mapping[str, Any], task: TaskConfig) -> int:
    """The number of characters in a row's text, or in both its texts."""
    names = [name for name in (task.text, task.text_pair) if name is not None]
    return sum(len(_text(value)) for name in names for value in features[name].bytes_list.value)


def length_bucket(characters: int) -> str:
    """The slice value of a text with this many characters ("64-127 characters")."""
    bounds = (0, *LENGTH_BUCKETS)
    index = bisect_right(bounds, characters) - 1
    if index == len(bounds) - 1:
        return f"{bounds[-1]} characters and more"
    return f"{bounds[index]}-{bounds[index + 1] - 1} characters"


def length_slices() -> tuple[str, ...]:
    """All slice values of "text_length", the shortest first."""
    return tuple(length_bucket(bound) for bound in (0, *LENGTH_BUCKETS))


def without_absent_columns(measured: Measurements, config: EvaluationConfig) -> Measurements:
    """Leaves out the slices of columns that a threshold may have meant and that the table does not have.

    Raises:
        ConfigError: a slice for which there is no column at all.
    """
    values: dict[str, set[str]] = {}
    for part in measured.slices:
        values.setdefault(part.column, set()).add(part.value)
    absent = {column for column, present in values.items() if present == {MISSING}}
    configured: list[tuple[str, str, tuple[str, ...]]] = [
        ("evaluation.slices", name, (name,)) for name in config.slices
    ]
    for metric, threshold in config.thresholds.items():
        key = f"evaluation.thresholds.{metric}.slices"
        configured += [(key, name, possible_columns(name)) for name in threshold.slices]
    for key, name, columns in configured:
        if absent.issuperset(columns):
            raise ConfigError(
                key,
                got=f"{name!r}, but no row of the {measured.split} split has such a column",
                expected="label, text_length or a column of the table",
            )
    return replace(measured, slices=tuple(part for part in measured.slices if part.column not in absent))


def column_values(feature: Any) -> list[str]:
    """The values of a row's feature, as texts."""
    if feature.bytes_list.value:
        return [_text(value) for value in feature.bytes_list.value]
    return [f"{value:g}" for value in (*feature.float_list.value, *feature.int64_list.value)]


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
