"""The base of all steps: a component declares its artifacts and parameters, its executor unpacks them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import apache_beam as beam
from pydantic import BaseModel
from tfx import types
from tfx.dsl.components.base import base_beam_executor, base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec
from tfx.utils import path_utils

from components.artifacts import Artifacts
from components.fingerprint import fingerprint
from components.gathered import Gatherer, in_memory_pipeline

_Config = TypeVar("_Config", bound=BaseModel)


class Step(base_component.BaseComponent):
    """A component that declares its inputs, outputs (key to artifact type) and parameters (key to str or int).

    It makes its own output channels, and the parameter `code`, the fingerprint of its module.

    Args:
        executor: the class that does the work; by default that of `extends`.
        code: modules and libraries that the executor runs without importing them.
        extends: a component of TFX's, to whose specification the declarations of this class are added.
    """

    INPUTS: ClassVar[dict[str, type[types.Artifact]]] = {}
    OPTIONAL_INPUTS: ClassVar[dict[str, type[types.Artifact]]] = {}
    OUTPUTS: ClassVar[dict[str, type[types.Artifact]]] = {}
    PARAMETERS: ClassVar[dict[str, type]] = {}
    TYPE_ANNOTATION: Any = None

    def __init_subclass__(
        cls, *, executor: type | None = None, code: tuple[str, ...] = (), extends: Any = None
    ) -> None:
        super().__init_subclass__()
        parameter, channel = component_spec.ExecutionParameter, component_spec.ChannelParameter
        declared = {
            "PARAMETERS": {key: parameter(type=kind) for key, kind in {**cls.PARAMETERS, "code": str}.items()},
            "INPUTS": {key: channel(type=kind) for key, kind in cls.INPUTS.items()}
            | {key: channel(type=kind, optional=True) for key, kind in cls.OPTIONAL_INPUTS.items()},
            "OUTPUTS": {key: channel(type=kind) for key, kind in cls.OUTPUTS.items()},
        }
        spec = getattr(extends, "SPEC_CLASS", None)
        merged = {name: {**getattr(spec, name, {}), **own} for name, own in declared.items()}
        annotation = getattr(spec, "TYPE_ANNOTATION", cls.TYPE_ANNOTATION)
        cls.SPEC_CLASS = type(
            f"{cls.__name__}Spec", (component_spec.ComponentSpec,), {**merged, "TYPE_ANNOTATION": annotation}
        )
        if executor is not None:
            is_beam = issubclass(executor, base_beam_executor.BaseBeamExecutor)
            make_spec = executor_spec.BeamExecutorSpec if is_beam else executor_spec.ExecutorClassSpec
            cls.EXECUTOR_SPEC = make_spec(executor)
        else:
            cls.EXECUTOR_SPEC = extends.EXECUTOR_SPEC
        cls._code = (cls.__module__, *code)

    def __init__(self, **values: Any) -> None:
        """`values`: by key, the inputs' channels and the parameters, and an output's channel where it needs another."""
        required = {key: output for key, output in self.SPEC_CLASS.OUTPUTS.items() if not output.optional}
        outputs = {key: types.Channel(type=output.type) for key, output in required.items()}
        super().__init__(spec=self.SPEC_CLASS(**{**outputs, **values, "code": fingerprint(*self._code)}))


@dataclass(frozen=True)
class StepRun:
    """The artifacts (inputs and outputs) and the parameters of one execution."""

    artifacts: Artifacts
    parameters: dict[str, Any]

    def artifact(self, key: str) -> Any:
        return artifact_utils.get_single_instance(self.artifacts[key])

    def optional(self, key: str) -> Any:
        """The artifact of an optional input; None if there is none."""
        return self.artifact(key) if self.artifacts.get(key) else None

    def folder(self, key: str) -> Path:
        return Path(self.artifact(key).uri)

    def optional_folder(self, key: str) -> Path | None:
        """The folder of an optional input; None if there is none."""
        return self.folder(key) if self.artifacts.get(key) else None

    @property
    def model_folder(self) -> Path:
        """The SavedModel of the artifact `model`."""
        return Path(path_utils.serving_model_path(self.artifact("model").uri))

    def splits(self, key: str) -> list[str]:
        names: list[str] = artifact_utils.decode_split_names(self.artifact(key).split_names)
        return names

    def config(self, key: str, kind: type[_Config]) -> _Config:
        """A parameter that is the JSON of a part of the configuration."""
        return kind.model_validate_json(self.parameters[key])


class StepExecutor(base_executor.BaseExecutor):
    """An executor that gets its artifacts and parameters as a `StepRun`."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        self.run(StepRun({**input_dict, **output_dict}, exec_properties))

    def run(self, step: StepRun) -> None:
        """Does the step's work. The result of a check is no error: it is in the output artifact."""
        raise NotImplementedError


class BeamExecutor(base_beam_executor.BaseBeamExecutor):
    """TFX's, but Beam's arguments stay as they are: TFX would build a package of its own source for the workers."""

    def __init__(self, context: base_beam_executor.BaseBeamExecutor.Context | None = None) -> None:
        given = [] if context is None else list(context.beam_pipeline_args or [])
        if context is not None:
            context.beam_pipeline_args = []
        super().__init__(context)
        self._beam_pipeline_args = given

    def _make_beam_pipeline(self) -> beam.Pipeline:
        if self._beam_pipeline_args or self._make_beam_pipeline_fn is not None:
            return super()._make_beam_pipeline()
        return in_memory_pipeline()

    @property
    def gatherer(self) -> Gatherer:
        """Computes on the configured runner."""
        given = self._beam_pipeline_args or self._make_beam_pipeline_fn is not None
        return Gatherer(self._get_tmp_dir(), self._make_beam_pipeline if given else None)


class BeamStepExecutor(StepExecutor, BeamExecutor):
    """An executor that computes with Beam, and gets its artifacts and parameters as a `StepRun`."""
