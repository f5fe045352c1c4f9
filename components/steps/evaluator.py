"""Evaluator: measures the candidate, and the live model next to it, on the test rows with TFMA.

TFMA measures; `components.evaluation.verdict` judges. TFMA gets no thresholds, because its own validation blesses
nothing if no threshold is set, fails for any slice below the minimum size, and compares floats without tolerance.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from tfx import types
from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as tfx_evaluator
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs
from tfx.utils import io_utils, json_utils, path_utils

from components.artifacts import Artifacts, LiveModelArtifact
from components.config import EvaluationConfig
from components.data.formats.files import contents_digest
from components.evaluation import evaluation_reuse, tfma_rows
from components.evaluation.live_baseline import EXTRA_FOLDER, live_state
from components.evaluation.measurements import without_broken_live
from components.evaluation.slices import without_absent_columns
from components.evaluation.summary import save_summary, summarize
from components.evaluation.tfma_metric import build_eval_config, read_measurements
from components.evaluation.thresholds import check_metrics
from components.fingerprint import fingerprint
from components.tf_examples import read_split, split_files
from models.config import TaskConfig
from models.errors import DataError, ModelError
from models.saved.model_identity import model_digest
from tflite.host.labels import LabelSpace

USER_LOG = logging.getLogger("transom")


class _Spec(component_spec.ComponentSpec):
    _TFX = standard_component_specs.EvaluatorSpec
    PARAMETERS = dict.fromkeys(("task", "config", "code"), component_spec.ExecutionParameter(type=str))
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "live_model": component_spec.ChannelParameter(type=LiveModelArtifact, optional=True),
    }
    OUTPUTS = _TFX.OUTPUTS
    TYPE_ANNOTATION = _TFX.TYPE_ANNOTATION


class Executor(tfx_evaluator.Executor):
    """Configures TFMA, lets TFX's executor run it, then judges."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """See TFX's `BaseExecutor.Do`.

        Raises:
            ConfigError: a threshold or slice names a metric, label or column that does not exist.
            DataError: there is no row to measure on.
            ModelError: the candidate's labels are missing.
        """
        evaluation = artifact_utils.get_single_instance(output_dict[standard_component_specs.EVALUATION_KEY])
        key = _evaluation_key(input_dict, exec_properties)
        live = next((live for live in input_dict.get("live_model", []) if live.version), None)
        is_live = live is not None and key["model"] is not None and model_digest(Path(live.uri)) == key["model"]
        summary = None
        if live is not None and is_live:
            note = f"this model is live already, as version {live.version}: its evaluation is reused"
            summary = evaluation_reuse.reuse(key, Path(evaluation.uri), note)
        if summary is not None:
            evaluation.set_int_custom_property(evaluation_reuse.REUSED, 1)
        else:
            summary = self._measure(input_dict, output_dict, exec_properties, live, is_live)
            evaluation_reuse.save_key(key, Path(evaluation.uri))
        for line in (*summary["notes"], summary["verdict"]):
            USER_LOG.info("%s", line)
        _bless(output_dict[standard_component_specs.BLESSING_KEY], input_dict["model"], summary)

    def _measure(
        self,
        input_dict: Artifacts,
        output_dict: Artifacts,
        exec_properties: dict[str, Any],
        live: LiveModelArtifact | None,
        is_live: bool,
    ) -> dict[str, Any]:
        """Measures and judges; saves the summary and returns it. `is_live`: the candidate is the live model."""
        task = TaskConfig.model_validate_json(exec_properties["task"])
        config = EvaluationConfig.model_validate_json(exec_properties["config"])
        split, notes = _split(input_dict["examples"])
        labels = _labels(_model_folder(input_dict["model"]))
        check_metrics(task.type, config, labels or None)
        row = _first_row(input_dict["examples"], split)
        state, baseline = live_state(
            None if live is None else Path(live.uri), live.version if live else 0, is_live, task, labels, row
        )
        eval_config = build_eval_config(task, config, labels, baseline)
        inputs = {"examples": input_dict["examples"], "model": input_dict["model"]}
        if live is not None and baseline is not None:
            inputs[standard_component_specs.BASELINE_MODEL_KEY] = [_as_model(live)]
        properties = {
            standard_component_specs.EVAL_CONFIG_KEY: json_format.MessageToJson(eval_config),
            standard_component_specs.EXAMPLE_SPLITS_KEY: json_utils.dumps([split]),
            standard_component_specs.MODULE_PATH_KEY: tfma_rows.__name__,
        }
        super().Do(inputs, output_dict, properties)
        folder = artifact_utils.get_single_uri(output_dict[standard_component_specs.EVALUATION_KEY])
        measured = read_measurements(folder, task.type)
        measured = replace(measured, split=split, labels=labels, live=state, notes=tuple(notes))
        summary = summarize(without_broken_live(without_absent_columns(measured, config)), config)
        save_summary(summary, folder)
        return summary


class Evaluator(base_beam_component.BaseBeamComponent):
    """Measures a model and the live model on the test rows (else the eval rows), and blesses the model or not."""

    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        live_model: types.BaseChannel | None = None,
        *,
        task: TaskConfig,
        evaluation: EvaluationConfig,
    ) -> None:
        """`examples`: raw rows. Outputs `evaluation` (TFMA's files and `summary.json`) and `blessing`."""
        super().__init__(
            spec=_Spec(
                examples=examples,
                model=model,
                live_model=live_model,
                task=task.model_dump_json(),
                config=evaluation.model_dump_json(),
                code=fingerprint(__name__, "tfx_bsl"),
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            )
        )


def _split(examples: list[types.Artifact]) -> tuple[str, list[str]]:
    """The split to measure on, and notes about it."""
    splits = artifact_utils.decode_split_names(artifact_utils.get_single_instance(examples).split_names)
    if "test" in splits:
        return "test", []
    return "eval", ["there is no test split: measured on the eval rows, which also chose the best epoch"]


def _first_row(examples: list[types.Artifact], split: str) -> bytes:
    row = next(read_split(artifact_utils.get_single_instance(examples), split), None)
    if row is None:
        raise DataError(f"the {split} split", got="no rows", expected="rows to measure the model on")
    return row


def _model_folder(model: list[types.Artifact]) -> Path:
    return Path(path_utils.serving_model_path(artifact_utils.get_single_uri(model)))


def _labels(folder: Path) -> tuple[str, ...]:
    try:
        return LabelSpace.load(folder / EXTRA_FOLDER).labels
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder.name}/{EXTRA_FOLDER}/labels.json",
            got=str(error),
            expected="the labels of the model, as the Trainer stores them",
        ) from error


