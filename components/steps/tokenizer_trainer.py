"""TokenizerTrainer: learns a vocabulary (or takes a preset's) and the labels from the training split.

The words are counted file by file, and `models.text.vocabulary_training` learns the vocabulary. The artifact is one
folder with the files of `Tokenizer.save` and `LabelSpace.save`.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
from collections import Counter
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from tfx import types
from tfx.types import standard_artifacts

from components.artifacts import TokenizerArtifact
from components.preset_fingerprint import load_checked_tokenizer
from components.tf_examples import file_sizes, from_examples, read_batches, row_count, split_files
from components.tfx_step import BeamStepExecutor, Step, StepRun
from models.config import ModelConfig, PresetConfig, TaskConfig, TokenizerConfig
from models.text.vocabulary_training import count_unnormalized, learn_wordpiece, normalize_counts
from tflite.host.json_text import to_json
from tflite.host.labels import LabelSpace

PROGRESS_LOG = logging.getLogger("transom.progress")
# The number of distinct words that a worker collects before it normalizes them.
_MOST_WORDS = 1_000_000


class Executor(BeamStepExecutor):
    """Counts words and labels of the training split and writes the tokenizer's folder."""

    def run(self, step: StepRun) -> None:
        settings = json.loads(step.parameters["settings"])
        task = TaskConfig.model_validate(settings["task"])
        config, preset = TokenizerConfig.model_validate(settings["tokenizer"]), settings["preset"]
        examples = step.artifact("examples")
        files, rows = split_files(examples, "train"), row_count(examples, ["train"])
        count = partial(_count_file, task=task, config=None if preset else config)
        counts = _Counts()
        for part in self.gatherer.gather(files, count, file_sizes(files), rows):
            counts.add(part)
        if not preset:
            PROGRESS_LOG.info("learning the vocabulary from %d distinct words", len(counts.words))
        tokenizer = (
            load_checked_tokenizer(preset, config, step.parameters["preset"])
            if preset
            else learn_wordpiece(counts.words, config)
        )
        target = step.folder("tokenizer")
        tokenizer.save(target)
        _label_space(task, counts).save(target)


@dataclass
class _Counts:
    """Counts of the training split.

    Attributes:
        words: as the tokenizer reads them; none if no vocabulary is learned.
        labels: label to number of rows.
        sums: "rows", and of numeric labels "sum" and "squares".
    """

    words: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)

    def add(self, more: _Counts) -> None:
        for own, other in ((self.words, more.words), (self.labels, more.labels), (self.sums, more.sums)):
            own.update(other)


def _count_file(file: str, task: TaskConfig, config: TokenizerConfig | None) -> _Counts:
    """The counts of a file of examples; `config`: of the vocabulary that is learned."""
    counts = _Counts()
    unnormalized: Counter[bytes] = Counter()
    for batch in read_batches([file]):
        rows = from_examples(batch, task)
        for texts in (rows.texts, rows.text_pairs):
            if texts is not None and config is not None:
                unnormalized.update(count_unnormalized(texts, config))
        if config is not None and len(unnormalized) >= _MOST_WORDS:
            counts.words.update(normalize_counts(unnormalized, config))
            unnormalized.clear()
        counts.labels.update(itertools.chain.from_iterable(rows.labels or ()))
        if rows.numbers is not None:
            numbers = np.array(rows.numbers)
            counts.sums.update({"sum": float(numbers.sum()), "squares": float(np.square(numbers).sum())})
        counts.sums["rows"] += len(rows)
    if config is not None:
        counts.words.update(normalize_counts(unnormalized, config))
    return counts


def _label_space(task: TaskConfig, counts: _Counts) -> LabelSpace:
    """The label space that the counts, and `task.labels` if it is set, describe."""
    rows = int(counts.sums["rows"])
    if task.type == "regression":
        mean = counts.sums["sum"] / rows
        variance = max(counts.sums["squares"] / rows - mean * mean, 0.0)
        return LabelSpace(rows=rows, mean=mean, std=math.sqrt(variance) or 1.0)
    labels = task.labels or tuple(sorted(counts.labels, key=_natural_order))
    # The data gate handles labels that task.labels does not list; those that pass it are left out of training.
    return LabelSpace(labels=labels, counts=tuple(counts.labels[label] for label in labels), rows=rows)


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
