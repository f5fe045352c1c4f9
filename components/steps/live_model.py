"""LiveModel: a copy of the newest version under the push folder, so that later steps can compare with it.

It looks at the folder itself and asks no metadata store, so it works alike on every runner.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec

from components import artifacts
from components.fingerprint import fingerprint
from models.errors import PushError
from serving.errors import PublishError
from serving.publish.version_folders import newest, versions

WHEN_RUN = -1
"""In place of a version: look when the step runs."""


class _Spec(component_spec.ComponentSpec):
    PARAMETERS = {
        "directory": component_spec.ExecutionParameter(type=str),
        "version": component_spec.ExecutionParameter(type=int),
        "contents": component_spec.ExecutionParameter(type=str),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: dict[str, component_spec.ChannelParameter] = {}
    OUTPUTS = {"live_model": component_spec.ChannelParameter(type=artifacts.LiveModelArtifact)}


class Executor(base_executor.BaseExecutor):
    """Copies, for the version may be pruned while later steps still read it."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See TFX's `BaseExecutor.Do`.

        Raises:
            PushError: the push folder cannot be read.
        """
        live = artifact_utils.get_single_instance(output_dict["live_model"])
        live.version = copy_live(Path(exec_properties["directory"]), Path(live.uri), exec_properties["version"])


def copy_live(directory: Path, target: Path, version: int) -> int:
    """Copies a version into `target`, which it empties first: `version` where it is there, else the newest.

    Returns:
        The version that was copied; 0 where there is none.
    """
    try:
        while True:
            present = versions(directory)
            chosen = version if version in present else max(present, default=0)
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            if not chosen:
                return 0
            shutil.copytree(directory / str(chosen), target, dirs_exist_ok=True, copy_function=shutil.copyfile)
            if chosen in versions(directory):
                return chosen
    except PublishError as error:
        raise PushError(error.what, got=error.got, expected=error.expected, fix=error.fix) from error
    except (OSError, shutil.Error) as error:
        raise PushError(
            f"the live model in {directory}", got=str(error), expected="a folder that can be read"
        ) from error


def live_version(directory: str) -> int:
    """The newest version under the push folder, 0 where there is none.

    Raises:
        PushError: the folder cannot be read.
    """
    try:
        return newest(Path(directory)) or 0
    except PublishError as error:
        raise PushError(error.what, got=error.got, expected=error.expected, fix=error.fix) from error


def contents(folder: Path) -> str:
    """A digest of a version's files, for its number says nothing of what lies there; "" where it has been removed.

    Raises:
        PushError: a file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            digest.update(os.fsencode(path.relative_to(folder)) + b"\0")
            with path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    except FileNotFoundError:  # pruned meanwhile: the step looks again
        return ""
    except OSError as error:
        raise PushError(
            f"the live model in {folder}", got=error.strerror or str(error), expected="a folder that can be read"
        ) from error
    return digest.hexdigest()[:32] if folder.is_dir() else ""


class LiveModel(base_component.BaseComponent):
    """Output `live_model`: the SavedModel that is live, or an empty folder with version 0."""

    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, *, directory: str, version: int | None = None) -> None:
        """`directory`: the push folder. `version`: what is live, which is part of the step's cache key with its files.

        By default the version is looked up now, when the graph is built, right before a local run. A graph that is
        compiled here and run elsewhere says `WHEN_RUN` and turns the step's cache off.
        """
        live = live_version(directory) if version is None else version
        super().__init__(
            spec=_Spec(
                directory=directory,
                version=live,
                contents=contents(Path(directory, str(live))) if live > 0 else "",
                code=fingerprint(__name__),
                live_model=types.Channel(type=artifacts.LiveModelArtifact),
            )
        )
