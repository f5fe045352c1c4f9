"""The settings of the pipeline's steps: data, gate, evaluation, serving, push. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from models.label_names import by_label_name, configured_label_name
from models.settings import UNIQUE, ConfigSection, EachOnce, FilePath

Files = FilePath | Annotated[tuple[FilePath, ...], Field(min_length=1)]
Severity = Literal["error", "warn", "off"]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$")]


class SplitsConfig(ConfigSection):
    """Each split's share of the rows of `data.path`. `data.split_by` decides to which split a row goes."""

    train: int = Field(8, ge=1)
    """Parts for training."""
    eval: int = Field(1, ge=1)
    """Parts for choosing the best epoch, and for the rows that the serving gate and the edge gate use."""
    test: int = Field(1, ge=1)
    """Parts for the final evaluation that decides whether the model is good enough."""


class DataConfig(ConfigSection):
    """The labelled text."""

    path: Files | None = None
    """One table, split by a hash of the text: a file, a list of files or a glob; `{SPAN}` matches dated folders."""
    train: Files | None = None
    """Instead of `path`, for data that is split already: the training rows."""
    eval: Files | None = None
    """With `train`: the rows that choose the best epoch. Default: a tenth of the training rows, by hash."""
    test: Files | None = None
    """With `train`: the rows of the final evaluation. Default: the eval rows."""
    format: Literal["auto", "csv", "tsv", "jsonl", "parquet", "tfrecord"] = "auto"
    """`auto`: by the ending of the file name, which may be followed by .gz."""
    splits: SplitsConfig = SplitsConfig()
    """Shares of the splits of `path`."""
    split_by: str | Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Column, or columns together, whose values decide to which split a row goes, so that all rows of one author (or
    product, or day) are in the same split. Default: the text; of a pair, the first. Case, accents and spaces are
    ignored."""
    dedupe: bool = False
    """Keep one row per text, as the tokenizer reads it: texts of the test rows are dropped from eval and train, texts
    of the eval rows from train."""
    schema_path: FilePath | None = None
    """A curated TFDV schema (text protobuf). Default: inferred from the training split."""

    @model_validator(mode="after")
    def _one_source(self) -> DataConfig:
        if (self.path is None) == (self.train is None):
            raise ValueError("give either `path` (one table, split by hash) or `train` (with `eval` and `test`)")
        if self.path is not None and (self.eval is not None or self.test is not None):
            raise ValueError("`eval` and `test` go with `train`; `path` is split by hash")
        if self.split_by is not None and self.eval is not None:
            raise ValueError("`split_by` is for splits by hash, but `eval` gives a split: remove one of them")
        return self

    @property
    def split_columns(self) -> tuple[str, ...]:
        """`split_by` as a tuple; empty: the text."""
        return (self.split_by,) if isinstance(self.split_by, str) else self.split_by or ()


class GateConfig(ConfigSection):
    """What the data gate does about each finding: `error` stops the run, `warn` reports it, `off` ignores it."""

    schema_anomaly: Severity = "error"
    """A split does not fit the schema (a missing column, another type, values outside their domain)."""
    drift: Severity = "warn"
    """The distribution of labels, text lengths or another column differs from that of the live model's training
    data."""
    drift_threshold: float = Field(0.2, gt=0.0, le=1.0)
    """Jensen-Shannon divergence (base 2, from 0 to 1) above which a column has drifted."""
    empty_text: Severity = "warn"
    """Rows whose text is empty or only white space."""
    empty_split: Severity = "error"
    """A split without rows. If it may pass, the step that needs the rows still stops."""
    one_class: Severity = "error"
    """Only one label in the training split (or one value, for a regression)."""
    unseen_label: Severity = "error"
    """A label of the eval or test split that never occurs in training, or one that `task.labels` does not list. If it
    may pass, training leaves such rows out and the evaluation counts them as wrong."""
    small_class: Severity = "warn"
    """Labels with fewer training rows than `small_class_rows`."""
    small_class_rows: int = Field(8, ge=1)
    """A label with fewer training rows is reported as too small to learn."""
    label_spelling: Severity = "warn"
    """Labels that differ only in spelling ("Spam", "spam"), and labels that some export cannot hold (a line end)."""
    split_overlap: Severity = "warn"
    """The same text (for pairs: the same pair, or one of its texts) in two splits, so that the measured quality is too
    good."""
    conflicting_labels: Severity = "warn"
    """The same text with different labels in the training split."""


class ThresholdConfig(ConfigSection):
    """The limits within which a metric must be for the model to be pushed."""

    min: float | None = None
    """Lowest value that passes."""
    max: float | None = None
    """Highest value that passes."""
    max_loss_to_live: float | None = None
    """How much worse than the live model the metric may be, in its own unit (0: no worse). A larger loss blocks the
    push unless chance explains it: unless the 80% interval of the loss (paired bootstrap) reaches down to 0."""
    slices: Annotated[tuple[str, ...], EachOnce, UNIQUE] = ()
    """Slices that must pass too ("label", "text_length", a column, "column=value"), besides all rows together."""

    @field_validator("slices")
    @classmethod
    def _normalize_labels(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        parts = [name.partition("=") for name in given]
        return tuple(
            f"{key}{sign}{configured_label_name(value) if key == 'label' else value}" for key, sign, value in parts
        )

    @model_validator(mode="after")
    def _has_a_limit(self) -> ThresholdConfig:
        if self.min is None and self.max is None and self.max_loss_to_live is None:
            raise ValueError("give at least one of min, max and max_loss_to_live")
        return self


class BaselinesConfig(ConfigSection):
    """What happens if the model is not better than a baseline on the evaluated rows: `error` does not push it, `warn`
    reports it, `off` does not measure the baseline."""

    majority: Severity = "error"
    """The best answer that does not depend on the text: the most frequent label, the set of labels with the highest
    micro-F1, or the mean."""
    linear: Severity = "warn"
    """Logistic or ridge regression on TF-IDF vectors of words and characters, and for pairs on what the texts have in
    common."""


class EvaluationConfig(ConfigSection):
    """How the model is evaluated, and the thresholds it must reach."""

    calibrate: bool = True
    """Divide the logits by temperatures fitted on the eval rows, so that probabilities match how often the model is
    right. A model of one label per row has one temperature, and predicts the same labels; one of several labels has one
    for each label."""
    slices: Annotated[tuple[str, ...], EachOnce, UNIQUE] = ("label", "text_length")
    """Slices to report: "label" (not for a regression), "text_length", or any other column of the table."""
    min_slice_size: int = Field(20, ge=1)
    """A slice with fewer rows is neither reported nor judged."""
    thresholds: dict[str, ThresholdConfig] = {}
    """Metric ("accuracy", "recall/spam") to threshold. `max_loss_to_live` alone is enough, except for counts."""
    baselines: BaselinesConfig = BaselinesConfig()
    """What the model must be better than, whatever the thresholds are."""
    replace_incomparable: bool = False
    """Let a model pass `max_loss_to_live` if it cannot be compared with the live model (another task, other columns, no
    label in common, a model that does not load or predicts NaN). Mostly used for one run, with `--set`."""

    @field_validator("thresholds")
    @classmethod
    def _normalize_labels(cls, given: dict[str, ThresholdConfig]) -> dict[str, ThresholdConfig]:
        """ "recall/1.0" is "recall/1", as in the data."""

        def name(metric: str) -> str:
            family, slash, label = metric.partition("/")
            return f"{family}{slash}{configured_label_name(label)}"

        return by_label_name(given, name)


class ServingConfig(ConfigSection):
    """The serving gate: a model is pushed only if the real server's responses to real rows agree with Keras."""

    gate: bool = True
    """Start the server on the exported model and replay rows of the eval split over gRPC and REST."""
    rows: int = Field(32, ge=2, le=10_000)
    """Rows to replay. The longest and the shortest text are always among them."""
    tolerance: float = Field(1e-3, gt=0.0, lt=1.0)
    """How far a score or probability may be from Keras's; for a regression, in standard deviations of the labels."""
    latency_ms: float | None = Field(None, gt=0.0)
    """The longest that 99 of 100 requests with one text over gRPC may take, on the machine that runs the pipeline."""


