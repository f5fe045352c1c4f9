"""`transom init FILE`: looks at a table and writes a commented transom.yaml. No TensorFlow."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from components.config import DataConfig, EvaluationConfig, GateConfig, PushConfig
from components.data.categorical import is_categorical
from components.data.formats.files import abbreviate
from components.data.formats.readers import open_table
from components.evaluation.thresholds import LENGTH_SLICE
from models.config import EncoderConfig, PresetConfig, TaskConfig, TokenizerConfig, TrainConfig
from models.errors import ConfigError, DataError, TransomError
from pipeline import preflight, project_names
from pipeline.config import ProjectConfig
from pipeline.configuration.project_file import FILE_NAME, TABLES
from pipeline.configuration.yaml_text import read_yaml
from pipeline.init.table_notes import notes, one_line, shown
from pipeline.init.task_inference import InferredTask, infer_task
from pipeline.init.task_kind import column_values, decimal_mark
from tflite.config import EdgeConfig

# Names of the splits that may lie beside a file called train.
_SIBLINGS = {"eval": ("dev", "valid", "validation", "val", "eval"), "test": ("test",)}
# Characters that YAML does not take, even in a comment; values are written with escapes.
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# The keys that users change first, by group.
_KEYS: dict[str, tuple[type[BaseModel], tuple[str, ...]]] = {
    "tokenizer": (TokenizerConfig, ("vocabulary_size", "lowercase", "max_length")),
    "model": (EncoderConfig, ("type", "num_layers", "width", "num_heads", "dropout")),
    "train": (
        TrainConfig,
        ("epochs", "batch_size", "learning_rate", "class_weights", "early_stopping", "metric", "precision", "seed"),
    ),
    "gate": (GateConfig, ("drift", "unseen_label", "small_class", "split_overlap", "conflicting_labels")),
    "evaluation": (EvaluationConfig, ("slices", "min_slice_size")),
    "edge": (EdgeConfig, ("variants", "lengths", "min_agreement")),
    "push": (PushConfig, ("directory", "keep")),
}
# Those that a regression, which has no labels, does not read and a run would refuse.
_OF_LABELS = ("class_weights", "unseen_label", "small_class", "conflicting_labels")


def write(table: Path, out: Path | None = None, warn: Callable[[str], object] = str) -> Path:
    """Writes the configuration for a table, beside it or where `out` says, and returns the file's path.

    Args:
        warn: told what `transom run` would refuse of the data.

    Raises:
        ConfigError: the file is there already, or its folder cannot be written.
        DataError: see `infer`.
    """
    if table.is_dir():
        raise _folder(table)
    target = out or table.parent / FILE_NAME
    if target.exists() and table.exists():  # else the table is what has to be mended
        raise _exists(target)
    text = infer(table, target.parent, target.name, warn)
    opened = False
    try:
        with target.open("x", encoding="utf-8") as stream:
            opened = True
            stream.write(text)
    except FileExistsError:
        raise _exists(target) from None
    except OSError as error:
        if opened:  # half a file is worse than none
            target.unlink(missing_ok=True)
        raise ConfigError(f"{target} cannot be written", got=error.strerror or str(error), fix="use --out") from None
    return target


def _folder(folder: Path) -> DataError:
    inside = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    tables = [path for path in inside if path.suffix.lower() in TABLES]
    return DataError(
        f"{folder} is a folder",
        got=abbreviate([path.name for path in inside], 8) or "no file in it",
        expected="a table: a file of labelled text",
        fix=f"did you mean {tables[0]}?" if tables else "name the file",
    )


def _exists(target: Path) -> ConfigError:
    return ConfigError(f"{target} is there already", expected="a new file", fix="move it away, or use --out")


def infer(path: Path, folder: Path | None = None, name: str = FILE_NAME, warn: Callable[[str], object] = str) -> str:
    """The text of a transom.yaml for a table.

    Args:
        folder: where the file will lie; paths in it are relative to that. Default: beside the table.
        name: what the file will be called.
        warn: see `write`.

    Raises:
        DataError: the table cannot be read, or has no column that looks like text or like a label.
    """
    seen = infer_task(path)
    splits = _find_splits(seen)
    folder = folder or path.parent
    required = [_head(seen, path, name), _data(seen, path, splits, folder), _task(seen)]
    # What is written must be right: a failure here is ours.
    refusal = _refusal(ProjectConfig.model_validate(read_yaml(_NOT_YAML.sub("�", "\n".join(required)))), folder)
    if refusal is not None:
        warn(one_line(refusal))
    sections = [*required, notes(seen, splits, refusal), *(_optional(name, seen) for name in _KEYS)]
    text = _NOT_YAML.sub("�", "\n".join(sections))
    ProjectConfig.model_validate(read_yaml(text))
    return text


def _refusal(config: ProjectConfig, folder: Path) -> TransomError | None:
    """What `transom run` would refuse of these data, rows far below and the other splits' included."""
    try:
        preflight.check_rows(config, folder)
    except TransomError as error:
        return error
    return None


