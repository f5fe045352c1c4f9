"""Where a project's files lie. No TensorFlow.

OUTPUT/
  artifacts/          what each step wrote, by step and execution (TFX's pipeline root)
  metadata.sqlite     TFX's records: what was run with what, the cache (and .seal.json: its bytes, as a run left them)
  checkpoints/ID/     trainings that were interrupted: the newest three, by what decides their result
  runs/RUN/           run.json, log.txt
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
        base: folder of the configuration file; relative paths in it start here.
        output: folder of all that the runs write.
        push: folder of the pushed versions.
        edge: folder of the pushed edge bundles.
        elsewhere: where the steps see `base`, when they run on other machines; None where they run here. `output` and
            `push` then are folders of those machines too.
        preset: where those machines see the preset's folder; None for its place below `elsewhere`.
    """

    base: Path
    output: Path
    push: Path
    edge: Path
    container_base: Path | None = None
    preset: Path | None = None

    @classmethod
    def from_config(cls, config: ProjectConfig, config_file: Path) -> Paths:
        """The folders that a configuration file asks for."""
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
        """The artifacts' folder, as TFX is told of it.

        TFX and Beam take paths for patterns: in "project [v2]" they would not find what they wrote. There they work by
        way of a link, which `make_root` makes.
        """
        if self.container_base is not None or not glob.has_magic(str(self.artifacts)):
            return self.artifacts
        # the same path in every run: the records of TFX, which are the cache, hold it
        name = hashlib.blake2b(os.fsencode(self.output), digest_size=8).hexdigest()
        return Path.home() / ".cache" / "transom" / name / self.artifacts.name

    def make_root(self) -> None:
        """Makes the link that leads from `root` to the artifacts, where there has to be one.

        Raises:
            ConfigError: it cannot be made, or leads elsewhere.
        """
        link = self.root.parent
        if self.root == self.artifacts:
            return
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):  # what is there is looked at below
                link.symlink_to(self.output)
            wrong = os.readlink(link) != str(self.output) or glob.has_magic(str(link))
            got = f"{link} leads to {os.readlink(link)}" if wrong else ""
        except OSError as error:
            got = f"{error.strerror or error}: {link}"
        if got:
            raise ConfigError(
                f"output: {self.output} has a name that TFX takes for a pattern",
                got=got,
                expected="a name without [, ], * and ?, or a link that can be made",
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
        """Where the attempts of a step on a cluster leave notes for each other."""
        return self.output / "attempts"

    @property
    def runs(self) -> Path:
        return self.output / "runs"

    @property
    def lock(self) -> Path:
        return self.output / "lock"
