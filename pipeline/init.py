"""`transom init FILE`: looks at a table and writes a commented transom.yaml. No TensorFlow."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from components.config import DataConfig, EvaluationConfig, GateConfig, PushConfig
from components.files import some
from components.kinds import are_kinds
from components.readers import open_table
from components.rows import records
from components.thresholds import LENGTH_SLICE
from models.config import EncoderConfig, PresetConfig, TaskConfig, TokenizerConfig, TrainConfig
from models.errors import ConfigError, DataError, TransomError
from models.label_names import spelling
from pipeline import names, preflight
from pipeline.config import ProjectConfig
from pipeline.looking import NOTHING, Look, look
from pipeline.task_kind import column_values, decimal_mark
from pipeline.yaml_text import read_yaml
from tflite.config import EdgeConfig

FILE_NAME = "transom.yaml"
# Names of the splits that may lie beside a file called train.
_SIBLINGS = {"eval": ("dev", "valid", "validation", "val", "eval"), "test": ("test",)}
# Characters of what a run would say that are worth repeating.
_LONGEST_NOTE = 240
# Characters that YAML does not take, even in a comment; values are written with escapes.
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FRACTION = re.compile(r"\d+ ?/ ?\d+")
# A label with so many times the rows of another is an imbalance.
_IMBALANCE = 10
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
    tables = [path for path in inside if path.suffix.lower() in (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")]
    return DataError(
        f"{folder} is a folder",
        got=some([path.name for path in inside], 8) or "no file in it",
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
    seen = look(path)
    splits = _find_splits(seen)
    folder = folder or path.parent
    required = [_head(seen, path, name), _data(seen, path, splits, folder), _task(seen)]
    # What is written must be right: a failure here is ours.
    refusal = _refusal(ProjectConfig.model_validate(read_yaml(_NOT_YAML.sub("�", "\n".join(required)))), folder)
    if refusal is not None:
        warn(_one_line(refusal))
    sections = [*required, _notes(seen, splits, refusal), *(_optional(name, seen) for name in _KEYS)]
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
    return names.fitting(source)


def _train_name(stem: str) -> str | None:
    """The stem with {} in place of "train", None where it is not that of a training split."""
    match = re.search(r"(?:^|(?<=[_.-]))train(?:ing)?(?=$|[_.-])", stem, re.IGNORECASE)
    return None if match is None else stem[: match.start()] + "{}" + stem[match.end() :]


def _find_splits(seen: Look) -> dict[str, Path]:
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


def _usable(path: Path, seen: Look) -> bool:
    try:
        open_table(path).require([seen.text, seen.text_pair or seen.text, seen.label])
    except DataError:
        return False
    return True


def _head(seen: Look, path: Path, name: str) -> str:
    rows = f"all {seen.rows:,} rows" if seen.all_rows else f"the first {seen.rows:,} rows"
    return (
        f"# Written by `transom init {_shown(path.name, 200)}` after looking at {rows}. "
        "Correct what it got wrong, then:\n"
        f"#   transom run {name}\n"
        "# `transom schema` prints every key.\n"
        f"name: {scalar(project_name(path))}\n"
    )


def _data(seen: Look, path: Path, splits: dict[str, Path], folder: Path) -> str:
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


def _split_by(seen: Look) -> str:
    """What divides pairs: the second text where the first is one of a few (a topic, a question of an exam)."""
    if seen.text_pair is None:
        return ""
    first, second = seen.columns[seen.text], seen.columns[seen.text_pair]
    if are_kinds(len(first.distinct), first.rows) and not are_kinds(len(second.distinct), second.rows):
        return f"  split_by: {scalar(seen.text_pair)}    # {_shown(seen.text)} has but {len(first.distinct)} values\n"
    return f"  # split_by: {scalar(seen.text)}    # all rows of one {_shown(seen.text)} stand on one side\n"


def _task(seen: Look) -> str:
    lines = ["task:", f"  type: {seen.task}    # {_shown(seen.reasons['task'], 120)}"]
    lines.append(f"  text: {scalar(seen.text)}    # {_shown(seen.reasons['text'], 120)}")
    if seen.text_pair is not None:
        lines.append(f"  text_pair: {scalar(seen.text_pair)}")
    lines.append(f"  label: {scalar(seen.label)}    # {_shown(seen.reasons['label'], 120)}")
    column = seen.columns[seen.label]
    if seen.task == "multi_label" and (seen.separator != TaskConfig().label_separator or not column.listed):
        lines.append(f"  label_separator: {scalar(seen.separator)}")
    if seen.task == "regression" and decimal_mark(column):
        lines.append(f"  decimal: {scalar(decimal_mark(column))}")
    return "\n".join([*lines, *(f"  # {line}" for line in _answers(seen)), ""])


def _answers(seen: Look) -> Iterator[str]:
    if seen.task == "regression":
        column, numbers = seen.columns[seen.label], column_values(seen.columns[seen.label])
        if column.figures.mark is not None:
            yield f"answers from {numbers[0]:g} to {numbers[-1]:g}"
    else:
        counts = [f"{_shown(label)} {count:,}" for label, count in seen.labels.most_common()]
        yield f"{len(counts):,} labels, with their rows: {some(counts, 10)}"
    if seen.others:
        yield f"other columns, kept for slicing (evaluation.slices): {some([_shown(name) for name in seen.others], 20)}"


def _shown(name: str, longest: int = 40) -> str:
    """A name as it may stand in a comment: on one line, and not too long."""
    line = " ".join(name.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _source_like(seen: Look) -> str | None:
    """A text, where all that are short enough to be counted begin and end as JSON's or Python's lists and objects."""
    values = seen.columns[seen.text].counts
    if values and all((value[0], value[-1]) in (("[", "]"), ("{", "}")) for value in values):
        return next(iter(values))
    return None


def _notes(seen: Look, splits: dict[str, Path], refusal: TransomError | None) -> str:
    notes = list(_suggestions(seen, splits))
    if refusal is not None:
        notes.insert(0, f"`transom run` will refuse these data until they are corrected: {_one_line(refusal)}")
    if not notes:
        return ""
    return "\n".join(["# Worth a look:", *(f"# - {note}" for note in notes), ""])


def _one_line(error: TransomError) -> str:
    got, fix = " ".join(error.got.split()), f"; to fix: {error.fix}" if error.fix else ""
    return f"{error.what}: {got[:_LONGEST_NOTE]}{'…' if len(got) > _LONGEST_NOTE else ''}{fix}"


def _suggestions(seen: Look, splits: dict[str, Path]) -> Iterator[str]:
    if seen.table.above:
        yield _shown(seen.table.above, 200)
    for name, why in seen.table.left_out.items():
        if name:
            yield f"column {_shown(name)!r} {why} and is left out"
    if (source := _source_like(seen)) is not None:
        yield (
            f"the texts look like the source of lists or objects, for example {_shown(source)!r}: the model learns "
            "from them as they are, brackets included, and has to be asked the same way"
        )
    column = seen.columns[seen.label]
    missing = seen.rows - column.rows
    if missing and seen.task != "multi_label":
        yield f"{missing:,} of {seen.rows:,} rows have no label; the run will refuse them"
    nothing = [value for value in column.counts if value.casefold() in NOTHING]
    if nothing and seen.task != "regression":
        named = some([repr(value) for value in nothing])
        yield f"{named} is taken for a label; delete these rows if it means that there is none"
    fractions = [label for label in seen.labels if _FRACTION.fullmatch(label)]
    if seen.task == "single_label" and len(fractions) > len(seen.labels) / 2:
        yield f"labels such as {fractions[0]!r} are taken for names of classes; for numbers write 4 or 0.8, not 4/5"
    alike = Counter(spelling(label) for label in seen.labels)
    odd = [label for label in seen.labels if alike[spelling(label)] > 1]
    if odd:
        yield f"labels that differ in spelling alone are different labels: {some([_shown(repr(one)) for one in odd])}"
    counts = [count for _, count in seen.labels.most_common()]
    if seen.task == "single_label" and len(counts) > 1 and counts[0] >= _IMBALANCE * counts[-1]:
        yield (
            f"the largest label has {counts[0] / counts[-1]:.0f} times the rows of the smallest: "
            "train.class_weights: balanced gives every label the same weight"
        )
    for split, path in splits.items():
        unseen = _labels_of(path, seen) - set(seen.labels)
        if unseen and seen.all_rows and seen.task != "regression":
            yield (
                f"{split} has labels that train lacks ({some([_shown(name) for name in sorted(unseen)])}); "
                "the data gate stops such a run unless gate.unseen_label: warn"
            )
    longest = _long_text(seen)
    if longest is not None:
        yield f"one text in twenty has over {longest[0]:,} tokens or so: tokenizer.max_length: {longest[1]} cuts fewer"


def _labels_of(path: Path, seen: Look) -> set[str]:
    task = TaskConfig(
        type=seen.task, text=seen.text, text_pair=seen.text_pair, label=seen.label, label_separator=seen.separator
    )
    found: Counter[str] = Counter()
    try:
        for _, record in records(open_table(path), task):
            found.update(record.labels)
    except DataError:  # the run will say what is wrong with that file
        return set()
    return set(found)


def _long_text(seen: Look) -> tuple[int, int] | None:
    """Tokens of the longest twentieth of the inputs, where the default cuts them, and a length that does not."""
    texts = [seen.columns[name].tokens for name in (seen.text, seen.text_pair) if name is not None]
    sums = sorted(map(sum, zip(*texts, strict=False)))
    tokens = sums[int(len(sums) * 0.95)] if sums else 0
    if tokens + 2 <= TokenizerConfig().max_length:
        return None
    return tokens, min(512, 64 * math.ceil((tokens + 2) / 64))


def _optional(name: str, seen: Look) -> str:
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


def _metric(seen: Look) -> str:
    return "accuracy" if seen.task == "single_label" else "micro_f1"
