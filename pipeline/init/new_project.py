"""`transom init FILE`: reads a table and writes a commented transom.yaml. No TensorFlow."""

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
from pipeline.configuration.project_file import FILE_NAME, TABLE_ENDINGS
from pipeline.configuration.yaml_text import read_yaml
from pipeline.init.table_notes import notes, one_line, shorten
from pipeline.init.task_inference import InferredTask, infer_task
from pipeline.init.task_kind import column_values, decimal_mark
from tflite.config import EdgeConfig

# Names of the split files that may be next to a file called train.
_SIBLINGS = {"eval": ("dev", "valid", "validation", "val", "eval"), "test": ("test",)}
# Characters that YAML does not allow, even in a comment; values are written with escapes.
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
# Keys about labels, which a run refuses for a regression.
_LABEL_KEYS = ("class_weights", "unseen_label", "small_class", "conflicting_labels")


def write(table: Path, out: Path | None = None, warn: Callable[[str], object] = str) -> Path:
    """Writes the configuration for a table, next to it or to `out`, and returns the file's path.

    Args:
        warn: called with each problem of the data that `transom run` would refuse.

    Raises:
        ConfigError: the file exists already, or its folder is not writable.
        DataError: see `infer`.
    """
    if table.is_dir():
        raise _folder(table)
    target = out or table.parent / FILE_NAME
    if target.exists() and table.exists():  # otherwise the missing table is the error to report
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
        if opened:  # do not leave half a file
            target.unlink(missing_ok=True)
        raise ConfigError(f"{target} cannot be written", got=error.strerror or str(error), fix="use --out") from None
    return target


def _folder(folder: Path) -> DataError:
    inside = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    tables = [path for path in inside if path.suffix.lower() in TABLE_ENDINGS]
    return DataError(
        f"{folder} is a folder",
        got=abbreviate([path.name for path in inside], 8) or "no file in it",
        expected="a table: a file of labelled text",
        fix=f"did you mean {tables[0]}?" if tables else "name the file",
    )


def _exists(target: Path) -> ConfigError:
    return ConfigError(f"{target} already exists", expected="a new file", fix="move it away, or use --out")


def infer(path: Path, folder: Path | None = None, name: str = FILE_NAME, warn: Callable[[str], object] = str) -> str:
    """The text of a transom.yaml for a table.

    Args:
        folder: where the file will be; its paths are relative to this. Default: the table's folder.
        name: the file's name.
        warn: see `write`.

    Raises:
        DataError: the table cannot be read, or has no column that looks like text or like a label.
    """
    inferred = infer_task(path)
    splits = _find_splits(inferred)
    folder = folder or path.parent
    required = [_head(inferred, path, name), _data(inferred, path, splits, folder), _task(inferred)]
    # The text must be a valid configuration: a failure here is a bug.
    refusal = _refusal(ProjectConfig.model_validate(read_yaml(_NOT_YAML.sub("�", "\n".join(required)))), folder)
    if refusal is not None:
        warn(one_line(refusal))
    sections = [*required, notes(inferred, splits, refusal), *(_optional(name, inferred) for name in _KEYS)]
    text = _NOT_YAML.sub("�", "\n".join(sections))
    ProjectConfig.model_validate(read_yaml(text))
    return text


def _refusal(config: ProjectConfig, folder: Path) -> TransomError | None:
    """The error with which `transom run` would refuse these data, including later rows and other splits."""
    try:
        preflight.check_rows(config, folder)
    except TransomError as error:
        return error
    return None


def scalar(value: Any) -> str:
    plain = list(value) if isinstance(value, tuple) else value
    text: str = yaml.safe_dump(plain, allow_unicode=True, default_flow_style=True, width=math.inf)
    return text.removesuffix("\n").removesuffix("\n...")


def project_name(path: Path) -> str:
    """A project's name: that of the table's folder if the file is called "train", otherwise that of the file."""
    stem = path.name.split(".")[0]
    source = path.resolve().parent.name if _train_name(stem) is not None else stem
    return project_names.name_from_text(source)


def _train_name(stem: str) -> str | None:
    """The stem with {} in place of "train"; None if it does not name a training split."""
    match = re.search(r"(?:^|(?<=[_.-]))train(?:ing)?(?=$|[_.-])", stem, re.IGNORECASE)
    return None if match is None else stem[: match.start()] + "{}" + stem[match.end() :]


def _find_splits(inferred: InferredTask) -> dict[str, Path]:
    """The eval and test files next to a training file, if they have the task's columns."""
    path = inferred.table.path
    pattern = _train_name(path.name.split(".")[0])
    if pattern is None:
        return {}
    endings = "".join(path.suffixes)
    siblings = {}
    for split, stems in _SIBLINGS.items():
        for name in stems:
            sibling = path.with_name(pattern.format(name) + endings)
            if sibling.is_file() and _has_task_columns(sibling, inferred):
                siblings[split] = sibling
                break
    return siblings


def _has_task_columns(path: Path, inferred: InferredTask) -> bool:
    try:
        open_table(path).require([inferred.text, inferred.text_pair or inferred.text, inferred.label])
    except DataError:
        return False
    return True


