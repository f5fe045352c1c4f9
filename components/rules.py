"""The rules of the data gate: what is counted of each split, and what each rule makes of the counts.

Texts are not kept: 8 bytes stand for one. Where a finding shows rows, they are looked up by a second reading.
Imports no TensorFlow: the checks before a run apply some of the rules to the tables themselves.
"""

from __future__ import annotations

import itertools
import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from components.config import GateConfig, Severity
from components.files import some
from components.rows import Record
from models.config import TaskConfig
from models.errors import GateError
from models.json_text import to_json

FINDINGS_FILE = "findings.json"
# Example rows of a finding, and the characters shown of each.
_SHOWN, _SHORT = 5, 80
# Errors that a message lists.
_LISTED = 10
# Distinct values of a column that are counted one by one, and characters of one that are.
_COUNTED_VALUES, _LONGEST_VALUE = 10_000, 200


@dataclass(frozen=True)
class Finding:
    """What one rule found in one split.

    Attributes:
        rule: the key under `gate`.
        severity: `error` or `warn`.
        split, column: where.
        message: what was found, in a sentence.
        rows, of: how many rows it concerns, of how many; 0 and 0 where rows are not what is counted.
        examples: some of them, shortened.
        fix: what to do about it.
    """

    rule: str
    severity: Severity
    split: str
    column: str
    message: str
    rows: int = 0
    of: int = 0
    examples: tuple[str, ...] = ()
    fix: str = ""

    def render(self, examples: int = 5) -> str:
        """A line that names everything, and one for each of the first examples."""
        column = f", column {self.column!r}" if self.column else ""
        head = f"{self.severity} {self.rule} in {self.split or 'the data'}{column}: {self.message}"
        tail = [f"    to fix: {self.fix}"] if self.fix else []
        return "\n".join([head, *(f"    {example}" for example in self.examples[:examples]), *tail])


class SplitFacts:
    """What the rules need to know of one split; about 20 bytes a row, plus the distinct labels and values.

    Attributes:
        rows: number of rows.
        labels: label to rows.
        label_rows: label to some of its rows, shortened.
        empty: text column to rows without text.
        values: other column to its values' rows; "" stands for all long ones, and for those beyond the first ten
            thousand distinct ones.
    """

    def __init__(self, name: str, task: TaskConfig) -> None:
        self.name, self.task = name, task
        self.rows = 0
        self.labels: Counter[str] = Counter()
        self.label_rows: dict[str, list[str]] = {}
        self.empty: Counter[str] = Counter()
        self.empty_rows: dict[str, list[str]] = {}
        self.values: dict[str, Counter[str]] = {}
        self._codes: dict[tuple[str, ...], int] = {}
        self._keys, self._answers, self._numbers = array("Q"), array("q"), array("d")
        self._lengths = {name: array("q") for name in (task.text, task.text_pair) if name is not None}

    @property
    def keys(self) -> np.ndarray:
        """`Record.key` of every row, uint64 [rows]."""
        return np.frombuffer(self._keys, np.uint64) if self._keys else np.zeros(0, np.uint64)

    @property
    def answers(self) -> np.ndarray:
        """A number for every row, int64 [rows]: equal where the labels are."""
        return np.frombuffer(self._answers, np.int64) if self._answers else np.zeros(0, np.int64)

    @property
    def numbers(self) -> np.ndarray:
        """The answers of a regression, float64 [rows]."""
        return np.frombuffer(self._numbers, np.float64) if self._numbers else np.zeros(0)

    def lengths(self, column: str) -> np.ndarray:
        """Characters in a text column, int64 [rows]."""
        lengths = self._lengths[column]
        return np.frombuffer(lengths, np.int64) if lengths else np.zeros(0, np.int64)

    @property
    def answer_kinds(self) -> int:
        """Distinct answers: labels, sets of labels, or numbers."""
        return len(np.unique(self.numbers)) if self.task.type == "regression" else len(self._codes)

    def add(self, record: Record) -> None:
        """Counts a row."""
        self.rows += 1
        self._keys.append(record.key)
        if record.number is not None:
            self._numbers.append(record.number)
        else:
            self._answers.append(self._codes.setdefault(tuple(sorted(record.labels)), len(self._codes)))
        for label in record.labels:
            self.labels[label] += 1
            if len(shown := self.label_rows.setdefault(label, [])) < 2:
                shown.append(show(record))
        for column, text in ((self.task.text, record.text), (self.task.text_pair, record.text_pair)):
            if column is None or text is None:
                continue
            self._lengths[column].append(len(text))
            if not text or text.isspace():
                self.empty[column] += 1
                if len(shown := self.empty_rows.setdefault(column, [])) < _SHOWN:
                    shown.append(f"row {self.rows:,} of {self.name}: {show(record)}")
        for column, value in record.others.items():
            values = self.values.setdefault(column, Counter())
            counted = value in values or (len(values) < _COUNTED_VALUES and len(value) <= _LONGEST_VALUE)
            values[value if counted else ""] += 1


