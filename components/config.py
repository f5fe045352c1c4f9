"""What the pipeline's steps can be told: data, gate, evaluation, push. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from models.label_names import by_label_name, configured_label_name
from models.settings import UNIQUE, ConfigSection, EachOnce, FilePath

Files = FilePath | Annotated[tuple[FilePath, ...], Field(min_length=1)]
Severity = Literal["error", "warn", "off"]


class SplitsConfig(ConfigSection):
    """Shares of the rows in each split, where `path` gives one table. `data.split_by` decides a row's side."""

    train: int = Field(8, ge=1)
    """Parts for training."""
    eval: int = Field(1, ge=1)
    """Parts for choosing the best epoch, and for the rows that the serving gate and the edge gate ask."""
    test: int = Field(1, ge=1)
    """Parts for the final evaluation that decides whether the model is good enough."""


class DataConfig(ConfigSection):
    """The labelled text."""

    path: Files | None = None
    """One table, split by a hash of the text: a file, a list of files or a glob, `{SPAN}` for dated folders."""
    train: Files | None = None
    """Given splits instead of `path`: the training rows."""
    eval: Files | None = None
    """Given splits: the rows that choose the best epoch. Default: a tenth of the training rows, by hash."""
    test: Files | None = None
    """Given splits: the rows of the final evaluation. Default: the eval rows."""
    format: Literal["auto", "csv", "tsv", "jsonl", "parquet", "tfrecord"] = "auto"
    """`auto`: by the file's ending (.gz too)."""
    splits: SplitsConfig = SplitsConfig()
    """Shares of the hashed splits."""
    split_by: str | Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Column, or columns together, whose values decide a row's side, so that all rows of one author (or product, or
    day) stand on one side. Default: the text; of a pair, the first. Case, accents and spaces do not count."""
    dedupe: bool = False
    """Keep one row of each text, as the tokenizer reads it: a text of the test rows is dropped from eval and train, one
    of eval from train."""
    schema_path: FilePath | None = None
    """A curated TFDV schema (text protobuf). Default: inferred from the training split."""

    @model_validator(mode="after")
    def _one_source(self) -> DataConfig:
        if (self.path is None) == (self.train is None):
            raise ValueError("give either `path` (one table, split by hash) or `train` (with `eval` and `test`)")
        if self.path is not None and (self.eval is not None or self.test is not None):
            raise ValueError("`eval` and `test` go with `train`; `path` is split by hash")
        if self.split_by is not None and self.eval is not None:
            raise ValueError("`split_by` says how rows are split by hash, and `eval` gives a split: remove one of them")
        return self

    @property
    def split_columns(self) -> tuple[str, ...]:
        """`split_by` as a tuple; empty: the text."""
        return (self.split_by,) if isinstance(self.split_by, str) else self.split_by or ()


class GateConfig(ConfigSection):
    """What the data gate does about each finding: `error` stops the run, `warn` says so, `off` looks away."""

    schema_anomaly: Severity = "error"
    """A split does not fit the schema (a missing column, another type, values outside their domain)."""
    drift: Severity = "warn"
    """Labels, text lengths or other columns are distributed otherwise than in the live model's training data."""
    drift_threshold: float = Field(0.2, gt=0.0, le=1.0)
    """Jensen-Shannon divergence (base 2, from 0 to 1) above which a column has drifted."""
    empty_text: Severity = "warn"
    """Rows whose text is empty or white space."""
    empty_split: Severity = "error"
    """A split without rows; where it may pass, the step that needs the rows still stops."""
    one_class: Severity = "error"
    """Only one label in the training split (or one value, for a regression)."""
    unseen_label: Severity = "error"
    """A label of the eval or test split that never occurs in training, or one that `task.labels` does not name. Where
    it may pass, training leaves it out and the evaluation counts such rows as wrong."""
    small_class: Severity = "warn"
    """Labels with fewer training rows than `small_class_rows`."""
    small_class_rows: int = Field(8, ge=1)
    """Training rows below which a label is too small to learn."""
    label_spelling: Severity = "warn"
    """Labels that differ in spelling alone ("Spam", "spam"), and labels that some target cannot take (a line end)."""
    split_overlap: Severity = "warn"
    """The same text (of a pair: the same pair, or one text of it) in two splits: the measured quality is too good."""
    conflicting_labels: Severity = "warn"
    """The same text with different labels in the training split."""


class ThresholdConfig(ConfigSection):
    """What one metric must reach for the model to be pushed."""

    min: float | None = None
    """Lowest value that passes."""
    max: float | None = None
    """Highest value that passes."""
    max_loss_to_live: float | None = None
    """How much worse than the live model it may be, in the metric's own unit (0: no worse). A measured loss beyond it
    blocks, unless chance explains it: unless the 80% interval of the loss (paired bootstrap) reaches down to 0."""
    slices: Annotated[tuple[str, ...], EachOnce, UNIQUE] = ()
    """Slices that must pass too ("label", "text_length", a column, "column=value"); the whole must pass always."""

    @field_validator("slices")
    @classmethod
    def _labels_by_their_names(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        parts = [name.partition("=") for name in given]
        return tuple(
            f"{key}{sign}{configured_label_name(value) if key == 'label' else value}" for key, sign, value in parts
        )

    @model_validator(mode="after")
    def _something(self) -> ThresholdConfig:
        if self.min is None and self.max is None and self.max_loss_to_live is None:
            raise ValueError("give at least one of min, max and max_loss_to_live")
        return self


class EvaluationConfig(ConfigSection):
    """How the model is measured, and what it must reach."""

    slices: Annotated[tuple[str, ...], EachOnce, UNIQUE] = ("label", "text_length")
    """Slices to report: "label" (not for a regression), "text_length", or any other column of the table."""
    min_slice_size: int = Field(20, ge=1)
    """Rows below which a slice is neither reported nor judged."""
    thresholds: dict[str, ThresholdConfig] = {}
    """Metric to threshold. A metric that says which way is better needs only `max_loss_to_live`."""
    replace_incomparable: bool = False
    """Let a model pass `max_loss_to_live` where it cannot be compared with the live one (another task, other columns,
    no label in common, a model that does not load or answers NaN). Mostly for one run, with `--set`."""

    @field_validator("thresholds")
    @classmethod
    def _labels_by_their_names(cls, given: dict[str, ThresholdConfig]) -> dict[str, ThresholdConfig]:
        """ "recall/1.0" is "recall/1", as in the data."""

        def name(metric: str) -> str:
            family, slash, label = metric.partition("/")
            return f"{family}{slash}{configured_label_name(label)}"

        return by_label_name(given, name)


class ServingConfig(ConfigSection):
    """The serving gate: before the push, the real server answers real rows as Keras does, or the model stays."""

    gate: bool = True
    """Start the server on the exported model and replay rows of the eval split over gRPC and REST."""
    rows: int = Field(32, ge=2, le=10_000)
    """Rows to replay; the longest and the shortest text are always among them."""
    tolerance: float = Field(1e-3, gt=0.0, lt=1.0)
    """How far a score or probability may be from Keras's; for a regression, as a share of the answers' spread."""
    latency_ms: float | None = Field(None, gt=0.0)
    """What 99 of 100 requests of one text over gRPC must take at most, on the machine that runs the pipeline."""


class PushConfig(ConfigSection):
    """Where a blessed model goes."""

    directory: FilePath | None = None
    """Folder that TF Serving watches, a numbered folder per version. Default: OUTPUT/serving/NAME."""
    keep: int = Field(5, ge=1)
    """Versions that stay; older ones are removed after a push."""
