"""Checks a configuration and its data before TensorFlow is loaded: in seconds, and before anything is written."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from components.data.formats.files import abbreviate, find_files, format_of, open_bytes
from components.data.formats.readers import Table, check_frames, open_table
from components.data.gate import findings, rules
from components.data.gate.counts import SplitFacts
from components.data.row_batches import row_batches
from components.data.schema_file import read_curated_schema
from components.data.splits import Source, sources, split_names
from components.data.values.numbers import NumberColumn
from components.evaluation.slices import MISSING, NO_LABEL, length_slices
from components.evaluation.thresholds import LABEL_SLICE, LENGTH_SLICE, check_metrics, possible_columns
from models.errors import ConfigError, DataError
from models.training.elsewhere.installed_packages import check_backend
from pipeline.config import ProjectConfig
from pipeline.paths import Paths
from pipeline.preflight_beam import check_beam
from pipeline.preflight_folders import check_folders

# Files up to this size are read completely, larger ones only up to this many rows.
_WHOLE_BYTES, _FIRST_ROWS = 16 * 2**20, 1000
_MOST_COLUMNS = 10_000
# The rules that need only the rows; the others need results of earlier steps.
_RULES = ("empty_split", "one_class", "unseen_label", "label_spelling")
# In a table with at least this many rows, labels must repeat.
_MANY_ROWS = 100


def check(config: ProjectConfig, paths: Paths, *, trains: bool = True) -> None:
    """Checks files, columns, rows, schema, preset and folders, and for a run that trains, its framework.

    Raises:
        ConfigError: the configuration does not fit the data, or a folder is not writable.
        DataError: a file or a row cannot be read, or (GateError) the data cannot train a model for the task.
        PresetError: the preset cannot be used.
        TrainingError: `train.backend` is not installed, or its interpreter lacks packages.
    """
    for _, check_part in parts(config, paths, trains=trains):
        check_part()


def parts(config: ProjectConfig, paths: Paths, *, trains: bool = True) -> Iterator[tuple[str, Callable[[], object]]]:
    """The parts of `check` in their order: what each is about, and the function that raises its errors."""
    yield "thresholds", partial(check_metrics, config.task.type, config.evaluation, config.task.labels)
    yield "folders", partial(check_folders, config, paths)
    yield "beam", partial(check_beam, config, runs_here=True)
    yield "edge budget", partial(_check_operations, config)
    yield "preset", partial(_check_preset, config, paths.base)  # which may download a hub's
    if trains and config.train.backend != "tensorflow":
        yield "backend", partial(check_backend, config.train.backend)
    if config.data.schema_path is not None:
        yield "schema", partial(read_curated_schema, paths.base / config.data.schema_path, config.task)
    yield "tables", partial(check_rows, config, paths.base)


def check_rows(config: ProjectConfig, base: Path) -> None:
    """Checks only files, columns and rows.

    Raises:
        ConfigError, DataError: see `check`.
    """
    tables = _find_tables(config, base)
    scan = _TableScan.of(tables, config)
    _check_slices(config, scan)
    _check_split_by(config, scan.columns)
    if scan.whole:
        _check_learnable(config, scan)


def _check_operations(config: ProjectConfig) -> None:
    """Checks the names of operations: with one misspelt, no variant would ever be within the budget."""
    if not config.edge.variants or not config.edge.budget.operations:
        return
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    known = [name for name in vars(BuiltinOperator) if name.isupper()]
    for name in config.edge.budget.operations:
        if name not in known and not name.startswith("custom "):
            close = difflib.get_close_matches(name.upper(), known, n=1)
            raise ConfigError(
                "edge.budget.operations",
                got=f"{name!r}, which is not an operation of LiteRT",
                expected="LiteRT's name of an operation, such as FULLY_CONNECTED",
                fix=f"did you mean {close[0]}?" if close else "correct it",
            )


def _check_preset(config: ProjectConfig, base: Path) -> None:
    if config.model.type != "preset":
        return
    from models.presets.pair_encoding import encodes_apart
    from models.presets.preset import check_layers, describe_preset, preset_tokenizer
    from models.presets.preset_files import resolve_preset

    preset = resolve_preset(config.model.preset, base)
    info, settings = describe_preset(preset), config.tokenizer
    check_layers(config.model, info)
    if info.num_heads % config.train.shards:
        raise ConfigError(
            "train.shards",
            got=f"{config.train.shards}, for preset {config.model.preset!r}",
            expected=f"a divisor of its number of attention heads, which is {info.num_heads}",
            fix="change train.shards",
        )
    tokenizer = preset_tokenizer(preset, settings.max_length, mediapipe_compatible=settings.mediapipe_compatible)
    if config.task.text_pair is not None:
        encodes_apart(config.model, info, tokenizer)


def _find_tables(config: ProjectConfig, base: Path) -> list[tuple[Source, Path]]:
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
                expected="different rows in every split",
                fix="give different files, or one table as data.path, which is then split",
            )
    return tables


@dataclass
class _TableScan:
    """Facts about the tables."""

    facts: dict[str, SplitFacts]  # the counts of each split
    columns: set[str]  # of all tables
    units: Counter[str] = field(default_factory=Counter)  # of a regression's numbers, with their numbers of rows
    whole: bool = True  # every file was read completely

    @classmethod
    def of(cls, tables: Iterable[tuple[Source, Path]], config: ProjectConfig) -> _TableScan:
        scan = cls({name: SplitFacts(name, config.task) for name in split_names(config.data)}, set())
        for source, path in tables:
            scan.read(source, path, config)
        unclear, fix = NumberColumn(units=scan.units).find_ambiguity()
        if unclear:
            raise DataError(
                f"task.label: column {config.task.label!r} of all tables together",
                got=unclear,
                expected="numbers that can be read in only one way",
                fix=fix,
            )
        return scan

    def read(self, source: Source, path: Path, config: ProjectConfig) -> None:
        open_bytes(path).close()
        if format_of(path, config.data.format) == "tfrecord":  # its rows can only be read with TensorFlow
            check_frames(path)
            self.whole = False
            return
        table = open_table(path, config.data.format)
        _check_width(table)
        self.columns.update(table.columns)
        small = path.stat().st_size <= _WHOLE_BYTES
        self.whole = self.whole and small
        rows = 0
        for batch in row_batches(table, config.task, None if small else _FIRST_ROWS, self.units):
            splits = source.splits(batch, config.task)
            for split in set(splits):
                self.facts[split].add(batch.select([index for index, name in enumerate(splits) if name == split]))
            # Not every row of JSON Lines has every key.
            self.columns.update(name for name, values in batch.others.items() if any(values))
            rows += len(batch)
        if not rows:
            raise DataError(
                f"data.{source.key}: {path} has no rows",
                got=f"the columns {abbreviate(table.columns, 20)} and no rows below them"
                if table.columns
                else "no row",
                expected="at least one row",
            )


def _check_width(table: Table) -> None:
    """Refuses a table whose statistics would take hours: TFDV's time grows with the square of the columns."""
    if len(table.columns) > _MOST_COLUMNS:
        raise DataError(
            f"{table.path}: too many columns",
            got=f"{len(table.columns):,}",
            expected=f"at most {_MOST_COLUMNS:,}",
            fix="write a table with only the columns that `task`, evaluation.slices and data.split_by name",
        )