def show(record: Record) -> str:
    """A row for a message, shortened: '"the text" -> label'."""
    texts = [record.text] if record.text_pair is None else [record.text, record.text_pair]
    answer = ", ".join(record.labels) if record.number is None else f"{record.number:g}"
    return " + ".join(to_json(_shorten(text)) for text in texts) + f" -> {_shorten(answer)}"


def _shorten(text: str) -> str:
    line = " ".join(text[: 4 * _SHORT].split())
    return line if len(line) <= _SHORT and len(text) <= 4 * _SHORT else line[: _SHORT - 1] + "…"


@dataclass(frozen=True)
class Evidence:
    """All that the rules look at.

    Attributes:
        facts: split to what was counted.
        read: reads a split again, for the rows that a finding shows.
    """

    task: TaskConfig
    gate: GateConfig
    facts: Mapping[str, SplitFacts]
    read: Callable[[str], Iterable[Record]] = field(default=lambda split: ())

    @property
    def train(self) -> SplitFacts:
        return self.facts["train"]

    def held_out(self) -> Iterator[SplitFacts]:
        """The facts of the other splits."""
        return (facts for name, facts in self.facts.items() if name != "train")

    def look_up(self, split: str, keys: np.ndarray) -> tuple[str, ...]:
        """The first rows whose key is among `keys`, shortened."""
        wanted = {int(key) for key in keys[:1000]}
        hits = (show(record) for record in self.read(split) if record.key in wanted)
        return tuple(itertools.islice(hits, _SHOWN))


Rule = Callable[[Evidence], Iterator[Finding]]


def empty_split(seen: Evidence) -> Iterator[Finding]:
    """A split without rows."""
    for facts in seen.facts.values():
        if not facts.rows:
            yield Finding(
                "empty_split",
                seen.gate.empty_split,
                facts.name,
                "",
                f"the {facts.name} split has no rows",
                fix="give more rows, give the splits as files, or change data.splits",
            )


def one_class(seen: Evidence) -> Iterator[Finding]:
    """Only one answer in training."""
    if seen.train.rows and seen.train.answer_kinds < 2:
        only = next(iter(seen.train.labels), "no label at all") if seen.task.type != "regression" else None
        yield Finding(
            "one_class",
            seen.gate.one_class,
            "train",
            seen.task.label,
            f"all {seen.train.rows:,} rows have the same answer: {seen.train.numbers[0] if only is None else only!r}",
            rows=seen.train.rows,
            of=seen.train.rows,
            fix="add rows with other answers, or correct task.label",
        )


def unseen_label(seen: Evidence) -> Iterator[Finding]:
    """Labels outside training, or outside the labels that the configuration names."""
    configured = None if seen.task.labels is None else set(seen.task.labels)
    for facts in seen.facts.values() if configured else seen.held_out():
        known = configured or set(seen.train.labels)
        unknown = {label: count for label, count in facts.labels.most_common() if label not in known}
        if not unknown or not seen.train.rows:
            continue
        named = "task.labels does not name" if configured else "training never shows"
        rows = [row for label in unknown for row in facts.label_rows[label]]
        yield Finding(
            "unseen_label",
            seen.gate.unseen_label,
            facts.name,
            seen.task.label,
            f"{_number_of(unknown, 'label')} that {named}: {_counted(unknown)}",
            rows=sum(unknown.values()),
            of=facts.rows,
            examples=tuple(rows[:_SHOWN]),
            fix="correct the labels, add such rows to the training split, or set gate.unseen_label: warn "
            "(such rows then count as wrong)",
        )


def empty_text(seen: Evidence) -> Iterator[Finding]:
    """Rows whose text is empty or white space."""
    for facts in seen.facts.values():
        for column, count in facts.empty.items():
            yield Finding(
                "empty_text",
                seen.gate.empty_text,
                facts.name,
                column,
                f"{count:,} of {facts.rows:,} rows have no text",
                rows=count,
                of=facts.rows,
                examples=tuple(facts.empty_rows[column]),
                fix="complete or delete these rows",
            )


