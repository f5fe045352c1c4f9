"""What can be known to be wrong before TensorFlow is loaded: in seconds, and before anything is written."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components.data.formats.files import abbreviate, find_files, format_of, open_bytes
from components.data.formats.readers import check_frames, open_table
from components.data.gate import findings, rules
from components.data.gate.counts import SplitFacts
from components.data.rows import records
from components.data.schema_file import read_curated
from components.data.splits import Source, sources, split_names
from components.data.values.numbers import NumberColumn
from components.evaluation.slices import MISSING, NO_LABEL, length_slices
from components.evaluation.thresholds import LABEL_SLICE, LENGTH_SLICE, check_metrics, possible_columns
from models.errors import ConfigError, DataError
from pipeline.config import ProjectConfig
from pipeline.paths import Paths
from pipeline.preflight_folders import check_folders

# Files up to this size are read to the end, of larger ones the first rows.
_WHOLE_BYTES, _FIRST_ROWS = 16 * 2**20, 1000
# The rules that judge rows alone; the others need what earlier steps of the pipeline find.
_RULES = ("empty_split", "one_class", "unseen_label", "label_spelling")
# A table with so many rows whose labels hardly repeat is not a table of labels.
_MANY_ROWS = 100


def check(config: ProjectConfig, paths: Paths) -> None:
    """Checks files, columns, rows, schema, preset and folders.

    Args:
        config: what is to be run.
        paths: where it reads, and where it will write.

    Raises:
        ConfigError: the configuration does not fit the data, or a folder cannot be written.
        DataError: a file or a row cannot be read, or (GateError) the data cannot teach what the task asks.
        PresetError: the preset cannot be used.
    """
    check_metrics(config.task.type, config.evaluation, config.task.labels)
    base = paths.base
    check_folders(config, paths)
    _operations(config)
    _preset(config, base)
    if config.data.schema_path is not None:
        read_curated(base / config.data.schema_path, config.task)
    check_rows(config, base)


def check_rows(config: ProjectConfig, base: Path) -> None:
    """Checks files, columns and rows alone.

    Raises:
        ConfigError, DataError: see `check`.
    """
    tables = _tables(config, base)
    reading = _Reading.of(tables, config)
    _slices(config, reading)
    _split_by(config, reading.columns)
    if reading.whole:
        _learnable(config, reading)


def _operations(config: ProjectConfig) -> None:
    """Names that LiteRT does not know: with one of them misspelt, no variant would ever be within the budget."""
    if not config.edge.variants or not config.edge.budget.operations:
        return
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    known = [name for name in vars(BuiltinOperator) if name.isupper()]
    for name in config.edge.budget.operations:
        if name not in known and not name.startswith("custom "):
            close = difflib.get_close_matches(name.upper(), known, n=1)
            raise ConfigError(
                "edge.budget.operations",
                got=f"{name!r}, which is no operation of LiteRT",
                expected="LiteRT's names of operations, such as FULLY_CONNECTED",
                fix=f"did you mean {close[0]}?" if close else "correct it",
            )


def _preset(config: ProjectConfig, base: Path) -> None:
    if config.model.type != "preset":
        return
    from models.presets.preset import check_layers, describe_preset, preset_tokenizer

    local = base / config.model.preset
    preset = str(local) if local.is_dir() else config.model.preset
    check_layers(config.model, describe_preset(preset))
    preset_tokenizer(preset, config.tokenizer.max_length, mediapipe_compatible=config.tokenizer.mediapipe_compatible)


def _tables(config: ProjectConfig, base: Path) -> list[tuple[Source, Path]]:
    tables = [
        (source, path)
        for source in sources(config.data)
        for path in find_files(source.patterns, base, f"data.{source.key}")
    ]
    seen: dict[str, str] = {}
    for source, path in tables:
        other = seen.setdefault(os.path.realpath(path), source.key)
        if other != source.key:
            raise ConfigError(
                f"data.{other} and data.{source.key} name the same file",
                got=str(path),
                expected="other rows in every split",
                fix="give different files, or one table as data.path, which is then split",
            )
    return tables


@dataclass
class _Reading:
    """What was seen of the tables.

    Attributes:
        facts: split to its counts.
        columns: all columns of all tables.
        units: of a regression's numbers, to their rows.
        whole: every file was read to its end.
    """

    facts: dict[str, SplitFacts]
    columns: set[str]
    units: Counter[str] = field(default_factory=Counter)
    whole: bool = True

    @classmethod
    def of(cls, tables: Iterable[tuple[Source, Path]], config: ProjectConfig) -> _Reading:
        reading = cls({name: SplitFacts(name, config.task) for name in split_names(config.data)}, set())
        for source, path in tables:
            reading.read(source, path, config)
        unclear, fix = NumberColumn(units=reading.units).question()
        if unclear:
            raise DataError(
                f"task.label: column {config.task.label!r} of all tables together",
                got=unclear,
                expected="numbers with one reading",
                fix=fix,
            )
        return reading

    def read(self, source: Source, path: Path, config: ProjectConfig) -> None:
        open_bytes(path).close()
        if format_of(path, config.data.format) == "tfrecord":  # reading its rows takes TensorFlow
            check_frames(path)
            self.whole = False
            return
        table = open_table(path, config.data.format)
        self.columns.update(table.columns)
        small = path.stat().st_size <= _WHOLE_BYTES
        self.whole = self.whole and small
        rows = 0
        for _, record in records(table, config.task, None if small else _FIRST_ROWS, self.units):
            self.facts[source.split(record, config.task)].add(record)
            self.columns.update(record.others)  # not every row of JSON Lines has every key
            rows += 1
        if not rows:
            raise DataError(
                f"data.{source.key}: {path} has no rows",
                got=f"the columns {abbreviate(table.columns, 20)} and nothing below them"
                if table.columns
                else "no row",
                expected="at least one row",
            )


def _slices(config: ProjectConfig, reading: _Reading) -> None:
    """Slices of columns that the tables do not have, and of values that no row has."""
    if not reading.columns:
        return
    own = {config.task.text, config.task.text_pair, config.task.label}
    others = reading.columns - own
    asked: list[tuple[str, str, tuple[str, ...]]] = [
        ("evaluation.slices", name, (name,)) for name in config.evaluation.slices
    ]
    for metric, one in config.evaluation.thresholds.items():
        key = f"evaluation.thresholds.{metric}.slices"
        asked += [(key, name, possible_columns(name)) for name in one.slices]
    for key, name, columns in asked:
        there = [column for column in columns if column in {LABEL_SLICE, LENGTH_SLICE} | others]
        if not there:
            raise _no_column(key, name, others)
        if name not in there and reading.whole:
            _value_of_slice(config, reading, key, name, there)


def _no_column(key: str, name: str, others: set[str]) -> ConfigError:
    column, equals, _ = name.partition("=")
    if equals and column in others | {LABEL_SLICE, LENGTH_SLICE}:
        return ConfigError(
            key,
            got=f"{name!r}, which is one value of {column!r}",
            expected="names of columns, whose values are all reported",
            fix=f"write {column!r} here, and {name!r} in a threshold's slices",
        )
    return ConfigError(
        f"{key}: there is no column {column!r} to slice by",
        got=f"the columns {abbreviate(sorted(others), 20)}" if others else "no other columns",
        expected='"label", "text_length", or a column that is neither text nor label',
        fix=f"correct {key}",
    )


def _value_of_slice(config: ProjectConfig, reading: _Reading, key: str, name: str, columns: Sequence[str]) -> None:
    """Refuses the slice of a value that stands in no split: a threshold on it would never be judged."""
    known: set[str] = set()
    for column in columns:
        if column == LENGTH_SLICE:
            known.update(f"{column}={value}" for value in length_slices())
            continue
        counts = [
            facts.labels if column == LABEL_SLICE else facts.values.get(column, Counter[str]())
            for facts in reading.facts.values()
        ]
        if any("" in values for values in counts):  # too long, or too many of them, to be counted one by one
            return
        named = (*(config.task.labels or ()), NO_LABEL) if column == LABEL_SLICE else (MISSING,)
        known.update(f"{column}={value}" for value in (*named, *(value for values in counts for value in values)))
    if name not in known:
        raise ConfigError(
            f"{key}: no row is in slice {name!r}",
            got=f"the values {abbreviate(sorted(known), 10)}",
            expected="a value that a row has: a threshold on no row would never be judged",
            fix=f"correct {key}",
        )


def _split_by(config: ProjectConfig, columns: set[str]) -> None:
    """Refuses columns that cannot divide rows."""
    for name in config.data.split_columns:
        if name == config.task.label or (columns and name not in columns):
            raise ConfigError(
                "data.split_by",
                got=f"{name!r}, the answer" if name == config.task.label else f"{name!r}, which no table has",
                expected=f"some of {abbreviate(sorted(columns - {config.task.label}), 20)}",
                fix="name the column whose rows belong together, or remove the key",
            )


def _learnable(config: ProjectConfig, reading: _Reading) -> None:
    seen = rules.Evidence(config.task, config.gate, reading.facts)
    labels = seen.train.labels
    # Of all rows, as `transom init` judges: a part of them repeats its labels less.
    rows, kinds = sum(facts.rows for facts in reading.facts.values()), _all_labels(reading)
    if config.task.type == "single_label" and rows >= _MANY_ROWS and len(kinds) > rows / 2:
        raise DataError(
            f"task.label: column {config.task.label!r} does not hold labels",
            got=f"{len(kinds):,} different values in {rows:,} rows, for example {abbreviate(list(kinds), 3)}",
            expected="a few labels, each in many rows",
            fix="correct task.label, or set task.type: regression if these are measurements",
        )
    findings.stop(rules.apply(seen, _RULES))
    known = config.task.labels or tuple(sorted(labels))
    check_metrics(config.task.type, config.evaluation, known)
    weights = config.train.class_weights
    unknown = set(weights) - set(known) if isinstance(weights, dict) else set()
    if unknown:
        raise ConfigError(
            "train.class_weights names labels that training never shows",
            got=abbreviate(sorted(unknown)),
            expected=f"some of {abbreviate(known, 10)}",
            fix="correct the names",
        )


def _all_labels(reading: _Reading) -> Counter[str]:
    return sum((facts.labels for facts in reading.facts.values()), Counter())
