"""Transform: texts become token ids, and labels numbers.

TFX's own Transform serves preprocessing that must look at all rows first. Nothing here must: TokenizerTrainer has
already counted the words and the labels, and the SavedModel holds its own copy of the preprocessing. So this step has
neither TFX's analysis nor its graph, whose tracing and saving take longer than the work itself for a small table.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any

import numpy as np
import tensorflow as tf
from tfx import types
from tfx.types import artifact_utils, standard_artifacts

from components.artifacts import TokenizerArtifact
from components.data.row_batches import RowBatch
from components.tf_examples import (
    RECORD_OPTIONS,
    file_sizes,
    from_examples,
    read_batches,
    row_count,
    split_files,
    whole_file,
)
from components.tfx_step import BeamStepExecutor, Step, StepRun
from models.config import TaskConfig
from models.text.preprocessing import Preprocessor
from tflite.host.labels import LabelSpace
from tflite.host.tokenizer import Tokenizer

_TASK_KEYS = {"type", "text", "text_pair", "label"}


class Executor(BeamStepExecutor):
    """Transforms the examples with Beam, each file by itself."""

    def run(self, step: StepRun) -> None:
        """Writes a file of transformed examples for each file of examples, with the same rows and the same name."""
        task = step.config("task", TaskConfig)
        examples, target = step.artifact("examples"), step.artifact("transformed_examples")
        splits = step.splits("examples")
        target.split_names = artifact_utils.encode_split_names(splits)
        files = []
        for split in splits:
            folder = artifact_utils.get_split_uri([target], split)
            tf.io.gfile.makedirs(folder)
            files += [(path, os.path.join(folder, os.path.basename(path))) for path in split_files(examples, split)]
        folder = self._get_tmp_dir()
        transform = partial(_transform_file, task=task, tokenizer=str(step.folder("tokenizer")), temporary=folder)
        sizes, rows = file_sizes(source for source, _ in files), row_count(examples, splits)
        list(self.gatherer.gather(files, transform, sizes, rows))


def _transform_file(paths: tuple[str, str], task: TaskConfig, tokenizer: str, temporary: str) -> int:
    """Transforms one file; returns its number of rows."""
    source, target = paths
    transform = _transformer(task.model_dump_json(), tokenizer)
    rows = 0
    with whole_file(target, temporary) as path, tf.io.TFRecordWriter(path, RECORD_OPTIONS) as writer:
        for batch in read_batches([source]):
            for example in transform(from_examples(batch, task)):
                writer.write(example)
            rows += len(batch)
    return rows


@lru_cache(maxsize=1)
def _transformer(task: str, tokenizer: str) -> Transformer:
    """Kept for a worker's next file: the graph with a preset's vocabulary takes a second."""
    return Transformer(TaskConfig.model_validate_json(task), Tokenizer.load(tokenizer), LabelSpace.load(tokenizer))


class Transformer:
    """Rows to serialized tf.Examples with the Trainer's features.

    Features: `token_ids` int64 [L], for pairs also `segment_ids` of the same length, and `target`: one int64 (-1: a
    label that is not in training), C floats, or one float, depending on the task.
    """

    def __init__(self, task: TaskConfig, tokenizer: Tokenizer, labels: LabelSpace) -> None:
        self._task = task
        self._preprocessor = Preprocessor(tokenizer, words_recur=True)
        self._places = {label: place for place, label in enumerate(labels.labels)}

    def __call__(self, rows: RowBatch) -> Iterator[bytes]:
        texts = [rows.texts] if rows.text_pairs is None else [rows.texts, rows.text_pairs]
        ragged = self._preprocessor(*(tf.constant(column, tf.string) for column in texts))
        splits = ragged["token_ids"].row_splits.numpy().tolist()
        ids, segments = (ragged[name].values.numpy().tolist() for name in ("token_ids", "segment_ids"))
        targets = self._targets(rows)
        for row, (begin, end) in enumerate(itertools.pairwise(splits)):
            example = tf.train.Example()
            features = example.features.feature
            features["token_ids"].int64_list.value.extend(ids[begin:end])
            if rows.text_pairs is not None:
                features["segment_ids"].int64_list.value.extend(segments[begin:end])
            if self._task.type == "single_label":
                features["target"].int64_list.value.append(targets[row])
            else:
                features["target"].float_list.value.extend(targets[row])
            yield example.SerializeToString(deterministic=True)

    def _targets(self, rows: RowBatch) -> Any:
        """The value of each row's `target`."""
        if rows.labels is None:
            return [(number,) for number in rows.numbers or ()]
        if self._task.type == "single_label":
            return [self._places.get(label, -1) for (label,) in rows.labels]
        marked = np.zeros((len(rows), len(self._places)), np.float32)
        for row, labels in enumerate(rows.labels):
            marked[row, [self._places[label] for label in labels if label in self._places]] = 1
        return marked


class Transform(Step, executor=Executor):
    """Writes the transformed examples of every split."""

    INPUTS = {"examples": standard_artifacts.Examples, "tokenizer": TokenizerArtifact}
    OUTPUTS = {"transformed_examples": standard_artifacts.Examples}
    PARAMETERS = {"task": str}

    def __init__(self, examples: types.BaseChannel, tokenizer: types.BaseChannel, *, task: TaskConfig) -> None:
        super().__init__(examples=examples, tokenizer=tokenizer, task=task.model_dump_json(include=_TASK_KEYS))