class CardConfig(ConfigSection):
    """What only people know about a model: its model card says it, in their words (Markdown)."""

    author: str = Field("", max_length=1000)
    """Who made the model; also in the metadata of the edge bundle's file."""
    licence: str = Field("", max_length=200)
    """Licence of the model: an SPDX identifier such as apache-2.0, or a name; also in the file's metadata."""
    languages: Annotated[tuple[Language, ...], EachOnce, UNIQUE] = ()
    """Languages of the texts, such as en (ISO 639)."""
    data: str = Field("", max_length=100_000)
    """What the rows are, who labelled them, and where they come from."""
    intended_use: str = Field("", max_length=100_000)
    """What the model is for, and what it is not for."""
    limits: str = Field("", max_length=100_000)
    """What is known about its mistakes and biases beyond what the run measures."""

    @field_validator("licence", "author")
    @classmethod
    def _one_line(cls, given: str) -> str:
        if len(given.splitlines()) > 1:
            raise ValueError("one line")
        return given.strip()

    @field_validator("data", "intended_use", "limits")
    @classmethod
    def _closed(cls, given: str) -> str:
        """A code block that nobody closes would swallow the rest of the card."""
        fences = [line.lstrip()[:3] for line in given.splitlines() if line.lstrip().startswith(("```", "~~~"))]
        if len(fences) % 2:
            raise ValueError("Markdown whose code blocks are closed")
        return given


class PushConfig(ConfigSection):
    """Where a blessed model is pushed."""

    directory: FilePath | None = None
    """Folder that TF Serving watches, with a numbered folder per version. Default: OUTPUT/serving/NAME."""
    keep: int = Field(5, ge=1)
    """Versions to keep. Older ones are removed after a push."""
