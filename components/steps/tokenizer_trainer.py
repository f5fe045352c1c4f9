"""TokenizerTrainer: learns a vocabulary (or takes a preset's) and the labels from the training split.

Beam counts the words, `models.text.vocabulary_training` learns the vocabulary. The artifact is one folder with the
files of `Tokenizer.save` and `LabelSpace.save`.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts

from components.artifacts import TokenizerArtifact
from components.preset_fingerprint import load_checked_tokenizer
from components.tf_examples import from_examples, read_batches, split_files
from components.tfx_step import Step, StepExecutor, StepRun
from models.config import ModelConfig, PresetConfig, TaskConfig, TokenizerConfig
from models.text.vocabulary_training import count_unnormalized, learn_wordpiece, normalize_counts
from tflite.host.json_text import to_json
from tflite.host.labels import LabelSpace

# The number of distinct words that a worker collects before it normalizes them.
_MOST_WORDS = 1_000_000


class Executor(StepExecutor, base_beam_executor.BaseBeamExecutor):
    """Counts words and labels of the training split and writes the tokenizer's folder."""

    def run(self, step: StepRun) -> None:
        settings = json.loads(step.parameters["settings"])
        task = TaskConfig.model_validate(settings["task"])
        config, preset = TokenizerConfig.model_validate(settings["tokenizer"]), settings["preset"]
        counts = self._count(split_files(step.artifact("examples"), "train"), task, None if preset else config)
        tokenizer = (
            load_checked_tokenizer(preset, config, step.parameters["preset"])
            if preset
            else learn_wordpiece(counts["words"], config)
        )
        target = step.folder("tokenizer")
        tokenizer.save(target)
        _label_space(task, counts).save(target)

    def _count(self, files: Sequence[str], task: TaskConfig, words: TokenizerConfig | None) -> dict[str, Any]:
        """Counts of words, labels and rows, and the moments of numeric labels, in one pass with Beam."""
        target = Path(self._get_tmp_dir()) / "counts"
        with self._make_beam_pipeline() as pipeline:
            rows = (
                pipeline
                | "Files" >> beam.Create(list(enumerate(files)), reshuffle=False)
                # Grouping by the number lets runners with many workers read many files at once.
                | "OnePerFile" >> beam.GroupByKey()
                | "Count" >> beam.FlatMap(_count_files, task=task, words=words)
                | "Add" >> beam.CombinePerKey(sum)
            )
            _ = rows | "Json" >> beam.Map(to_json) | "Write" >> beam.io.WriteToText(str(target), num_shards=1)
        counts: dict[str, Any] = {"words": {}, "labels": {}, "sums": {}}
        for part in target.parent.glob("counts*"):
            for line in part.read_text(encoding="utf-8").split("\n"):
                if line:
                    (kind, name), count = json.loads(line)
                    counts[kind][name] = count
        return counts


def _count_files(
    numbered: tuple[int, Iterable[str]], task: TaskConfig, words: TokenizerConfig | None
) -> Iterator[tuple[tuple[str, str], float]]:
    """Counts of some files of examples, keyed by ("words" | "labels" | "sums", name)."""
    labels: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    unnormalized: Counter[bytes] = Counter()
    found: Counter[str] = Counter()
    for batch in read_batches(list(numbered[1])):
        rows = from_examples(batch, task)
        for texts in (rows.texts, rows.text_pairs):
            if texts is not None and words is not None:
                unnormalized.update(count_unnormalized(texts, words))
        if words is not None and len(unnormalized) >= _MOST_WORDS:
            found.update(normalize_counts(unnormalized, words))
            unnormalized.clear()
        labels.update(itertools.chain.from_iterable(rows.labels or ()))
        if rows.numbers is not None:
            numbers = np.array(rows.numbers)
            sums.update({"sum": float(numbers.sum()), "squares": float(np.square(numbers).sum())})
        sums["rows"] += len(rows)
    if words is not None:
        found.update(normalize_counts(unnormalized, words))
    for kind, counter in (("labels", labels), ("sums", sums), ("words", found)):
        yield from (((kind, name), count) for name, count in counter.items())


def _label_space(task: TaskConfig, counts: dict[str, Any]) -> LabelSpace:
    """The label space that the counts, and `task.labels` if it is set, describe."""
    rows = int(counts["sums"].get("rows", 0))
    if task.type == "regression":
        mean = counts["sums"]["sum"] / rows
        variance = max(counts["sums"]["squares"] / rows - mean * mean, 0.0)
        return LabelSpace(rows=rows, mean=mean, std=math.sqrt(variance) or 1.0)
    found: dict[str, int] = counts["labels"]
    labels = task.labels or tuple(sorted(found, key=_natural_order))
    # The data gate handles labels that task.labels does not list; those that pass it are left out of training.
    return LabelSpace(labels=labels, counts=tuple(int(found.get(label, 0)) for label in labels), rows=rows)


def _natural_order(label: str) -> tuple[float, str]:
    """A sort key: numbers by their value ("2" before "10"), then names alphabetically."""
    try:
        number = float(label)
    except ValueError:
        return math.inf, label
    return (number if math.isfinite(number) else math.inf), label


class TokenizerTrainer(Step, executor=Executor):
    """Learns the vocabulary and the labels of the training split."""

    INPUTS = {"examples": standard_artifacts.Examples}
    OUTPUTS = {"tokenizer": TokenizerArtifact}
    PARAMETERS = {"settings": str, "preset": str}

    def __init__(
        self,
        examples: types.BaseChannel,
        *,
        task: TaskConfig,
        tokenizer: TokenizerConfig,
        model: ModelConfig,
        digest: str = "",
    ) -> None:
        """`digest`: of the preset's tokenizer, see `components.preset_fingerprint`."""
        preset = model.preset if isinstance(model, PresetConfig) else None
        settings = {"task": task.model_dump(), "tokenizer": tokenizer.model_dump(), "preset": preset}
        if preset:  # keys that do not affect a preset must not run the step again
            settings["tokenizer"] = tokenizer.model_dump(include={"max_length", "mediapipe_compatible"})
        packed = to_json(settings, sort_keys=True, ascii=True)
        super().__init__(examples=examples, settings=packed, preset=digest)