def _evaluation_key(input_dict: Artifacts, exec_properties: dict[str, Any]) -> dict[str, Any]:
    """Everything on which an evaluation depends, except the live model."""
    split, _ = _split(input_dict["examples"])
    files = split_files(artifact_utils.get_single_instance(input_dict["examples"]), split)
    settings = {key: exec_properties[key] for key in ("task", "config", "code")}
    rows = contents_digest([Path(file) for file in files])
    return {**settings, "split": split, "rows": rows, "model": model_digest(_model_folder(input_dict["model"]))}


def _as_model(live: LiveModelArtifact) -> standard_artifacts.Model:
    """The same folder as a Model artifact, which TFX's executor needs as a baseline."""
    model = standard_artifacts.Model()
    model.uri, model.id = live.uri, live.id
    return model


def _bless(blessing: list[types.Artifact], model: list[types.Artifact], summary: dict[str, Any]) -> None:
    """Marks the artifact as TFX's Evaluator does, so that any reader of a ModelBlessing understands it."""
    artifact, candidate = artifact_utils.get_single_instance(blessing), artifact_utils.get_single_instance(model)
    blessed = summary["blessed"]
    artifact.set_string_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, candidate.uri)
    artifact.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, candidate.id)
    artifact.set_string_custom_property("verdict", summary["verdict"])
    name = constants.BLESSED_FILE_NAME if blessed else constants.NOT_BLESSED_FILE_NAME
    io_utils.write_string_file(str(Path(artifact.uri, name)), summary["verdict"])
    value = constants.BLESSED_VALUE if blessed else constants.NOT_BLESSED_VALUE
    artifact.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, value)