def scalar(value: Any) -> str:
    """A value as YAML on one line."""
    plain = list(value) if isinstance(value, tuple) else value
    text: str = yaml.safe_dump(plain, allow_unicode=True, default_flow_style=True, width=math.inf)
    return text.removesuffix("\n").removesuffix("\n...")


def project_name(path: Path) -> str:
    """A project's name from its table: of the folder where the file is just "train", else of the file."""
    stem = path.name.split(".")[0]
    source = path.resolve().parent.name if _train_name(stem) is not None else stem
    return project_names.fitting(source)


def _train_name(stem: str) -> str | None:
    """The stem with {} in place of "train", None where it is not that of a training split."""
    match = re.search(r"(?:^|(?<=[_.-]))train(?:ing)?(?=$|[_.-])", stem, re.IGNORECASE)
    return None if match is None else stem[: match.start()] + "{}" + stem[match.end() :]


def _find_splits(seen: InferredTask) -> dict[str, Path]:
    """The eval and test files beside a training file that have the task's columns."""
    path = seen.table.path
    pattern = _train_name(path.name.split(".")[0])
    if pattern is None:
        return {}
    endings = "".join(path.suffixes)
    found = {}
    for split, stems in _SIBLINGS.items():
        for name in stems:
            sibling = path.with_name(pattern.format(name) + endings)
            if sibling.is_file() and _usable(sibling, seen):
                found[split] = sibling
                break
    return found


def _usable(path: Path, seen: InferredTask) -> bool:
    try:
        open_table(path).require([seen.text, seen.text_pair or seen.text, seen.label])
    except DataError:
        return False
    return True


def _head(seen: InferredTask, path: Path, name: str) -> str:
    rows = f"all {seen.rows:,} rows" if seen.all_rows else f"the first {seen.rows:,} rows"
    return (
        f"# Written by `transom init {shown(path.name, 200)}` after looking at {rows}. "
        "Correct what it got wrong, then:\n"
        f"#   transom run {name}\n"
        "# `transom schema` prints every key.\n"
        f"name: {scalar(project_name(path))}\n"
    )


def _data(seen: InferredTask, path: Path, splits: dict[str, Path], folder: Path) -> str:
    def relative(file: Path) -> str:
        return scalar(os.path.relpath(file, folder))

    if not splits:
        shares = DataConfig(path="x").splits
        return (
            "data:\n"
            f"  path: {relative(path)}    # split by a hash of the text: a row keeps its side when data are added\n"
            f"  # splits: {{train: {shares.train}, eval: {shares.eval}, test: {shares.test}}}\n"
            f"{_split_by(seen)}"
            "  # dedupe: false    # true: keep one row of each text\n"
        )
    lines = ["data:", f"  train: {relative(path)}"]
    if "eval" in splits:
        lines.append(f"  eval: {relative(splits['eval'])}    # found beside it")
    else:
        lines.append("  # eval: no file found; a tenth of train, by a hash of the text, becomes it")
        lines += _split_by(seen).splitlines()
    if "test" in splits:
        lines.append(f"  test: {relative(splits['test'])}    # found beside it")
    else:
        lines.append("  # test: no file found; eval is used")
    lines.append("  # dedupe: false    # true: a text of the test rows is dropped from eval and train")
    return "\n".join([*lines, ""])


