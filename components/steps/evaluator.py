"""Evaluator: the candidate, and the live model beside it, measured on the test rows with TFMA.

TFMA measures; `verdict.py` judges. TFMA's own validation blesses nothing when no threshold is set, fails
for any slice below the minimum size, and compares floats without slack, so it gets no thresholds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tfx import types
from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as tfx_evaluator
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs
from tfx.utils import io_utils, json_utils, path_utils

from components.artifacts import LiveModelArtifact
from components.config import EvaluationConfig
from components.data.formats.files import contents_digest
from components.evaluation import earlier_evaluation, slices, tfma_rows
from components.evaluation.comparability import EXTRA_FOLDER, SIGNATURE, baseline_of
from components.evaluation.comparison import Baseline
from components.evaluation.measurements import LiveState, Measured, without_broken_live
from components.evaluation.summary import save_summary, summarize
from components.evaluation.tfma_metric import TextMetrics, read_figures
from components.evaluation.thresholds import check_metrics, possible_columns, slice_columns
from components.fingerprint import fingerprint
from components.tf_examples import read_split, split_files
from models.config import TaskConfig
from models.errors import ConfigError, DataError, ModelError
from models.saved.model_identity import model_digest
from tflite.host.json_text import to_json
from tflite.host.labels import LabelSpace

SAYS = logging.getLogger("transom")
_IS_LIVE = "this very model is live already, as version {}"


class _Spec(component_spec.ComponentSpec):
    _TFX = standard_component_specs.EvaluatorSpec
    PARAMETERS = {
        "task": component_spec.ExecutionParameter(type=str),
        "config": component_spec.ExecutionParameter(type=str),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "live_model": component_spec.ChannelParameter(type=LiveModelArtifact, optional=True),
    }
    OUTPUTS = _TFX.OUTPUTS
    TYPE_ANNOTATION = _TFX.TYPE_ANNOTATION


class Executor(tfx_evaluator.Executor):
    """Says what is to be measured, lets TFX's executor run TFMA, then judges."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See TFX's `BaseExecutor.Do`.

        Raises:
            ConfigError: a threshold or slice names what the model or the rows do not have.
            DataError: there is no row to measure on.
            ModelError: the candidate lacks its labels.
        """
        evaluation = artifact_utils.get_single_instance(output_dict[standard_component_specs.EVALUATION_KEY])
        decided_by = _decided_by(input_dict, exec_properties)
        own = _own_version(input_dict.get("live_model", []), decided_by["model"])
        note = f"{_IS_LIVE.format(own)}: its evaluation stands"
        summary = earlier_evaluation.take(decided_by, Path(evaluation.uri), note) if own else None
        if summary is not None:
            evaluation.set_int_custom_property(earlier_evaluation.REUSED, 1)
        else:
            summary = self._measure(input_dict, output_dict, exec_properties, own)
            earlier_evaluation.save(decided_by, Path(evaluation.uri))
        for line in (*summary["notes"], summary["verdict"]):
            SAYS.info("%s", line)
        _bless(output_dict[standard_component_specs.BLESSING_KEY], input_dict["model"], summary)

    def _measure(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
        own: int,
    ) -> dict[str, Any]:
        """Measures and judges; returns the summary, which it saves. `own`: see `_own_version`."""
        task = TaskConfig.model_validate_json(exec_properties["task"])
        config = EvaluationConfig.model_validate_json(exec_properties["config"])
        split, notes = _split(input_dict["examples"])
        labels = _labels(_model_folder(input_dict["model"]))
        check_metrics(task.type, config, labels or None)
        row = _first_row(input_dict["examples"], split)
        live, state, baseline = _live_model(input_dict.get("live_model", []), own, task, labels, row)
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
        measured = replace(read_figures(folder, task.type), split=split, labels=labels, live=state, notes=tuple(notes))
        measured = without_broken_live(_of_real_columns(measured, config))
        summary = summarize(measured, config)
        save_summary(summary, folder)
        return summary


def build_eval_config(
    task: TaskConfig, config: EvaluationConfig, labels: tuple[str, ...], baseline: Baseline | None
) -> tfma.EvalConfig:
    """What TFMA is told: one metric that computes all figures, and the slices.

    TFMA's own confidence intervals, example weights and TFMA's default metrics are left out: they cost several passes.
    """
    metric = TextMetrics(
        task=task.model_dump(mode="json"),
        labels=list(labels),
        live=None if baseline is None else asdict(baseline),
        judged=[name for name, threshold in config.thresholds.items() if threshold.max_loss_to_live is not None],
    )
    eval_config = tfma.EvalConfig(
        # Without a type TFMA tries to load the model with Keras first.
        model_specs=[tfma.ModelSpec(signature_name=SIGNATURE, model_type=tfma.TF_GENERIC)],
        metrics_specs=[
            tfma.MetricsSpec(
                metrics=[
                    tfma.MetricConfig(
                        class_name=TextMetrics.__name__,
                        module=TextMetrics.__module__,
                        config=to_json(metric.get_config()),
                    )
                ]
            )
        ],
        slicing_specs=[
            tfma.SlicingSpec(),
            *(tfma.SlicingSpec(feature_keys=[name]) for name in slice_columns(task, config)),
        ],
    )
    eval_config.options.include_default_metrics.value = False
    eval_config.options.compute_confidence_intervals.value = False
    return eval_config


class Evaluator(base_beam_component.BaseBeamComponent):
    """Measures a model on the test rows (else the eval rows), beside the live one, and blesses it or not."""

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
    """The split to measure on, and what there is to say about it."""
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


def _decided_by(input_dict: dict[str, list[types.Artifact]], exec_properties: dict[str, Any]) -> dict[str, Any]:
    """What decides an evaluation, the live model aside."""
    split, _ = _split(input_dict["examples"])
    files = split_files(artifact_utils.get_single_instance(input_dict["examples"]), split)
    told = {key: exec_properties[key] for key in ("task", "config", "code")}
    rows = contents_digest([Path(file) for file in files])
    return {**told, "split": split, "rows": rows, "model": model_digest(_model_folder(input_dict["model"]))}


def _own_version(artifacts: Iterable[types.Artifact], candidate: str | None) -> int:
    """The version of the live model where it is the candidate itself, else 0."""
    live = next(iter(artifacts), None)
    if live is None or not live.version or candidate is None:
        return 0
    return int(live.version) if model_digest(Path(live.uri)) == candidate else 0


def _live_model(
    artifacts: Iterable[types.Artifact], own: int, task: TaskConfig, labels: tuple[str, ...], row: bytes
) -> tuple[LiveModelArtifact | None, LiveState, Baseline | None]:
    """The live model, what is known of it, and what is needed to measure it; None where that cannot or need not be."""
    live = next(iter(artifacts), None)
    if live is None or not live.version:
        return None, LiveState(), None
    if own:
        return live, LiveState(live.version, same=True), None
    baseline, reason = baseline_of(Path(live.uri), task, labels, row)
    if baseline is None:
        return live, LiveState(live.version, reason), None
    other = set(baseline.labels) != set(labels)
    return live, LiveState(live.version, labels=baseline.shared(labels) if other else None), baseline


def _as_model(live: LiveModelArtifact) -> standard_artifacts.Model:
    """The same folder as a Model, which is what TFX's executor takes as a baseline."""
    model = standard_artifacts.Model()
    model.uri, model.id = live.uri, live.id
    return model


