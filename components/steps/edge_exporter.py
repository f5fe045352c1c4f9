"""EdgeExporter: a bundle of every configured variant, before any is measured."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import path_utils

from components.artifacts import EdgeBundles
from components.edge_rows import edge_rows
from components.fingerprint import fingerprint
from models.config import TaskConfig
from models.errors import ModelError
from tflite.bundle.mediapipe_metadata import ModelCard
from tflite.bundle_export import CALIBRATION_ROWS, GOLDEN_ROWS, Float32Model
from tflite.config import EdgeConfig
from tflite.convert.variants import READS_ROWS, VARIANTS, Variant
from tflite.host.json_text import to_json

SAYS, PROGRESS = logging.getLogger("transom"), logging.getLogger("transom.progress")
FILE_NAME = "bundles.json"
REFERENCE: Variant = "float32"
"""Always made: what the others' latency is compared with."""


class _Spec(component_spec.ComponentSpec):
    PARAMETERS = {
        "task": component_spec.ExecutionParameter(type=str),
        "config": component_spec.ExecutionParameter(type=str),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
    }
    OUTPUTS = {"bundles": component_spec.ChannelParameter(type=EdgeBundles)}


class Executor(base_executor.BaseExecutor):
    """Converts once, quantizes for each variant, and writes down what could not be made."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See TFX's `BaseExecutor.Do`. A variant that cannot be made is no error here: EdgeGate tells of it.

        Raises:
            ConfigError: a length that the model does not have.
        """
        config = EdgeConfig.model_validate_json(exec_properties["config"])
        task = TaskConfig.model_validate_json(exec_properties["task"])
        folder = Path(path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["model"])))
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        target = Path(artifact_utils.get_single_uri(output_dict["bundles"]))
        made = export_variants(folder, examples, target, task, config)
        text = to_json(made, indent=1)
        (target / FILE_NAME).write_text(text + "\n", encoding="utf-8")


def export_variants(
    folder: Path, examples: types.Artifact, target: Path, task: TaskConfig, config: EdgeConfig
) -> dict[str, str]:
    """Writes `target/VARIANT/` for every variant that can be made, float32 among them.

    Returns:
        Variant to what was wrong with it, "" where nothing was.
    """
    wanted = [variant for variant in VARIANTS if variant in (*config.variants, REFERENCE)]
    try:
        float32 = Float32Model.from_version(folder, config.lengths)
    except ModelError as error:
        SAYS.warning("no edge bundle: %s", error)
        return {variant: brief(error) for variant in wanted}
    golden = edge_rows(examples, "eval", task, GOLDEN_ROWS)
    calibration = edge_rows(examples, "train", task, CALIBRATION_ROWS) if set(wanted) & set(READS_ROWS) else []
    card = ModelCard(float32.name, version=_version(folder), author=config.author, licence=config.licence)
    made: dict[str, str] = {}
    for number, variant in enumerate(wanted, start=1):
        PROGRESS.info("making %s, variant %d of %d", variant, number, len(wanted))
        try:
            float32.write_bundle(target / variant, variant, card, golden=golden, calibration=calibration)
            made[variant] = ""
        except ModelError as error:
            SAYS.warning("edge variant %s: %s", variant, error)
            made[variant] = brief(error)
    return made


def brief(error: ModelError) -> str:
    """What `bundles.json` and the report say of a variant that is out."""
    return f"{error.what}: {error.got}" if error.got else error.what


def _version(folder: Path) -> str:
    """Names the weights, for the push's number is not known yet."""
    digest = hashlib.sha256()
    for path in sorted((folder / "variables").iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


class EdgeExporter(base_component.BaseComponent):
    """Output `bundles`: a folder for each variant, and `bundles.json`, variant to what was wrong with it."""

    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self, examples: types.BaseChannel, model: types.BaseChannel, *, task: TaskConfig, edge: EdgeConfig
    ) -> None:
        """`examples`: raw rows; only what decides the files is part of the cache key."""
        super().__init__(
            spec=_Spec(
                examples=examples,
                model=model,
                task=task.model_dump_json(),
                config=edge.model_dump_json(include={"variants", "lengths", "author", "licence"}),
                code=fingerprint(__name__),
                bundles=types.Channel(type=EdgeBundles),
            )
        )
