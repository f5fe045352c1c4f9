"""The rules of the data gate, applied to the counts of each split.

The rows that a finding shows are looked up by reading the split again. Imports no TensorFlow: the checks before a run
apply some of the rules to the tables directly.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from components.config import GateConfig
from components.data.categorical import is_categorical
from components.data.formats.files import abbreviate
from components.data.gate.counts import FEW_TEXTS, SHOWN, SplitFacts, format_row, shorten
from components.data.gate.findings import Finding, pluralize
from components.data.gate.key_sets import count_distinct, found_in, with_several
from components.data.row_batches import RowBatch
from models.config import TaskConfig
from models.label_names import label_warning, spelling_key

# If the rows are at least this many times the texts, too few texts leave a split empty, not too few rows.
_REPEATED = 5


@dataclass(frozen=True)
class Evidence:
    """The input of the rules.

    Attributes:
        facts: split to its counts.
        read: reads a split again, for the rows that a finding shows.
    """

    task: TaskConfig
    gate: GateConfig
    facts: Mapping[str, SplitFacts]
    read: Callable[[str], Iterable[RowBatch]] = field(default=lambda split: ())

    @property
    def train(self) -> SplitFacts:
        return self.facts["train"]

    def look_up(self, split: str, rows: np.ndarray) -> tuple[str, ...]:
        """The first of the selected rows, shortened. `rows`: bool [rows]."""
        places = np.flatnonzero(rows)[:SHOWN].tolist()
        shown: list[str] = []
        begin = 0
        for batch in self.read(split) if places else ():
            here = [place - begin for place in places if begin <= place < begin + len(batch)]
            shown += map(format_row, batch.select(here).records())
            begin += len(batch)
            if begin > places[-1]:
                break
        return tuple(shown)

    def finding(
        self,
        rule: Rule,
        split: SplitFacts,
        column: str,
        message: str,
        *,
        rows: int,
        fix: str,
        examples: Iterable[str] = (),
    ) -> Finding:
        """A finding of a rule about some rows of a split, with the configured severity."""
        name = rule.__name__
        severity, of = getattr(self.gate, name), split.rows
        return Finding(name, severity, split.name, column, message, rows, of, examples=tuple(examples), fix=fix)


Rule = Callable[[Evidence], Iterator[Finding]]


def empty_split(evidence: Evidence) -> Iterator[Finding]:
    """A split without rows."""
    rows = sum(facts.rows for facts in evidence.facts.values())
    texts = set[int]().union(*(facts.few_texts for facts in evidence.facts.values()))
    why = ""
    fix = (
        "give more rows, give the splits as files, or change data.splits (or data.split_by, where its column has few "
        "values)"
    )
    if 0 < len(texts) <= FEW_TEXTS and len(texts) * _REPEATED <= rows:
        # more rows like these do not help: equal texts stay in one split
        pairs = evidence.task.text_pair is not None
        only = "the same " if len(texts) == 1 else f"only {len(texts)} different "
        only += ("pair of texts" if pairs else "text") if len(texts) == 1 else ("pairs of texts" if pairs else "texts")
        why = f": the {rows:,} rows have {only}, and equal texts stay in one split"
        column = "task.text and task.text_pair" if pairs else "task.text"
        fix = f"correct {column} if another column holds the texts, or give rows with other texts"
    for facts in evidence.facts.values():
        if not facts.rows:
            message = f"the {facts.name} split has no rows{why}"
            yield evidence.finding(empty_split, facts, "", message, rows=0, fix=fix)


def one_class(evidence: Evidence) -> Iterator[Finding]:
    """Only one label or number in a split. Without other labels in training nothing can be learned; elsewhere it is
    never more than a warning."""
    train, task = evidence.train, evidence.task
    for facts in evidence.facts.values():
        if facts.distinct_targets > 1 or facts.rows < (1 if facts is train else 2):
            continue
        numbers = task.type == "regression"
        what = "number" if numbers else "label"
        only = facts.numbers[0] if numbers else repr(next(iter(facts.labels), "no label at all"))
        message = f"all {facts.rows:,} rows have the same {what}: {only}"
        fix = f"add rows with other {what}s, or correct task.label"
        found = evidence.finding(one_class, facts, task.label, message, rows=facts.rows, fix=fix)
        if facts is train:
            yield found
            return
        message += f"; its metrics do not tell whether a model {'predicts' if numbers else 'distinguishes'} {what}s"
        yield replace(found, severity="warn" if found.severity == "error" else found.severity, message=message)


def unseen_label(evidence: Evidence) -> Iterator[Finding]:
    """Labels that do not occur in training, or that the configuration does not list."""
    configured = None if evidence.task.labels is None else set(evidence.task.labels)
    add = "add them to task.labels" if configured else "add such rows to the training split"
    left_out = "training {}leaves such rows out, and the evaluation counts them as wrong"
    if evidence.gate.unseen_label == "error":
        fix = f"correct the labels, or {add}, or set gate.unseen_label: warn ({left_out.format('then ')})"
    else:
        fix = f"correct the labels, or {add}; otherwise {left_out.format('')}"
    for facts in evidence.facts.values():
        if not configured and facts is evidence.train:
            continue
        known = configured or set(evidence.train.labels)
        unknown = {label: count for label, count in facts.labels.most_common() if label not in known}
        if unknown and evidence.train.rows:
            named = "not listed in task.labels" if configured else "not found in training"
            yield evidence.finding(
                unseen_label,
                facts,
                evidence.task.label,
                f"{pluralize(unknown, 'label')} {named}: {_list_counts(unknown)}{_misspelt(unknown, known)}",
                rows=sum(unknown.values()),
                examples=[row for label in unknown for row in facts.label_rows[label]][:SHOWN],
                fix=fix,
            )


def _misspelt(unknown: Iterable[str], known: Iterable[str]) -> str:
    """The unknown labels that differ from known ones only in spelling."""
    by_spelling = {spelling_key(label): label for label in known}
    alike = [
        f"{label!r} and {by_spelling[spelling_key(label)]!r}" for label in unknown if spelling_key(label) in by_spelling
    ]
    return f"; only the spelling differs between {abbreviate(alike, 4)}" if alike else ""


def label_spelling(evidence: Evidence) -> Iterator[Finding]:
    """Labels that differ only in spelling, and labels that cause problems later."""
    counts = sum((facts.labels for facts in evidence.facts.values()), Counter(evidence.task.labels or ()))
    rows = sum((facts.labels for facts in evidence.facts.values()), Counter())
    of = sum(facts.rows for facts in evidence.facts.values())
    alike: dict[str, list[str]] = {}
    for label in sorted(counts):
        alike.setdefault(spelling_key(label), []).append(label)
    groups = [labels for labels in alike.values() if len(labels) > 1]

    def finding(message: str, labels: Iterable[str], fix: str) -> Finding:
        concerned = sum(rows[label] for label in labels)
        return Finding(
            "label_spelling", evidence.gate.label_spelling, "", evidence.task.label, message, concerned, of, fix=fix
        )

    if groups:
        named = abbreviate([" and ".join(f"{label!r} ({rows[label]:,})" for label in labels) for labels in groups], 8)
        yield finding(
            f"labels that differ only in spelling are learned as different labels: {named}",
            itertools.chain(*groups),
            "if they mean the same, give them the same spelling in the data",
        )
    by_problem: dict[str, list[str]] = {}
    for label in sorted(counts):
        if problem := _label_problem(label, evidence.task):
            by_problem.setdefault(problem, []).append(label)
    for problem, labels in by_problem.items():
        more = f" (and {len(labels) - 1:,} more)" if len(labels) > 1 else ""
        fix = "rename the label in the data"
        yield finding(f"label {shorten(repr(labels[0]))}{more} {problem}", labels, fix)


def _label_problem(label: str, task: TaskConfig) -> str:
    if task.type == "multi_label" and task.label_separator in label:
        return (
            f"contains task.label_separator {task.label_separator!r}: a prediction of several labels, joined by it, "
            "cannot be split again; another separator can be set"
        )
    return label_warning(label)


def empty_text(evidence: Evidence) -> Iterator[Finding]:
    """Rows whose text is empty or only white space."""
    for facts in evidence.facts.values():
        for column, count in facts.empty.items():
            message, fix = f"{count:,} of {facts.rows:,} rows have no text", "complete or delete these rows"
            examples = [f"row {number + 1:,} of {facts.name}: {row}" for number, row in facts.empty_rows[column]]
            yield evidence.finding(empty_text, facts, column, message, rows=count, examples=examples, fix=fix)


def small_class(evidence: Evidence) -> Iterator[Finding]:
    """Labels with few training rows, including those that only the configuration lists."""
    train, task, least = evidence.train, evidence.task, evidence.gate.small_class_rows
    if task.type == "regression" or not train.rows:
        return
    counts = {label: train.labels[label] for label in task.labels or train.labels}
    small = {label: n for label, n in sorted(counts.items(), key=lambda item: item[1]) if n < least}
    if small:
        verb = "has" if len(small) == 1 else "have"
        few = f"{len(small):,} of {len(counts):,} labels {verb} fewer than {least} training rows"
        message, rows = f"{few}: {_list_counts(small)}", sum(small.values())
        fix = "add rows, merge labels, or set train.class_weights: balanced"
        yield evidence.finding(small_class, train, task.label, message, rows=rows, fix=fix)


def split_overlap(evidence: Evidence) -> Iterator[Finding]:
    """The same text in two splits; for pairs, the same pair or one of its texts."""
    texts = "text" if evidence.task.text_pair is None else "pair of texts"
    for first, second in itertools.combinations(evidence.facts.values(), 2):
        whole = found_in(second.keys, first.keys)
        if whole.any():
            fix = "set data.dedupe: true to keep one row of each text"
            yield _overlap(evidence, first, second, evidence.task.text, whole, texts, fix)
        for column in (evidence.task.text, evidence.task.text_pair):
            if evidence.task.text_pair is None or column is None:
                continue
            trained = evidence.train.text_keys(column)
            # Texts of many rows (the topics of a stance, yes and no) must be in both splits.
            if is_categorical(count_distinct(trained), len(trained)):
                continue
            shared = found_in(second.text_keys(column), first.text_keys(column)) & ~whole
            if shared.any():
                fix = f"set data.split_by: {column}, or give splits that share no such text"
                yield _overlap(
                    evidence, first, second, column, shared, "text in this column, in a different pair,", fix
                )


def _overlap(
    evidence: Evidence, first: SplitFacts, second: SplitFacts, column: str, rows: np.ndarray, texts: str, fix: str
) -> Finding:
    count, examples = int(rows.sum()), evidence.look_up(second.name, rows)
    message = f"{count:,} of {second.rows:,} rows have a {texts} that is in {first.name} too"
    return evidence.finding(split_overlap, second, column, message, rows=count, examples=examples, fix=fix)


def conflicting_labels(evidence: Evidence) -> Iterator[Finding]:
    """The same text with different labels in training. A regression is not checked: annotators' scores may differ."""
    train = evidence.train
    if evidence.task.type == "regression" or not len(train.keys):
        return
    conflicting = with_several(train.keys, train.label_codes)
    if not len(conflicting):
        return
    rows = int(found_in(train.keys, conflicting).sum())
    texts = f"{len(conflicting):,} texts have different labels in different rows"
    yield evidence.finding(
        conflicting_labels,
        train,
        evidence.task.label,
        f"{texts}: {rows:,} of {train.rows:,} rows",
        rows=rows,
        examples=evidence.look_up("train", np.isin(train.keys, conflicting[:2])),
        fix="correct the labels, or delete the wrong rows",
    )


def _list_counts(counts: Mapping[str, int]) -> str:
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


def apply(evidence: Evidence, rules: Sequence[str] = tuple(RULES)) -> list[Finding]:
    """The findings of the rules, except those that the configuration turns off."""
    return [finding for name in rules if getattr(evidence.gate, name) != "off" for finding in RULES[name](evidence)]
