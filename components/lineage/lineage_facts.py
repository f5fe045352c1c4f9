"""The contents of `lineage.json`, written by the Pusher and read by `transom lineage` and `transom reproduce`.

A fact that is not known is null, or its part is missing: a step that ran outside a checkout knows no commit. A reader
ignores what it does not know.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

FORMAT = 1


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class CheckoutFacts(_Facts):
    """The commit of a git checkout, and whether tracked files differed from it."""

    commit: str | None = None
    uncommitted: bool | None = None


class ProgramFacts(CheckoutFacts):
    """Transom: its version, and the checkout that it runs from, if it does."""

    transom: str | None = None


class CodeFacts(ProgramFacts):
    """The same, with the fingerprints of the steps that decide the weights."""

    steps: dict[str, str] = {}


class BackendFacts(_Facts):
    """The environment of another framework than TensorFlow, in which the training ran; `lock`: SHA-256 of its lock."""

    framework: str
    lock: str | None = None
    packages: dict[str, str] = {}


class EnvironmentFacts(_Facts):
    """The machine and the packages.

    Attributes:
        cores: that the process could use; `threads`: of one operation of TensorFlow's.
        features: of the CPU's instruction set, those that decide how is computed.
        lock: SHA-256 of the checkout's requirements.lock.
    """

    python: str | None = None
    platform: str | None = None
    cpu: str | None = None
    features: list[str] = []
    cores: int | None = None
    threads: int | None = None
    lock: str | None = None
    packages: dict[str, str] = {}
    backend: BackendFacts | None = None


class PresetFacts(_Facts):
    """A preset as configured, and a digest of what a model takes of its files."""

    name: str
    digest: str


class Origin(_Facts):
    """Where and with what a model was trained; `at`: when its training ended (UTC). In the training's report, too."""

    at: str | None = None
    code: CodeFacts = CodeFacts()
    environment: EnvironmentFacts = EnvironmentFacts()
    preset: PresetFacts | None = None


class TrainingFacts(_Facts):
    """Of the training's report what decides the weights, see `models.training.training_report`."""

    framework: str | None = None
    devices: list[str] = []
    strategy: str | None = None
    replicas: int | None = None
    precision: str | None = None
    xla: bool | str | None = None
    onednn: str | None = None
    seed: int | None = None
    steps: int | None = None
    epochs: int | None = None
    best_epoch: int | None = None
    resumed_at_step: int | None = None


class FileFacts(_Facts):
    """A file: its path, relative to `DataFacts.folder` if it is below it; its size; SHA-256 of its content."""

    path: str
    bytes: int
    sha256: str


class SourceFacts(_Facts):
    """One of the keys `data.path`, `train`, `eval` and `test`: the patterns in it, and the files that were read."""

    key: str
    patterns: list[str]
    files: list[FileFacts]


class DataFacts(_Facts):
    """The tables.

    Attributes:
        folder: to which relative paths are relative.
        span, version: of tables with span specs.
        rows: of each split, after `data.dedupe`.
        schema_file: the curated schema. It decides no weights, only whether the run goes on.
    """

    folder: str | None = None
    sources: list[SourceFacts] = []
    span: int | None = None
    version: int | None = None
    rows: dict[str, int] = {}
    schema_file: FileFacts | None = None


class RunFacts(_Facts):
    """The run that pushed the model; an earlier one may have trained it.

    Attributes:
        name: of the run: its folder under `runs/`, or on a cluster the backend's name for it.
        pushed_at: UTC.
        config_file, folder: the configuration file's name and folder.
        code: what started the run: on a cluster, the machine that compiled the pipeline.
        project: the checkout that holds the configuration file, if any.
        previous_version: that was live before; 0: none.
    """

    name: str | None = None
    pushed_at: str | None = None
    runner: str | None = None
    config_file: str | None = None
    folder: str | None = None
    code: ProgramFacts = ProgramFacts()
    project: CheckoutFacts | None = None
    previous_version: int | None = None


class ModelFacts(_Facts):
    """The model: the project's name, and `models.saved.model_identity.model_digest`."""

    name: str | None = None
    digest: str | None = None


class Lineage(_Facts):
    """All of it.

    Attributes:
        config: the whole resolved configuration, without the sections in `left_out`.
    """

    format: int = FORMAT
    model: ModelFacts = ModelFacts()
    run: RunFacts = RunFacts()
    config: dict[str, Any] = {}
    left_out: list[str] = []
    data: DataFacts = DataFacts()
    training: TrainingFacts = TrainingFacts()
    origin: Origin = Origin()
