"""`transom init FILE`: reads a table and writes a commented transom.yaml. No TensorFlow."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from components.config import DataConfig
from components.data.categorical import is_categorical
from components.data.formats.files import abbreviate
from components.data.formats.readers import open_table
from models.config import TaskConfig
from models.errors import ConfigError, DataError, TransomError
from pipeline import preflight, project_names
from pipeline.config import ProjectConfig
from pipeline.configuration.project_file import FILE_NAME, TABLE_ENDINGS
from pipeline.configuration.yaml_text import read_yaml
from pipeline.init.notes.table_notes import as_comments, find_notes
from pipeline.init.optional_keys import optional_sections
from pipeline.init.suggested_preset import suggest_preset
from pipeline.init.table_counts import TableCounts, count_rows
from pipeline.init.table_words import one_line, scalar, shorten
from pipeline.init.task_inference import InferredTask, infer_task
from pipeline.init.task_kind import column_values

# Names of the split files that may be next to a file called train.
_SIBLINGS = {"eval": ("dev", "valid", "validation", "val", "eval"), "test": ("test",)}
Say = Callable[[str], object]
# Characters that YAML does not allow, even in a comment; values are written with escapes.
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(table: Path, out: Path | None = None, warn: Say = str, note: Say = str) -> Path:
    """Writes the configuration for a table, next to it or to `out`, and returns the file's path.

    Args:
        warn: called with each problem of the data that `transom run` would refuse.
        note: called with everything else that is worth a look.

    Raises:
        ConfigError: the file exists already, or its folder is not writable.
        DataError: see `infer`.
    """
    if table.is_dir():
        raise _folder(table)
    target = out or table.parent / FILE_NAME
    if target.exists() and table.exists():  # otherwise the missing table is the error to report
        raise _exists(target)
    text = infer(table, target.parent, target.name, warn, note)
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
    tables.sort(key=lambda path: _train_name(path.name.split(".")[0]) is None)  # the other splits are found beside it
    return DataError(
        f"{folder} is a folder",
        got=abbreviate([path.name for path in inside], 8) or "no file in it",
        expected="a table: a file of labelled text",
        fix=f"did you mean {tables[0]}?" if tables else "name the file",
    )


def _exists(target: Path) -> ConfigError:
    return ConfigError(f"{target} already exists", expected="a new file", fix="move it away, or use --out")


def infer(path: Path, folder: Path | None = None, name: str = FILE_NAME, warn: Say = str, note: Say = str) -> str:
    """The text of a transom.yaml for a table.

    Args:
        folder: where the file will be; its paths are relative to this. Default: the table's folder.
        name: the file's name.
        warn, note: see `write`.

    Raises:
        DataError: the table cannot be read, or has no column that looks like text or like a label.
    """
    inferred = infer_task(path)
    splits = _find_splits(inferred)
    folder = folder or path.parent
    counts = count_rows(inferred)
    required = [_head(inferred, path, name), _data(inferred, path, splits, folder), _task(inferred, counts)]
    # The text must be a valid configuration: a failure here is a bug.
    refusal = _refusal(ProjectConfig.model_validate(read_yaml(_NOT_YAML.sub("�", "\n".join(required)))), folder)
    if refusal is not None:
        warn(one_line(refusal))
    lines = list(find_notes(inferred, counts, splits))
    for line in lines:
        note(line)
    preset = suggest_preset(inferred, split=not splits)
    if preset.chosen or inferred.text_pair is not None:
        note(f"model.preset: {preset.preset}{'' if preset.chosen else ' (in a comment)'}: {preset.reason}")
    sections = [*required, as_comments(lines, refusal), *optional_sections(inferred, counts, preset)]
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


def _task(inferred: InferredTask, counts: TableCounts) -> str:
    lines = ["task:", f"  type: {inferred.task}    # {shorten(inferred.reasons['task'], 120)}"]
    lines.append(f"  text: {scalar(inferred.text)}    # {shorten(inferred.reasons['text'], 120)}")
    if inferred.text_pair is not None:
        lines.append(f"  text_pair: {scalar(inferred.text_pair)}")
    lines.append(f"  label: {scalar(inferred.label)}    # {shorten(inferred.reasons['label'], 120)}")
    column = inferred.columns[inferred.label]
    if inferred.task == "multi_label" and (inferred.separator != TaskConfig().label_separator or not column.listed):
        lines.append(f"  label_separator: {scalar(inferred.separator)}")
    if inferred.decimal:
        lines.append(f"  decimal: {scalar(inferred.decimal)}")
    return "\n".join([*lines, *(f"  # {line}" for line in _label_summary(inferred, counts)), ""])


def _label_summary(inferred: InferredTask, counts: TableCounts) -> Iterator[str]:
    if inferred.task == "regression":
        column, numbers = inferred.columns[inferred.label], column_values(inferred.columns[inferred.label])
        if column.number_column.mark is not None:
            yield f"numbers from {numbers[0]:g} to {numbers[-1]:g}"
    else:
        labels = counts.labels if counts.whole else inferred.labels
        shown = [f"{shorten(label)} {count:,}" for label, count in labels.most_common()]
        yield f"{len(shown):,} labels, with their rows: {abbreviate(shown, 10)}"
    if inferred.others:
        others = abbreviate([shorten(name) for name in inferred.others], 20)
        yield f"other columns, kept for slicing (evaluation.slices): {others}"
