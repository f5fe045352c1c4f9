"""LiveModel: a copy of the newest version under the push folder, so that later steps can compare with it.

It reads the folder and needs no metadata store, so it works in the same way on every runner.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec

from components.artifacts import Artifacts, LiveModelArtifact
from components.fingerprint import fingerprint
from components.live_version import copy_live_version, live_version, version_digest

WHEN_RUN = -1
"""Instead of a version: the step looks it up when it runs."""


class _Spec(component_spec.ComponentSpec):
    PARAMETERS = {
        **dict.fromkeys(("directory", "contents", "code"), component_spec.ExecutionParameter(type=str)),
        "version": component_spec.ExecutionParameter(type=int),
    }
    INPUTS: dict[str, component_spec.ChannelParameter] = {}
    OUTPUTS = {"live_model": component_spec.ChannelParameter(type=LiveModelArtifact)}


class Executor(base_executor.BaseExecutor):
    """Makes a copy, because the version may be pruned while later steps still read it."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """See TFX's `BaseExecutor.Do`.

        Raises:
            PushError: the push folder cannot be read.
        """
        live = artifact_utils.get_single_instance(output_dict["live_model"])
        live.version = copy_live_version(Path(exec_properties["directory"]), Path(live.uri), exec_properties["version"])


class LiveModel(base_component.BaseComponent):
    """Output `live_model`: the SavedModel that is live, or an empty folder with version 0."""

    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, *, directory: str, version: int | None = None) -> None:
        """`directory`: the push folder. `version`: the live version; it and its files are part of the cache key.

        By default the version is looked up when the graph is built, right before a local run. A graph that is
        compiled here and run elsewhere passes `WHEN_RUN` and turns the step's cache off.
        """
        live = live_version(directory) if version is None else version
        super().__init__(
            spec=_Spec(
                directory=directory,
                version=live,
                contents=version_digest(Path(directory, str(live))) if live > 0 else "",
                code=fingerprint(__name__),
                live_model=types.Channel(type=LiveModelArtifact),
            )
        )
