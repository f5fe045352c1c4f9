"""Where a project's files lie. No TensorFlow.

OUTPUT/
  artifacts/          what each step wrote, by step and execution (TFX's pipeline root)
  metadata.sqlite     TFX's records: what was run with what, the cache
  checkpoints/        training that was interrupted
  runs/RUN/           run.json, log.txt
  serving/NAME/N/     pushed SavedModels: the folder that TF Serving watches
  edge/NAME/N/        the edge bundle of version N
  lock                held by the run in progress
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.pushed import BUNDLE_FOLDER, MODEL_FOLDER
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
    elsewhere: Path | None = None
    preset: Path | None = None

    @classmethod
    def of(cls, config: ProjectConfig, config_file: Path) -> Paths:
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
    def metadata(self) -> Path:
        return self.output / "metadata.sqlite"

    @property
    def checkpoints(self) -> Path:
        return self.output / "checkpoints"

    @property
    def runs(self) -> Path:
        return self.output / "runs"

    @property
    def lock(self) -> Path:
        return self.output / "lock"
