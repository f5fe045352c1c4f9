"""Notes about a table for the user, in the transom.yaml that `transom init` writes."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from components.data.column_names import LABEL_NAMES
from components.data.formats.files import abbreviate
from components.data.formats.readers import open_table
from components.data.rows import records
from models.config import TokenizerConfig
from models.errors import DataError, TransomError
from models.label_names import spelling_key
from pipeline.init.column_facts import MISSING
from pipeline.init.label_column import dated
from pipeline.init.notes.header_notes import header_notes
from pipeline.init.pair_evidence import same_text
from pipeline.init.table_counts import TableCounts
from pipeline.init.table_words import one_line, shorten
from pipeline.init.task_inference import InferredTask
from pipeline.init.text_columns import other_texts

_FRACTION = re.compile(r"\d+ ?/ ?\d+")
# A label with this many times the rows of another is an imbalance.
_IMBALANCE = 10
# The values of a column that assigns rows to splits.
_SPLIT_WORDS = frozenset(("train", "training", "test", "testing", "dev", "val", "valid", "validation", "eval", "trial"))


def as_comments(lines: list[str], refusal: TransomError | None) -> str:
    """The notes as YAML comments; "" if there are none.

    Args:
        refusal: the error with which a run would refuse the data.
    """
    if refusal is not None:
        lines = [f"`transom run` will refuse these data until they are corrected: {one_line(refusal)}", *lines]
    if not lines:
        return ""
    return "\n".join(["# Worth a look:", *(f"# - {line}" for line in lines), ""])


_FEW_ROWS = 200
"""In a smaller table, a tenth is too few rows to measure a model on."""


def find_notes(inferred: InferredTask, counts: TableCounts, splits: dict[str, Path]) -> Iterator[str]:
    """What is worth a look in a table. `splits`: the files found next to it."""
    if inferred.table.above:
        yield shorten(inferred.table.above, 200)
    for name, why in inferred.table.left_out.items():
        if name:
            yield f"column {shorten(name)!r} {why} and is left out"
    if (source := _source_like(inferred)) is not None:
        yield (
            f"the texts look like the source of lists or objects, for example {shorten(source)!r}: the model learns "
            "from them unchanged, brackets included, and must be queried the same way"
        )
    yield from header_notes(inferred.columns)
    yield from _repetition_notes(inferred, counts)
    yield from _text_notes(inferred)
    yield from _label_notes(inferred, counts)
    yield from _split_column_notes(inferred)
    yield from _split_notes(inferred, splits)
    if not splits and counts.whole and counts.rows < _FEW_ROWS:
        yield (
            f"only about {max(1, round(counts.rows / 10))} of the {counts.rows} rows will be test rows, which tells "
            "little about a model: test rows in a file of their own, next to train.csv, tell more"
        )
    longest = _long_text(inferred)
    if longest is not None:
        yield f"one text in twenty has over about {longest[0]:,} tokens: tokenizer.max_length: {longest[1]} cuts fewer"


def _text_notes(inferred: InferredTask) -> Iterator[str]:
    text, pair, evidence = inferred.text, inferred.text_pair, inferred.evidence
    sampled = f"{'' if len(inferred.sample) == inferred.read else 'the first '}{len(inferred.sample):,} rows"
    for name in inferred.columns if pair is None else (pair,):
        equal = same_text(inferred.sample, text, name) if name not in (text, inferred.label) else 0
        if equal:
            of = f"all {sampled}" if equal == len(inferred.sample) else f"{equal:,} of {sampled}"
            same = f"columns {shorten(text)!r} and {shorten(name)!r} hold the same text in {of}"
            yield (
                f"{same}, so only {shorten(text)!r} is read: if the label is about two texts, correct the column with "
                "the wrong ones"
                if pair is None
                else f"{same}: correct the column with the wrong ones, or remove task.text_pair"
            )
            return
    if evidence is not None and evidence.pair:
        yield (
            f"{shorten(text)!r} and {shorten(pair or '')!r} are taken for a pair ({evidence}): if the label is about "
            "one text alone, remove task.text_pair"
        )
        return
    if evidence is not None:
        yield (
            f"{evidence}: if the label is about both, name {shorten(evidence.other)!r} as task.text_pair; if not, "
            "correct the labels"
        )
        return
    others = other_texts(list(inferred.columns.values()), (inferred.text, inferred.text_pair, inferred.label))
    if others and inferred.text_pair is None:
        yield f"column {shorten(others[0])!r} holds texts, too: if the label is about both, name it as task.text_pair"


def _repetition_notes(inferred: InferredTask, counts: TableCounts) -> Iterator[str]:
    if inferred.evidence is not None and inferred.text_pair is None:
        return  # they may be good rows of pairs: see `_text_notes`
    what = "pair of texts" if inferred.text_pair else "text"
    of = f"{'' if counts.whole else 'the first '}{counts.rows:,} rows"
    if counts.repeated or counts.read_alike:
        exact = f"{counts.repeated or counts.read_alike:,} of {of} repeat another row's {what}"
        more = f", and {counts.read_alike:,} more" if counts.repeated else ""
        alike = f"{more} but for case, accents or spaces" if counts.read_alike else ""
        yield f"{exact}{alike}: `data.dedupe: true` keeps one of each"
    if counts.conflicting:
        have = "has" if counts.conflicting == 1 else "have"
        yield (
            f"{counts.conflicting:,} of {of} {have} a {what} that other rows give another label: correct them "
            "(`data.dedupe: true` keeps one row of each, whichever label it has)"
        )


def _label_notes(inferred: InferredTask, counts: TableCounts) -> Iterator[str]:
    column = inferred.columns[inferred.label]
    missing = inferred.rows - column.rows
    if missing and inferred.task != "multi_label":
        yield f"{missing:,} of {inferred.rows:,} rows have no label; the run will refuse them"
    for name in inferred.others:
        if name.lower() in LABEL_NAMES and len(inferred.columns[name].distinct) == 1:
            label = shorten(inferred.label)
            yield f"column {name!r} has the same value in all rows, so {label!r} is taken for the label"
    if dated(column):
        example, name = next(iter(column.counts)), shorten(inferred.label)
        yield f"the labels look like dates, such as {example}: is {name!r} the label?"
    missing_words = [value for value in column.counts if value.casefold() in MISSING]
    if missing_words and inferred.task != "regression":
        named = abbreviate([repr(value) for value in missing_words])
        yield f"{named} is read as a label; delete these rows if it means that there is none"
    fractions = [label for label in inferred.labels if _FRACTION.fullmatch(label)]
    if inferred.task == "single_label" and len(fractions) > len(inferred.labels) / 2:
        yield f"labels such as {fractions[0]!r} are read as names of classes; for numbers write 4 or 0.8, not 4/5"
    alike = Counter(spelling_key(label) for label in inferred.labels)
    similar = [label for label in inferred.labels if alike[spelling_key(label)] > 1]
    if similar:
        shown_labels = abbreviate([shorten(repr(one)) for one in similar])
        yield f"labels that differ only in spelling are different labels: {shown_labels}"
    rows = [count for _, count in (counts.labels or inferred.labels).most_common()]
    if inferred.task == "single_label" and len(rows) > 1 and rows[0] >= _IMBALANCE * rows[-1]:
        yield (
            f"the largest label has {rows[0] / rows[-1]:.0f} times the rows of the smallest: "
            "train.class_weights: balanced gives every label the same weight"
        )


def _split_column_notes(inferred: InferredTask) -> Iterator[str]:
    """A column that assigns each row to a split, which a run would not follow."""
    for name in inferred.others:
        values = {value.casefold() for value in inferred.columns[name].counts}
        if len(values) > 1 and values <= _SPLIT_WORDS:
            files = abbreviate([f"{value}{inferred.table.path.suffix}" for value in sorted(values)])
            yield (
                f"column {shorten(name)!r} assigns the rows to splits, but a run splits one table by itself: to keep "
                f"these splits, write each into a file of its own ({files}), and give the training file to "
                "`transom init`"
            )


def _split_notes(inferred: InferredTask, splits: dict[str, Path]) -> Iterator[str]:
    if inferred.task == "regression" or not inferred.all_rows:
        return
    for split, path in splits.items():
        unseen = _labels_of(path, inferred) - set(inferred.labels)
        if unseen:
            yield (
                f"{split} has labels that are not in train ({abbreviate([shorten(name) for name in sorted(unseen)])}); "
                "the data gate stops such a run unless gate.unseen_label: warn"
            )


def _source_like(inferred: InferredTask) -> str | None:
    """A text, if all short ones begin and end like lists or objects of JSON or Python."""
    values = inferred.columns[inferred.text].counts
    if values and all((value[0], value[-1]) in (("[", "]"), ("{", "}")) for value in values):
        return next(iter(values))
    return None


def _labels_of(path: Path, inferred: InferredTask) -> set[str]:
    found: Counter[str] = Counter()
    try:
        for _, record in records(open_table(path), inferred.task_config):
            found.update(record.labels)
    except DataError:  # the run will report that file's error
        return set()
    return set(found)


def _long_text(inferred: InferredTask) -> tuple[int, int] | None:
    """The token count that 5% of the inputs exceed, if the default cuts them, and a length that cuts fewer."""
    texts = [inferred.columns[name].tokens for name in (inferred.text, inferred.text_pair) if name is not None]
    sums = sorted(map(sum, zip(*texts, strict=False)))
    tokens = sums[int(len(sums) * 0.95)] if sums else 0
    if tokens + 2 <= TokenizerConfig().max_length:
        return None
    return tokens, min(512, 64 * math.ceil((tokens + 2) / 64))