def _check_slices(config: ProjectConfig, scan: _TableScan) -> None:
    """Checks that the columns of slices exist, and that some row has each value."""
    if not scan.columns:
        return
    own = {config.task.text, config.task.text_pair, config.task.label}
    others = scan.columns - own
    requested: list[tuple[str, str, tuple[str, ...]]] = [
        ("evaluation.slices", name, (name,)) for name in config.evaluation.slices
    ]
    for metric, one in config.evaluation.thresholds.items():
        key = f"evaluation.thresholds.{metric}.slices"
        requested += [(key, name, possible_columns(name)) for name in one.slices]
    for key, name, columns in requested:
        present = [column for column in columns if column in {LABEL_SLICE, LENGTH_SLICE} | others]
        if not present:
            raise _no_column(key, name, others)
        if name not in present and scan.whole:
            _check_slice_value(config, scan, key, name, present)


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


def _check_slice_value(config: ProjectConfig, scan: _TableScan, key: str, name: str, columns: Sequence[str]) -> None:
    """Refuses a slice of a value that no split has: a threshold on it would never be checked."""
    known: set[str] = set()
    for column in columns:
        if column == LENGTH_SLICE:
            known.update(f"{column}={value}" for value in length_slices())
            continue
        counts = [
            facts.labels if column == LABEL_SLICE else facts.values.get(column, Counter[str]())
            for facts in scan.facts.values()
        ]
        if any("" in values for values in counts):  # the values are too long or too many to be counted
            return
        named = (*(config.task.labels or ()), NO_LABEL) if column == LABEL_SLICE else (MISSING,)
        known.update(f"{column}={value}" for value in (*named, *(value for values in counts for value in values)))
    if name not in known:
        raise ConfigError(
            f"{key}: no row is in slice {name!r}",
            got=f"the values {abbreviate(sorted(known), 10)}",
            expected="a value that some row has: a threshold on no rows would never be checked",
            fix=f"correct {key}",
        )


def _check_split_by(config: ProjectConfig, columns: set[str]) -> None:
    """Refuses columns by which the rows cannot be split."""
    for name in config.data.split_columns:
        if name == config.task.label or (columns and name not in columns):
            raise ConfigError(
                "data.split_by",
                got=f"{name!r}, the label" if name == config.task.label else f"{name!r}, which no table has",
                expected=f"some of {abbreviate(sorted(columns - {config.task.label}), 20)}",
                fix="name a column whose equal values belong in one split, or remove the key",
            )


def _check_learnable(config: ProjectConfig, scan: _TableScan) -> None:
    evidence = rules.Evidence(config.task, config.gate, scan.facts)
    labels = evidence.train.labels
    # Counts all rows, as `transom init` does: in one split, labels repeat less.
    rows = sum(facts.rows for facts in scan.facts.values())
    distinct = sum((facts.labels for facts in scan.facts.values()), Counter[str]())
    if config.task.type == "single_label" and rows >= _MANY_ROWS and len(distinct) > rows / 2:
        raise DataError(
            f"task.label: column {config.task.label!r} does not hold labels",
            got=f"{len(distinct):,} different values in {rows:,} rows, for example {abbreviate(list(distinct), 3)}",
            expected="a few labels, each in many rows",
            fix="correct task.label, or set task.type: regression if these are measurements",
        )
    findings.raise_errors(rules.apply(evidence, _RULES))
    known = config.task.labels or tuple(sorted(labels))
    check_metrics(config.task.type, config.evaluation, known)
    weights = config.train.class_weights
    unknown = set(weights) - set(known) if isinstance(weights, dict) else set()
    if unknown:
        raise ConfigError(
            "train.class_weights names labels that do not occur in training",
            got=abbreviate(sorted(unknown)),
            expected=f"some of {abbreviate(known, 10)}",
            fix="correct the names",
        )
