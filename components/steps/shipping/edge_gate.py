"""EdgeGate: compares every variant with Keras and the budget, and blesses the smallest that passes."""

from __future__ import annotations

import logging

from tfx import types
from tfx.types import standard_artifacts

from components.artifacts import VARIANT, VERDICT, EdgeBundles, write_blessing
from components.config import EvaluationConfig
from components.model_gates.edge_gate_report import SPLIT, edge_gate_report
from components.model_gates.edge_rows import edge_rows
from components.report_files import EDGE_FILE
from components.tfx_step import Step, StepExecutor, StepRun
from models.config import TaskConfig
from tflite.config import EdgeConfig

USER_LOG = logging.getLogger("transom")


class Executor(StepExecutor):
    """Compares, measures, chooses, and reports why each of the other variants was not chosen."""

    def run(self, step: StepRun) -> None:
        """It is not an error if no variant passes.

        Raises:
            ModelError: the model cannot be restored for the comparison.
        """
        task, config = step.config("task", TaskConfig), step.config("config", EdgeConfig)
        evaluation = step.config("evaluation", EvaluationConfig)
        rows = edge_rows(step.artifact("examples"), SPLIT, task, config.rows, evaluation.slices)
        report = edge_gate_report(step.model_folder, step.folder("bundles"), rows, config, evaluation.min_slice_size)
        USER_LOG.info("%s", report[VERDICT])
        blessing = step.artifact("blessing")
        write_blessing(blessing, report, EDGE_FILE)
        blessing.set_string_custom_property(VARIANT, report[VARIANT] or "")


class EdgeGate(Step, executor=Executor, code=("tflite.measure.cost",)):
    """Output `blessing`: `edge_report.json`, and the properties `blessed`, `verdict` and `variant`."""

    INPUTS = {"examples": standard_artifacts.Examples, "model": standard_artifacts.Model, "bundles": EdgeBundles}
    OUTPUTS = {"blessing": standard_artifacts.InfraBlessing}
    PARAMETERS = {"task": str, "config": str, "evaluation": str}

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
        """`examples`: raw rows; `bundles`: EdgeExporter's output."""
        super().__init__(
            examples=examples,
            model=model,
            bundles=bundles,
            task=task.model_dump_json(),
            config=edge.model_dump_json(exclude={"directory"}),
            # The thresholds are left out: changing one does not run this step again.
            evaluation=evaluation.model_dump_json(include={"slices", "min_slice_size"}),
        )
