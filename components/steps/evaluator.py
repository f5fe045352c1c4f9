"""Evaluator: measures the candidate, and the live model next to it, on the test rows with TFMA.

TFMA measures; `components.evaluation.verdict` judges. TFMA gets no thresholds, because its own validation blesses
nothing if no threshold is set, fails for any slice below the minimum size, and compares floats without tolerance.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import json_format
from tfx import types
from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as tfx_evaluator
from tfx.types import standard_artifacts, standard_component_specs, system_executions
from tfx.utils import io_utils, json_utils

from components.artifacts import Artifacts, BaselinesArtifact, LiveModelArtifact
from components.baselines.label_errors import LabelError, summarize_label_errors
from components.baselines.stored_baselines import stored_files
from components.config import EvaluationConfig
from components.data.formats.files import contents_digest
from components.evaluation import tfma_rows
from components.evaluation.baseline_comparison import BaselineSettings, prepare
from components.evaluation.comparison import Baseline
from components.evaluation.live import evaluation_reuse
from components.evaluation.live.live_baseline import live_state, load_model
from components.evaluation.measurements import without_broken_live
from components.evaluation.slices import without_absent_columns
from components.evaluation.summary import save_summary, summarize
from components.evaluation.tfma_metric import build_eval_config, read_measurements
from components.evaluation.thresholds import check_metrics, slice_columns
from components.predictions.confirmed_label_errors import confirmed_label_errors
from components.predictions.examined_rows import examine, save_examined
from components.predictions.explained_rows import explain
from components.predictions.split_prediction import SplitPredictor
from components.predictions.stored_predictions import FOLDER, PredictionFacts, StoredPredictions
from components.row_progress import RowProgress, row_progress
from components.tf_examples import read_split, split_files
from components.tfx_step import BeamExecutor, Step, StepRun
from models.config import CONFIG_FILE, TaskConfig
from models.errors import DataError, ModelError
from models.saved.model_identity import model_digest
from models.saved.model_locations import EXTRA_FOLDER
from tflite.host.labels import LabelSpace

USER_LOG = logging.getLogger("transom")
_NO_TEST_SPLIT = "there is no test split: measured on the eval rows, which also chose the best epoch"


class Executor(BeamExecutor, tfx_evaluator.Executor):
    """Configures TFMA, lets TFX's executor run it, then judges."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """See TFX's `BaseExecutor.Do`.

        Raises:
            ConfigError: a threshold or slice names a metric, label or column that does not exist.
            DataError: there is no row to measure on.
            ModelError: the candidate's labels or threshold are missing.
        """
        step = StepRun({**input_dict, **output_dict}, exec_properties)
        evaluation, live = step.artifact("evaluation"), step.optional("live_model")
        if live is not None and not live.version:
            live = None
        key = _evaluation_key(step)
        is_live = live is not None and key["model"] is not None and model_digest(Path(live.uri)) == key["model"]
        summary = None
        if is_live:
            summary = evaluation_reuse.reuse(key, Path(evaluation.uri), live.version)
        if summary is not None:
            evaluation.set_int_custom_property(evaluation_reuse.REUSED, 1)
        else:
            try:
                summary = self._measure(step, live, is_live)
            finally:
                load_model.cache_clear()
            evaluation_reuse.save_key(key, Path(evaluation.uri))
        for line in (*summary["notes"], summary["verdict"]):
            USER_LOG.info("%s", line)
        _bless(step.artifact("blessing"), step.artifact("model"), summary)

    def _measure(self, step: StepRun, live: LiveModelArtifact | None, is_live: bool) -> dict[str, Any]:
        """Measures and judges; saves the summary and returns it. `is_live`: the candidate is the live model."""
        task, config = step.config("task", TaskConfig), step.config("config", EvaluationConfig)
        split = _split(step)
        space = _label_space(step.model_folder)
        labels, task = space.labels, _with_own_threshold(task, step.model_folder)
        check_metrics(task.type, config, labels or None)
        row = next(read_split(step.artifact("examples"), split), None)
        if row is None:
            raise DataError(f"the {split} split", got="no rows", expected="rows to measure the model on")
        state, baseline = live_state(
            None if live is None else Path(live.uri), live.version if live else 0, is_live, task, labels, row
        )
        baselines, facts = None, None
        if step.optional("baselines") is not None:
            metric = step.parameters["training_metric"]
            baselines, facts = prepare(step.folder("baselines"), split, task, labels, config, metric)
        predictor = SplitPredictor(
            task,
            _facts(task, split, labels, baseline, baselines),
            tuple(slice_columns(task, config)),
            str(step.model_folder),
            live.uri if live is not None and baseline is not None else None,
            baselines,
        )
        folder = step.artifact("evaluation").uri
        measured_rows, rows = predictor.predict(step.artifact("examples"), self.gatherer, str(Path(folder, FOLDER)))
        eval_config = build_eval_config(task, config, space, baseline, baselines, rows)
        inputs = {"examples": [measured_rows], "model": step.artifacts["model"]}
        if live is not None and baseline is not None:
            inputs[standard_component_specs.BASELINE_MODEL_KEY] = [_as_model(live)]
        properties = {
            standard_component_specs.EVAL_CONFIG_KEY: json_format.MessageToJson(eval_config),
            standard_component_specs.EXAMPLE_SPLITS_KEY: json_utils.dumps([split]),
            standard_component_specs.MODULE_PATH_KEY: tfma_rows.__name__,
        }
        with row_progress(RowProgress(rows, what="measured")):
            super().Do(inputs, {key: step.artifacts[key] for key in ("evaluation", "blessing")}, properties)
        tf.io.gfile.rmtree(measured_rows.uri)  # it may be large, and the step still has work to do
        notes = () if split == "test" else (_NO_TEST_SPLIT,)
        measured = read_measurements(folder, task.type)
        measured = replace(measured, split=split, labels=labels, live=state, baselines=facts, notes=notes)
        summary = summarize(without_broken_live(without_absent_columns(measured, config)), config)
        likely: list[LabelError] = []
        if facts is not None:
            errors = confirmed_label_errors(
                step.folder("baselines"), step.artifact("examples"), step.model_folder, task
            )
            summary["label_errors"] = summarize_label_errors(errors)
            likely = [error for error in errors.get(split, ()) if error.likely]
        examined = examine(StoredPredictions(Path(folder, FOLDER)), [asdict(error) for error in likely])
        explain(examined["wrong"]["listed"], step.model_folder)
        save_examined(examined, folder)
        save_summary(summary, folder)
        return summary


class Evaluator(Step, executor=Executor, code=("tfx_bsl",)):
    """Measures a model and the live model on the test rows (else the eval rows), and blesses the model or not.

    Outputs `evaluation` (TFMA's files, `summary.json`, the rows with their predictions in `predictions/`, and what they
    tell in `rows.json`) and `blessing`.
    """

    INPUTS = {"examples": standard_artifacts.Examples, "model": standard_artifacts.Model}
    OPTIONAL_INPUTS = {"live_model": LiveModelArtifact, "baselines": BaselinesArtifact}
    OUTPUTS = {"evaluation": standard_artifacts.ModelEvaluation, "blessing": standard_artifacts.ModelBlessing}
    PARAMETERS = {"task": str, "config": str, "training_metric": str}
    TYPE_ANNOTATION = system_executions.Evaluate

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        live_model: types.BaseChannel | None = None,
        baselines: types.BaseChannel | None = None,
        *,
        task: TaskConfig,
        evaluation: EvaluationConfig,
        training_metric: str = "auto",
    ) -> None:
        """`examples`: raw rows. `training_metric`: judges the baselines; `train.metric`, or for auto the task's own."""
        settings = {
            "task": task.model_dump_json(),
            "config": evaluation.model_dump_json(),
            "training_metric": training_metric,
        }
        super().__init__(examples=examples, model=model, live_model=live_model, baselines=baselines, **settings)