def _of_real_columns(measured: Measured, config: EvaluationConfig) -> Measured:
    """What was measured, without the slices of columns that a threshold could have meant and that are not there.

    Raises:
        ConfigError: a slice for which there is no column at all.
    """
    values: dict[str, set[str]] = {}
    for part in measured.slices:
        values.setdefault(part.column, set()).add(part.value)
    absent = {column for column, found in values.items() if found == {slices.MISSING}}
    asked: list[tuple[str, str, tuple[str, ...]]] = [("evaluation.slices", name, (name,)) for name in config.slices]
    for metric, threshold in config.thresholds.items():
        key = f"evaluation.thresholds.{metric}.slices"
        asked += [(key, name, possible_columns(name)) for name in threshold.slices]
    for key, name, columns in asked:
        if absent.issuperset(columns):
            raise ConfigError(
                key,
                got=f"{name!r}, and no row of the {measured.split} split has such a column",
                expected="label, text_length or a column of the table",
            )
    return replace(measured, slices=tuple(part for part in measured.slices if part.column not in absent))


def _bless(blessing: list[types.Artifact], model: list[types.Artifact], summary: dict[str, Any]) -> None:
    """Marks the artifact as TFX's Evaluator does, so that whatever reads a ModelBlessing understands it."""
    artifact, candidate = artifact_utils.get_single_instance(blessing), artifact_utils.get_single_instance(model)
    blessed = summary["blessed"]
    artifact.set_string_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, candidate.uri)
    artifact.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, candidate.id)
    artifact.set_string_custom_property("verdict", summary["verdict"])
    name = constants.BLESSED_FILE_NAME if blessed else constants.NOT_BLESSED_FILE_NAME
    io_utils.write_string_file(str(Path(artifact.uri, name)), summary["verdict"])
    value = constants.BLESSED_VALUE if blessed else constants.NOT_BLESSED_VALUE
    artifact.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, value)
