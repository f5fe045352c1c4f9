"""EdgeExporter: a bundle of every configured variant, before any is measured."""

from __future__ import annotations

from tfx import types
from tfx.types import standard_artifacts

from components.artifacts import EdgeBundles
from components.config import CardConfig
from components.model_gates.variant_export import export_variants
from components.tfx_step import Step, StepExecutor, StepRun
from models.config import TaskConfig
from tflite.config import EdgeConfig


class Executor(StepExecutor):
    """Converts once, quantizes for each variant, and records which could not be exported."""

    def run(self, step: StepRun) -> None:
        """A variant that cannot be exported is not an error here: EdgeGate reports it.

        Raises:
            ConfigError: a length that the model does not have.
        """
        examples, bundles = step.artifact("examples"), step.folder("bundles")
        task, config = step.config("task", TaskConfig), step.config("config", EdgeConfig)
        export_variants(step.model_folder, examples, bundles, task, config, step.config("card", CardConfig))


class EdgeExporter(Step, executor=Executor):
    """Output `bundles`: a folder for each variant, and `bundles.json`, variant to why it could not be exported."""

    INPUTS = {"examples": standard_artifacts.Examples, "model": standard_artifacts.Model}
    OUTPUTS = {"bundles": EdgeBundles}
    PARAMETERS = {"task": str, "config": str, "card": str}

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        *,
        task: TaskConfig,
        edge: EdgeConfig,
        card: CardConfig = CardConfig(),  # noqa: B008
    ) -> None:
        """`examples`: raw rows. The cache key holds only the settings that affect the files."""
        super().__init__(
            examples=examples,
            model=model,
            task=task.model_dump_json(),
            config=edge.model_dump_json(include={"variants", "lengths"}),
            card=card.model_dump_json(include={"author", "licence"}),
        )
