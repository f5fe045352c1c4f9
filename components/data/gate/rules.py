"""The rules of the data gate: what each makes of what is counted of each split.

Where a finding shows rows, they are looked up by a second reading. Imports no TensorFlow: the checks before a run apply
some of the rules to the tables themselves.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from components.config import GateConfig
from components.data.categorical import is_categorical
from components.data.formats.files import abbreviate
from components.data.gate.counts import SHOWN, SplitFacts, shorten, show
from components.data.gate.findings import Finding, number_of
from components.data.rows import Record
from models.config import TaskConfig
from models.label_names import label_warning, spelling_key


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

    def look_up(self, split: str, rows: np.ndarray) -> tuple[str, ...]:
        """The first of the rows [rows] bool, shortened."""
        hits = (show(record) for record, wanted in zip(self.read(split), rows, strict=False) if wanted)
        return tuple(itertools.islice(hits, int(min(SHOWN, rows.sum()))))


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
                fix="give more rows, give the splits as files, or change data.splits (or data.split_by, where its "
                "column has few values)",
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
            f"{number_of(unknown, 'label')} that {named}: {_counted(unknown)}{_misspelt(unknown, known)}",
            rows=sum(unknown.values()),
            of=facts.rows,
            examples=tuple(rows[:SHOWN]),
            fix="correct the labels, or "
            + ("add them to task.labels" if configured else "add such rows to the training split")
            + (
                ", or set gate.unseen_label: warn (training then leaves them out, and the evaluation counts such rows "
                "as wrong)"
                if seen.gate.unseen_label == "error"
                else "; as it is, training leaves them out, and the evaluation counts such rows as wrong"
            ),
        )


def _misspelt(unknown: Iterable[str], known: Iterable[str]) -> str:
    """Says which unknown labels differ from known ones in their spelling alone."""
    by_spelling = {spelling_key(label): label for label in known}
    alike = [
        f"{label!r} and {by_spelling[spelling_key(label)]!r}" for label in unknown if spelling_key(label) in by_spelling
    ]
    return f"; in spelling alone differ {abbreviate(alike, 4)}" if alike else ""


def label_spelling(seen: Evidence) -> Iterator[Finding]:
    """Labels that are alike but for their spelling, and labels that make trouble later."""
    counts = sum((facts.labels for facts in seen.facts.values()), Counter(seen.task.labels or ()))
    rows = sum((facts.labels for facts in seen.facts.values()), Counter())
    of = sum(facts.rows for facts in seen.facts.values())
    alike: dict[str, list[str]] = {}
    for label in sorted(counts):
        alike.setdefault(spelling_key(label), []).append(label)
    groups = [labels for labels in alike.values() if len(labels) > 1]

    def finding(message: str, labels: Iterable[str], fix: str) -> Finding:
        concerned = sum(rows[label] for label in labels)
        return Finding("label_spelling", seen.gate.label_spelling, "", seen.task.label, message, concerned, of, fix=fix)

    if groups:
        named = abbreviate([" and ".join(f"{label!r} ({rows[label]:,})" for label in labels) for labels in groups], 8)
        yield finding(
            f"labels that differ in spelling alone are learned as different labels: {named}",
            itertools.chain(*groups),
            "if they mean the same, write them alike in the data",
        )
    by_trouble: dict[str, list[str]] = {}
    for label in sorted(counts):
        if said := _trouble(label, seen.task):
            by_trouble.setdefault(said, []).append(label)
    for said, labels in by_trouble.items():
        more = f" (and {len(labels) - 1:,} more)" if len(labels) > 1 else ""
        fix = "rename the label in the data"
        yield finding(f"label {shorten(repr(labels[0]))}{more} {said}", labels, fix)


def _trouble(label: str, task: TaskConfig) -> str:
    if task.type == "multi_label" and task.label_separator in label:
        return (
            f"has task.label_separator {task.label_separator!r} in it: an answer of several labels, which are joined "
            "by it, cannot be taken apart; another separator can be set"
        )
    return label_warning(label)


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
    """The same text in two splits; of pairs the same pair, and one text of it."""
    texts = "text" if seen.task.text_pair is None else "pair of texts"
    for first, second in itertools.combinations(seen.facts.values(), 2):
        whole = np.isin(second.keys, first.keys)
        if whole.any():
            fix = "set data.dedupe: true to keep one row of each text"
            yield _overlap(seen, first, second, seen.task.text, whole, texts, fix)
        for column in (seen.task.text, seen.task.text_pair):
            if seen.task.text_pair is None or column is None:
                continue
            trained = seen.train.text_keys(column)
            # Texts that stand in many rows (the topics of a stance, yes and no) must be on both sides.
            if is_categorical(len(np.unique(trained)), len(trained)):
                continue
            shared = np.isin(second.text_keys(column), first.text_keys(column)) & ~whole
            if shared.any():
                fix = f"set data.split_by: {column}, or give splits that share no such text"
                yield _overlap(seen, first, second, column, shared, "text in this column, though in another pair,", fix)


def _overlap(
    seen: Evidence, first: SplitFacts, second: SplitFacts, column: str, rows: np.ndarray, texts: str, fix: str
) -> Finding:
    count = int(rows.sum())
    return Finding(
        "split_overlap",
        seen.gate.split_overlap,
        second.name,
        column,
        f"{count:,} of {second.rows:,} rows have a {texts} that is in {first.name} too",
        rows=count,
        of=second.rows,
        examples=seen.look_up(second.name, rows),
        fix=fix,
    )


def conflicting_labels(seen: Evidence) -> Iterator[Finding]:
    """The same text with different labels in training. Nothing for a regression, where judges may differ."""
    if seen.task.type == "regression" or not len(seen.train.keys):
        return
    pairs = np.unique(np.stack([seen.train.keys.view(np.int64), seen.train.answers], axis=1), axis=0)
    keys, answers = np.unique(pairs[:, 0], return_counts=True)
    torn = keys[answers > 1].view(np.uint64)
    if not len(torn):
        return
    concerned = np.isin(seen.train.keys, torn)
    yield Finding(
        "conflicting_labels",
        seen.gate.conflicting_labels,
        "train",
        seen.task.label,
        f"{len(torn):,} texts have different labels in different rows: {concerned.sum():,} of {seen.train.rows:,} rows",
        rows=int(concerned.sum()),
        of=seen.train.rows,
        examples=seen.look_up("train", np.isin(seen.train.keys, torn[:2])),
        fix="correct the labels, or delete the wrong rows",
    )


def _counted(counts: Mapping[str, int]) -> str:
    return abbreviate([f"{label} ({count:,})" for label, count in counts.items()], 8)


RULES: Mapping[str, Rule] = {
    rule.__name__: rule
    for rule in (
        empty_split,
        one_class,
        unseen_label,
        empty_text,
        small_class,
        label_spelling,
        split_overlap,
        conflicting_labels,
    )
}


def apply(seen: Evidence, rules: Sequence[str] = tuple(RULES)) -> list[Finding]:
    """What the rules find; those that the configuration turns off are not looked at."""
    return [finding for name in rules if getattr(seen.gate, name) != "off" for finding in RULES[name](seen)]