def _split(step: StepRun) -> str:
    """The split to measure on."""
    return "test" if "test" in step.splits("examples") else "eval"


def _facts(
    task: TaskConfig,
    split: str,
    labels: tuple[str, ...],
    live: Baseline | None,
    baselines: BaselineSettings | None,
) -> PredictionFacts:
    """What is stored with the predictions; `task` has the model's own threshold."""
    return PredictionFacts(
        task=task.type,
        split=split,
        labels=labels,
        threshold=task.probability_threshold,
        live_labels=live.labels if live is not None else (),
        live_threshold=live.threshold if live is not None else 0.5,
        linear_threshold=baselines.linear_threshold if baselines is not None else 0.5,
    )


def _label_space(folder: Path) -> LabelSpace:
    try:
        return LabelSpace.load(folder / EXTRA_FOLDER)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder.name}/{EXTRA_FOLDER}/labels.json",
            got=str(error),
            expected="the labels of the model, as the Trainer stores them",
        ) from error


def _with_own_threshold(task: TaskConfig, folder: Path) -> TaskConfig:
    """The task with the model's threshold: a number where the configuration says `auto`."""
    if task.threshold != "auto":
        return task
    try:
        stored = json.loads((folder / EXTRA_FOLDER / CONFIG_FILE).read_text(encoding="utf-8"))["task"]
        return task.model_copy(update={"threshold": float(stored["threshold"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder.name}/{EXTRA_FOLDER}/{CONFIG_FILE}",
            got=str(error),
            expected="the threshold of the model, as the Trainer stores it",
        ) from error


def _evaluation_key(step: StepRun) -> dict[str, Any]:
    """Everything on which an evaluation depends, except the live model."""
    split = _split(step)
    rows = contents_digest([Path(file) for file in split_files(step.artifact("examples"), split)])
    settings = {key: step.parameters[key] for key in ("task", "config", "training_metric", "code")}
    fitted = [] if step.optional("baselines") is None else stored_files(step.folder("baselines"))
    baselines = contents_digest(fitted)
    model = model_digest(step.model_folder)
    return {**settings, "split": split, "rows": rows, "baselines": baselines, "model": model}


def _as_model(live: LiveModelArtifact) -> standard_artifacts.Model:
    """The same folder as a Model artifact, which TFX's executor needs as a baseline."""
    model = standard_artifacts.Model()
    model.uri, model.id = live.uri, live.id
    return model


def _bless(artifact: types.Artifact, candidate: types.Artifact, summary: dict[str, Any]) -> None:
    """Marks the artifact as TFX's Evaluator does, so that any reader of a ModelBlessing understands it."""
    blessed = summary["blessed"]
    artifact.set_string_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, candidate.uri)
    artifact.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, candidate.id)
    artifact.set_string_custom_property("verdict", summary["verdict"])
    name = constants.BLESSED_FILE_NAME if blessed else constants.NOT_BLESSED_FILE_NAME
    io_utils.write_string_file(str(Path(artifact.uri, name)), summary["verdict"])
    value = constants.BLESSED_VALUE if blessed else constants.NOT_BLESSED_VALUE
    artifact.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, value)
