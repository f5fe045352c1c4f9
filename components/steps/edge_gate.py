"""EdgeGate: every variant against Keras and the budget; the smallest that passes is blessed."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import path_utils

from components.artifacts import AGAIN, BLESSED, VARIANT, VERDICT, EdgeBundles, bless
from components.config import EvaluationConfig
from components.edge_rows import edge_rows
from components.fingerprint import fingerprint
from components.steps.edge_exporter import FILE_NAME as BUNDLES_FILE
from components.steps.edge_exporter import REFERENCE, brief
from models.config import TaskConfig
from models.errors import ModelError
from models.saved.restore import restore
from tflite.config import EdgeConfig
from tflite.convert.variants import Variant
from tflite.host.edge_classifier import EdgeClassifier
from tflite.measure.cost import Cost, measure_cost
from tflite.measure.parity import TextRow, compare, keras_reference
from tflite.measure.variant_choice import FILE_NAME, Candidate, choose_variant

SAYS, PROGRESS = logging.getLogger("transom"), logging.getLogger("transom.progress")
_SPLIT = "eval"
_NO_ROWS = f"the {_SPLIT} split has no row on which it could be compared with Keras"


class _Spec(component_spec.ComponentSpec):
    PARAMETERS = {
        "task": component_spec.ExecutionParameter(type=str),
        "config": component_spec.ExecutionParameter(type=str),
        "evaluation": component_spec.ExecutionParameter(type=str),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "bundles": component_spec.ChannelParameter(type=EdgeBundles),
    }
    OUTPUTS = {"blessing": component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing)}


class Executor(base_executor.BaseExecutor):
    """Compares, measures, chooses, and says why each of the others was not chosen."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See TFX's `BaseExecutor.Do`. That no variant passes is no error here.

        Raises:
            ModelError: the model cannot be restored for the comparison.
        """
        config = EdgeConfig.model_validate_json(exec_properties["config"])
        task = TaskConfig.model_validate_json(exec_properties["task"])
        evaluation = EvaluationConfig.model_validate_json(exec_properties["evaluation"])
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        folder = Path(path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["model"])))
        bundles = Path(artifact_utils.get_single_uri(input_dict["bundles"]))
        rows = edge_rows(examples, _SPLIT, task, config.rows, evaluation.slices)
        report = examine(folder, bundles, rows, config, evaluation.min_slice_size)
        SAYS.info("%s", report[VERDICT])
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        bless(blessing, report, FILE_NAME)
        blessing.set_string_custom_property(VARIANT, report[VARIANT] or "")


def examine(
    folder: Path, bundles: Path, rows: list[TextRow], config: EdgeConfig, min_slice_size: int
) -> dict[str, Any]:
    """The gate's report, see `tflite.measure.variant_choice.choose_variant`, and `again`, see `components.artifacts`.

    Args:
        folder: the SavedModel.
        bundles: what EdgeExporter wrote.
        rows: what Keras and the bundles are asked.
        config: the variants, and what they must hold.
        min_slice_size: rows below which a slice is not judged.
    """
    made: dict[Variant, str] = json.loads((bundles / BUNDLES_FILE).read_text(encoding="utf-8"))
    if not rows:
        made = {variant: broken or _NO_ROWS for variant, broken in made.items()}
    costs: dict[Variant, Cost] = {}
    unmeasured = False
    for variant in [variant for variant, broken in made.items() if not broken]:
        PROGRESS.info("measuring %s", variant)
        try:
            costs[variant] = measure_cost(bundles / variant)
        except ModelError as error:  # LiteRT ends the process, say: that is the variant's fault, not the run's
            made[variant], unmeasured = brief(error), True
    if all(made[variant] for variant in config.variants):
        broken = [Candidate(variant, broken=made[variant]) for variant in config.variants]
        return {**choose_variant(broken, None, config), AGAIN: unmeasured}
    PROGRESS.info("asking Keras %d rows", len(rows))
    model = restore(folder)
    reference = keras_reference(model, rows, max(config.lengths, default=model.tokenizer.max_length))
    candidates = []
    for variant in config.variants:
        if made[variant]:
            candidates.append(Candidate(variant, broken=made[variant]))
            continue
        PROGRESS.info("asking %s %d rows", variant, len(rows))
        bundle = EdgeClassifier(bundles / variant, threads=os.cpu_count() or 1)
        parity = compare(bundle, reference, rows, min_slice_size)
        candidates.append(Candidate(variant, parity, costs[variant], tuple(bundle.manifest.report["operations"])))
    report = choose_variant(candidates, costs.get(REFERENCE), config)
    slow = not report[BLESSED] and config.budget.latency_ratio is not None
    return {**report, AGAIN: unmeasured or slow}


class EdgeGate(base_component.BaseComponent):
    """Output `blessing`: `edge_report.json`, and the properties `blessed`, `verdict` and `variant`."""

    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        bundles: types.BaseChannel,
        *,
        task: TaskConfig,
        edge: EdgeConfig,
        evaluation: EvaluationConfig,
    ) -> None:
        """`examples`: raw rows; `bundles`: EdgeExporter's."""
        super().__init__(
            spec=_Spec(
                examples=examples,
                model=model,
                bundles=bundles,
                task=task.model_dump_json(),
                config=edge.model_dump_json(exclude={"directory", "author", "licence"}),
                # A change of a threshold repeats nothing here.
                evaluation=evaluation.model_dump_json(include={"slices", "min_slice_size"}),
                code=fingerprint(__name__, "tflite.measure.cost"),
                blessing=types.Channel(type=standard_artifacts.InfraBlessing),
            )
        )
