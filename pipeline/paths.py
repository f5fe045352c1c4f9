"""The folders and files of a project. No TensorFlow.

OUTPUT/
  artifacts/          each step's outputs, by step and execution (TFX's pipeline root)
  metadata.sqlite     TFX's metadata store: executions, inputs, cache (and .seal.json: its hash after a run)
  checkpoints/ID/     interrupted trainings: the newest three, by an ID of the settings that determine the result
  runs/RUN/           run.json, log.txt, logs/STEP.txt, report.html
  profiles/TIME/      of `transom profile`: profile.json, and a trace for TensorBoard
  serving/NAME/N/     pushed SavedModels: the folder that TF Serving watches
  edge/NAME/N/        the edge bundle of version N
  lock                held by the run in progress
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from models.errors import ConfigError
from models.saved.model_locations import BUNDLE_FOLDER, MODEL_FOLDER
from pipeline.config import ProjectConfig


@dataclass(frozen=True)
class Paths:
    """The folders of one project, absolute.

    Attributes:
        base: folder of the configuration file; its relative paths start here.
        output: folder of everything that runs write.
        push: folder of the pushed versions.
        edge: folder of the pushed edge bundles.
        container_base: the path of `base` in containers, if the steps run on a cluster; None if they run here. `output`
            and `push` then are paths in the containers, too.
        preset: the path of the preset's folder in the containers; None for its place below `container_base`.
    """

    base: Path
    output: Path
    push: Path
    edge: Path
    container_base: Path | None = None
    preset: Path | None = None

    @classmethod
    def from_config(cls, config: ProjectConfig, config_file: Path) -> Paths:
        base = config_file.resolve().parent
        output = base / (config.output or f"{config.name}-out")
        push = base / config.push.directory if config.push.directory else output / MODEL_FOLDER / config.name
        edge = base / config.edge.directory if config.edge.directory else output / BUNDLE_FOLDER / config.name
        return cls(base=base, output=output.resolve(), push=push.resolve(), edge=edge.resolve())

    @property
    def artifacts(self) -> Path:
        return self.output / "artifacts"

    @property
    def root(self) -> Path:
        """The artifacts' folder as passed to TFX.

        TFX and Beam read paths as patterns: in "project [v2]" they would not find what they wrote. There they use a
        link, which `make_root` creates.
        """
        if self.container_base is not None or not glob.has_magic(str(self.artifacts)):
            return self.artifacts
        # the same path in every run: TFX's cache stores it
        name = hashlib.blake2b(os.fsencode(self.output), digest_size=8).hexdigest()
        return Path.home() / ".cache" / "transom" / name / self.artifacts.name

    def make_root(self) -> None:
        """Creates the link from `root` to the artifacts, if one is needed.

        Raises:
            ConfigError: it cannot be created, or leads to another folder.
        """
        link = self.root.parent
        if self.root == self.artifacts:
            return
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):  # the existing link is checked below
                link.symlink_to(self.output)
            wrong = os.readlink(link) != str(self.output) or glob.has_magic(str(link))
            got = f"{link} leads to {os.readlink(link)}" if wrong else ""
        except OSError as error:
            got = f"{error.strerror or error}: {link}"
        if got:
            raise ConfigError(
                f"output: {self.output} has a name that TFX reads as a pattern",
                got=got,
                expected="a name without [, ], * and ?, or a link that can be created",
                fix="set `output:` to a folder without these characters in its path",
            )

    @property
    def metadata(self) -> Path:
        return self.output / "metadata.sqlite"

    @property
    def checkpoints(self) -> Path:
        return self.output / "checkpoints"

    @property
    def attempts(self) -> Path:
        """The folder in which the attempts of a step on a cluster leave notes for each other."""
        return self.output / "attempts"

    @property
    def profiles(self) -> Path:
        return self.output / "profiles"

    @property
    def runs(self) -> Path:
        return self.output / "runs"

    @property
    def lock(self) -> Path:
        return self.output / "lock"
