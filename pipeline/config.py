"""The configuration, `transom.yaml`, composed of the parts of each package. Imports no TensorFlow."""

from __future__ import annotations

from pydantic import Field

from components.beam_config import BeamConfig
from components.config import CardConfig, DataConfig, EvaluationConfig, GateConfig, PushConfig, ServingConfig
from models.config import ModelsConfig
from models.settings import FilePath
from pipeline import project_names
from pipeline.kubeflow.config import KubeflowConfig
from tflite.config import EdgeConfig


class ProjectConfig(ModelsConfig):
    """The configuration of a project. Only `data` is required."""

    name: str = Field(project_names.DEFAULT, pattern=project_names.PATTERN)
    """Name of the project and of the served model: lower-case letters, digits, "-" and "_"."""
    output: FilePath | None = None
    """Folder of everything that runs write. Default: NAME-out next to the configuration file."""
    data: DataConfig
    gate: GateConfig = GateConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    serving: ServingConfig = ServingConfig()
    edge: EdgeConfig = EdgeConfig()
    push: PushConfig = PushConfig()
    card: CardConfig = CardConfig()
    beam: BeamConfig = BeamConfig()
    kubeflow: KubeflowConfig = KubeflowConfig()