def small_class(seen: Evidence) -> Iterator[Finding]:
    """Labels with few training rows, those named by the configuration included."""
    if seen.task.type == "regression" or not seen.train.rows:
        return
    counts = {label: seen.train.labels[label] for label in seen.task.labels or seen.train.labels}
    small = {
        label: n for label, n in sorted(counts.items(), key=lambda item: item[1]) if n < seen.gate.small_class_rows
    }
    if small:
        yield Finding(
            "small_class",
            seen.gate.small_class,
            "train",
            seen.task.label,
            f"{len(small):,} of {len(counts):,} labels have fewer than {seen.gate.small_class_rows} training rows: "
            f"{_counted(small)}",
            rows=sum(small.values()),
            of=seen.train.rows,
            fix="add rows, merge labels, or set train.class_weights: balanced",
        )


def split_overlap(seen: Evidence) -> Iterator[Finding]:
    """The same text, or pair of texts, in two splits."""
    texts = "text" if seen.task.text_pair is None else "pair of texts"
    for first, second in itertools.combinations(seen.facts.values(), 2):
        keys = second.keys
        shared = keys[np.isin(keys, first.keys)]
        if not len(shared):
            continue
        yield Finding(
            "split_overlap",
            seen.gate.split_overlap,
            second.name,
            seen.task.text,
            f"{len(shared):,} of {second.rows:,} rows have a {texts} that is in {first.name} too",
            rows=len(shared),
            of=second.rows,
            examples=seen.look_up(second.name, shared),
            fix="set data.dedupe: true to keep one row of each text",
        )


def conflicting_labels(seen: Evidence) -> Iterator[Finding]:
    """The same text with different labels in training. Nothing for a regression, where judges may differ."""
    if seen.task.type == "regression" or not seen.train.rows:
        return
    pairs = np.unique(np.stack([seen.train.keys.view(np.int64), seen.train.answers], axis=1), axis=0)
    keys, answers = np.unique(pairs[:, 0], return_counts=True)
    torn = keys[answers > 1].view(np.uint64)
    if not len(torn):
        return
    count = int(np.isin(seen.train.keys, torn).sum())
    yield Finding(
        "conflicting_labels",
        seen.gate.conflicting_labels,
        "train",
        seen.task.label,
        f"{len(torn):,} texts have different labels in different rows: {count:,} of {seen.train.rows:,} rows",
        rows=count,
        of=seen.train.rows,
        examples=seen.look_up("train", torn[:2]),
        fix="correct the labels, or delete the wrong rows",
    )


def _number_of(things: Sized, name: str) -> str:
    return f"{len(things):,} {name}{'' if len(things) == 1 else 's'}"


def _counted(counts: Mapping[str, int]) -> str:
    return some([f"{label} ({count:,})" for label, count in counts.items()], 8)


RULES: Mapping[str, Rule] = {
    rule.__name__: rule
    for rule in (empty_split, one_class, unseen_label, empty_text, small_class, split_overlap, conflicting_labels)
}


def apply(seen: Evidence, rules: Sequence[str] = tuple(RULES)) -> list[Finding]:
    """What the rules find; those that the configuration turns off are not looked at."""
    return [finding for name in rules if getattr(seen.gate, name) != "off" for finding in RULES[name](seen)]


def stop(findings: Sequence[Finding]) -> None:
    """Raises what must stop the run, all of it on one screen.

    Raises:
        GateError: there is a finding of severity `error`.
    """
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        # few errors with all they have, many with less, so that they fit on a screen
        listed = "\n".join(finding.render(5 if len(errors) <= 3 else 1) for finding in errors[:_LISTED])
        if len(errors) > _LISTED:
            listed += f"\nand {len(errors) - _LISTED:,} more"
        rules = dict.fromkeys(f"gate.{finding.rule}" for finding in errors)
        raise GateError(
            f"the data gate stops the run: {_number_of(errors, 'error')}",
            got="\n" + "\n".join("    " + line for line in listed.splitlines()),
            expected="data that a model can be learned from and judged by",
            fix=f"correct the data, or say that it may pass: {', '.join(rules)}: warn",
        )


def render(findings: Sequence[Finding]) -> str:
    """All findings, errors first."""
    ordered = sorted(findings, key=lambda finding: finding.severity != "error")
    return "\n".join(finding.render() for finding in ordered) or "the data gate found nothing"


def save(findings: Sequence[Finding], directory: Path | str) -> None:
    """Writes `findings.json`."""
    text = to_json([asdict(finding) for finding in findings], indent=1)
    Path(directory, FINDINGS_FILE).write_text(text + "\n", encoding="utf-8")


def load(directory: Path | str) -> list[Finding]:
    """Reads what `save` wrote."""
    raw = json.loads(Path(directory, FINDINGS_FILE).read_text(encoding="utf-8"))
    return [Finding(**{**item, "examples": tuple(item["examples"])}) for item in raw]
