"""LiveModel: a copy of the newest version under the push folder, so that later steps can compare with it.

It reads the folder and needs no metadata store, so it works in the same way on every runner.
"""

from __future__ import annotations

from pathlib import Path

from components.artifacts import LiveModelArtifact
from components.live_version import copy_live_version, live_version, version_digest
from components.tfx_step import Step, StepExecutor, StepRun

WHEN_RUN = -1
"""Instead of a version: the step looks it up when it runs."""


class Executor(StepExecutor):
    """Makes a copy, because the version may be pruned while later steps still read it."""

    def run(self, step: StepRun) -> None:
        """Copies the version.

        Raises:
            PushError: the push folder cannot be read.
        """
        live, directory = step.artifact("live_model"), Path(step.parameters["directory"])
        live.version = copy_live_version(directory, Path(live.uri), step.parameters["version"])


class LiveModel(Step, executor=Executor):
    """Output `live_model`: the SavedModel that is live, or an empty folder with version 0."""

    OUTPUTS = {"live_model": LiveModelArtifact}
    PARAMETERS = {"directory": str, "contents": str, "version": int}

    def __init__(self, *, directory: str, version: int | None = None) -> None:
        """`directory`: the push folder. `version`: the live version; it and its files are part of the cache key.

        By default the version is looked up when the graph is built, right before a local run. A graph that is
        compiled here and run elsewhere passes `WHEN_RUN` and turns the step's cache off.
        """
        live = live_version(directory) if version is None else version
        contents = version_digest(Path(directory, str(live))) if live > 0 else ""
        super().__init__(directory=directory, version=live, contents=contents)
