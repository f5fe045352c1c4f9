"""Artifacts in folders, as TFX passes them to an executor, and Examples with a test's own rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tfx import types
from tfx.types import artifact_utils, standard_artifacts


def artifact(kind: type[types.Artifact], folder: Path) -> Any:
    """An artifact whose folder exists."""
    made = kind()
    made.uri = str(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return made


def write_examples(folder: Path, rows: Iterable[Mapping[str, bytes | float | None]]) -> Any:
    """The splits "train" and "eval", each with all the rows; None is a missing value."""
    examples = artifact(standard_artifacts.Examples, folder)
    examples.split_names = artifact_utils.encode_split_names(["train", "eval"])
    records = [_example(row).SerializeToString() for row in rows]
    for split in ("train", "eval"):
        (folder / f"Split-{split}").mkdir()
        path = str(folder / f"Split-{split}" / "data-00000-of-00001.gz")
        with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions("GZIP")) as writer:
            for record in records:
                writer.write(record)
    return examples


def _example(row: Mapping[str, bytes | float | None]) -> tf.train.Example:
    example = tf.train.Example()
    for name, value in row.items():
        if isinstance(value, float):
            example.features.feature[name].float_list.value.append(value)
        elif value is not None:
            example.features.feature[name].bytes_list.value.append(value)
    return example
