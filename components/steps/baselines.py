"""Baselines: fits what the model is compared with, before it is trained.

The step depends neither on the model's settings nor on the vocabulary, so that a change of those does not repeat it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from tfx import types
from tfx.types import standard_artifacts

from components.artifacts import BaselinesArtifact
from components.baselines.fitting import fit_baselines
from components.baselines.stored_baselines import Baselines as FittedBaselines
from components.config import BaselinesConfig
from components.data.rows import Record
from components.row_progress import RowProgress, row_progress
from components.tf_examples import read_row_batches, row_count
from components.tfx_step import Step, StepExecutor, StepRun
from models.config import TaskConfig

USER_LOG = logging.getLogger("transom")
_TASK_KEYS = {"type", "text", "text_pair", "label", "labels"}


class Executor(StepExecutor):
    """Fits the baselines and predicts the eval and test rows."""

    def run(self, step: StepRun) -> None:
        """Writes the files of `components.baselines.stored_baselines`.

        Raises:
            DataError: no training row has a label.
        """
        task, examples = step.config("task", TaskConfig), step.artifact("examples")

        def read(split: str) -> Iterator[Record]:
            return (record for batch in read_row_batches(examples, split, task) for record in batch.records())

        linear, splits = bool(step.parameters["linear"]), step.splits("examples")
        with row_progress(RowProgress(row_count(examples, splits))):
            fitted = fit_baselines(task, splits, read, step.folder("baselines"), linear=linear)
        USER_LOG.info("%s", describe(fitted))


def describe(fitted: FittedBaselines) -> str:
    """What was fitted, on which rows, as one sentence."""
    trivial, linear = f"the trivial answer is {fitted.trivial.words}", fitted.linear
    if linear is None:
        return trivial
    if linear.why_not:
        return f"{trivial}; there is no linear baseline: {linear.why_not}"
    rows = f"{linear.rows:,}" if linear.rows == fitted.rows else f"a sample of {linear.rows:,} of the {fitted.rows:,}"
    return f"{trivial}; a linear model of words and characters was fitted to {rows} training rows"


class Baselines(Step, executor=Executor):
    """The trivial answer, and a linear model on counts of words and characters, with its predictions."""

    INPUTS = {"examples": standard_artifacts.Examples}
    OUTPUTS = {"baselines": BaselinesArtifact}
    PARAMETERS = {"task": str, "linear": int}

    def __init__(self, examples: types.BaseChannel, *, task: TaskConfig, baselines: BaselinesConfig) -> None:
        """`examples`: raw rows."""
        settings = task.model_dump_json(include=_TASK_KEYS)
        super().__init__(examples=examples, task=settings, linear=int(baselines.linear != "off"))