def _split_by(seen: InferredTask) -> str:
    """What divides pairs: the second text where the first is one of a few (a topic, a question of an exam)."""
    if seen.text_pair is None:
        return ""
    first, second = seen.columns[seen.text], seen.columns[seen.text_pair]
    if is_categorical(len(first.distinct), first.rows) and not is_categorical(len(second.distinct), second.rows):
        return f"  split_by: {scalar(seen.text_pair)}    # {shown(seen.text)} has but {len(first.distinct)} values\n"
    return f"  # split_by: {scalar(seen.text)}    # all rows of one {shown(seen.text)} stand on one side\n"


def _task(seen: InferredTask) -> str:
    lines = ["task:", f"  type: {seen.task}    # {shown(seen.reasons['task'], 120)}"]
    lines.append(f"  text: {scalar(seen.text)}    # {shown(seen.reasons['text'], 120)}")
    if seen.text_pair is not None:
        lines.append(f"  text_pair: {scalar(seen.text_pair)}")
    lines.append(f"  label: {scalar(seen.label)}    # {shown(seen.reasons['label'], 120)}")
    column = seen.columns[seen.label]
    if seen.task == "multi_label" and (seen.separator != TaskConfig().label_separator or not column.listed):
        lines.append(f"  label_separator: {scalar(seen.separator)}")
    if seen.task == "regression" and decimal_mark(column):
        lines.append(f"  decimal: {scalar(decimal_mark(column))}")
    return "\n".join([*lines, *(f"  # {line}" for line in _answers(seen)), ""])


def _answers(seen: InferredTask) -> Iterator[str]:
    if seen.task == "regression":
        column, numbers = seen.columns[seen.label], column_values(seen.columns[seen.label])
        if column.figures.mark is not None:
            yield f"answers from {numbers[0]:g} to {numbers[-1]:g}"
    else:
        counts = [f"{shown(label)} {count:,}" for label, count in seen.labels.most_common()]
        yield f"{len(counts):,} labels, with their rows: {abbreviate(counts, 10)}"
    if seen.others:
        others = abbreviate([shown(name) for name in seen.others], 20)
        yield f"other columns, kept for slicing (evaluation.slices): {others}"


def _optional(name: str, seen: InferredTask) -> str:
    """The main keys of a group, commented out, with their defaults and what they mean."""
    model, keys = _KEYS[name]
    defaults = model.model_construct()
    lines = [f"# {name}:"]
    for key in keys:
        value = getattr(defaults, key)
        if seen.task == "regression":
            if key in _OF_LABELS:
                continue
            value = (LENGTH_SLICE,) if key == "slices" else value
        meaning = " ".join((model.model_fields[key].description or "").split())
        lines.append(f"#   {key}: {scalar(value)}    # {meaning}")
    if name == "model":
        lines += ["# A pretrained encoder instead:", "# model:", "#   type: preset"]
        lines += ["#   preset: path/to/folder    # " + _preset_meaning()]
    if name == "evaluation" and seen.task != "regression":
        lines += ["#   thresholds:", f"#     {_metric(seen)}: {{min: 0.8}}    # below it the model is not pushed"]
    return "\n".join([*lines, ""])


def _preset_meaning() -> str:
    return " ".join((PresetConfig.model_fields["preset"].description or "").split())


def _metric(seen: InferredTask) -> str:
    return "accuracy" if seen.task == "single_label" else "micro_f1"