def _head(inferred: InferredTask, path: Path, name: str) -> str:
    rows = f"all {inferred.rows:,} rows"
    if not inferred.all_rows:
        rows = f"{inferred.rows:,} of {'the' if inferred.whole else 'the first'} {inferred.read:,} rows"
    return (
        f"# Written by `transom init {shorten(path.name, 200)}` after looking at {rows}. "
        "Correct what it got wrong, then:\n"
        f"#   transom run {name}\n"
        "# `transom schema` prints every key.\n"
        f"name: {scalar(project_name(path))}\n"
    )


def _data(inferred: InferredTask, path: Path, splits: dict[str, Path], folder: Path) -> str:
    def relative(file: Path) -> str:
        return scalar(os.path.relpath(file, folder))

    if not splits:
        shares = DataConfig(path="x").splits
        return (
            "data:\n"
            f"  path: {relative(path)}    # split by a hash of the text: a row keeps its split when data are added\n"
            f"  # splits: {{train: {shares.train}, eval: {shares.eval}, test: {shares.test}}}\n"
            f"{_split_by(inferred)}"
            "  # dedupe: false    # true: keep one row of each text\n"
        )
    lines = ["data:", f"  train: {relative(path)}"]
    if "eval" in splits:
        lines.append(f"  eval: {relative(splits['eval'])}    # found next to it")
    else:
        lines.append("  # eval: no file found; a tenth of train is used, chosen by a hash of the text")
        lines += _split_by(inferred).splitlines()
    if "test" in splits:
        lines.append(f"  test: {relative(splits['test'])}    # found next to it")
    else:
        lines.append("  # test: no file found; eval is used")
    lines.append("  # dedupe: false    # true: a text of the test rows is dropped from eval and train")
    return "\n".join([*lines, ""])


def _split_by(inferred: InferredTask) -> str:
    """The key that splits pairs: the second text if the first has only a few values (topics, exam questions)."""
    if inferred.text_pair is None:
        return ""
    first, second = inferred.columns[inferred.text], inferred.columns[inferred.text_pair]
    if is_categorical(len(first.distinct), first.rows) and not is_categorical(len(second.distinct), second.rows):
        reason = f"{shorten(inferred.text)} has only {len(first.distinct)} values"
        return f"  split_by: {scalar(inferred.text_pair)}    # {reason}\n"
    return f"  # split_by: {scalar(inferred.text)}    # keeps all rows of one {shorten(inferred.text)} in one split\n"


def _task(inferred: InferredTask) -> str:
    lines = ["task:", f"  type: {inferred.task}    # {shorten(inferred.reasons['task'], 120)}"]
    lines.append(f"  text: {scalar(inferred.text)}    # {shorten(inferred.reasons['text'], 120)}")
    if inferred.text_pair is not None:
        lines.append(f"  text_pair: {scalar(inferred.text_pair)}")
    lines.append(f"  label: {scalar(inferred.label)}    # {shorten(inferred.reasons['label'], 120)}")
    column = inferred.columns[inferred.label]
    if inferred.task == "multi_label" and (inferred.separator != TaskConfig().label_separator or not column.listed):
        lines.append(f"  label_separator: {scalar(inferred.separator)}")
    if inferred.task == "regression" and decimal_mark(column):
        lines.append(f"  decimal: {scalar(decimal_mark(column))}")
    return "\n".join([*lines, *(f"  # {line}" for line in _label_summary(inferred)), ""])


def _label_summary(inferred: InferredTask) -> Iterator[str]:
    if inferred.task == "regression":
        column, numbers = inferred.columns[inferred.label], column_values(inferred.columns[inferred.label])
        if column.number_column.mark is not None:
            yield f"numbers from {numbers[0]:g} to {numbers[-1]:g}"
    else:
        counts = [f"{shorten(label)} {count:,}" for label, count in inferred.labels.most_common()]
        yield f"{len(counts):,} labels, with their rows: {abbreviate(counts, 10)}"
    if inferred.others:
        others = abbreviate([shorten(name) for name in inferred.others], 20)
        yield f"other columns, kept for slicing (evaluation.slices): {others}"


def _optional(name: str, inferred: InferredTask) -> str:
    """The main keys of a group, commented out, with their defaults and meanings."""
    model, keys = _KEYS[name]
    defaults = model.model_construct()
    lines = [f"# {name}:"]
    for key in keys:
        value = getattr(defaults, key)
        if inferred.task == "regression":
            if key in _LABEL_KEYS:
                continue
            value = (LENGTH_SLICE,) if key == "slices" else value
        meaning = " ".join((model.model_fields[key].description or "").split())
        lines.append(f"#   {key}: {scalar(value)}    # {meaning}")
    if name == "model":
        lines += ["# A pretrained encoder instead:", "# model:", "#   type: preset"]
        meaning = " ".join((PresetConfig.model_fields["preset"].description or "").split())
        lines += [f"#   preset: path/to/folder    # {meaning}"]
    if name == "evaluation" and inferred.task != "regression":
        metric = "accuracy" if inferred.task == "single_label" else "micro_f1"
        lines += ["#   thresholds:", f"#     {metric}: {{min: 0.8}}    # below this the model is not pushed"]
    return "\n".join([*lines, ""])
