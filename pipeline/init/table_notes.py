"""What a person should know of a table before a run: as notes in the transom.yaml that `transom init` writes."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from components.data.formats.files import abbreviate
from components.data.formats.readers import open_table
from components.data.rows import records
from models.config import TaskConfig, TokenizerConfig
from models.errors import DataError, TransomError
from models.label_names import spelling_key
from pipeline.init.column_facts import NOTHING
from pipeline.init.task_inference import InferredTask

# Characters of what a run would say that are worth repeating.
_LONGEST_NOTE = 240
_FRACTION = re.compile(r"\d+ ?/ ?\d+")
# A label with so many times the rows of another is an imbalance.
_IMBALANCE = 10


def notes(seen: InferredTask, splits: dict[str, Path], refusal: TransomError | None) -> str:
    """The notes, as YAML comments; "" where there are none.

    Args:
        splits: the files found beside the table.
        refusal: what a run would refuse of the data.
    """
    lines = list(_suggestions(seen, splits))
    if refusal is not None:
        lines.insert(0, f"`transom run` will refuse these data until they are corrected: {one_line(refusal)}")
    if not lines:
        return ""
    return "\n".join(["# Worth a look:", *(f"# - {line}" for line in lines), ""])


def one_line(error: TransomError) -> str:
    """An error as it may stand in a comment."""
    got, fix = " ".join(error.got.split()), f"; to fix: {error.fix}" if error.fix else ""
    return f"{error.what}: {got[:_LONGEST_NOTE]}{'…' if len(got) > _LONGEST_NOTE else ''}{fix}"


def shown(name: str, longest: int = 40) -> str:
    """A name as it may stand in a comment: on one line, and not too long."""
    line = " ".join(name.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _suggestions(seen: InferredTask, splits: dict[str, Path]) -> Iterator[str]:
    if seen.table.above:
        yield shown(seen.table.above, 200)
    for name, why in seen.table.left_out.items():
        if name:
            yield f"column {shown(name)!r} {why} and is left out"
    if (source := _source_like(seen)) is not None:
        yield (
            f"the texts look like the source of lists or objects, for example {shown(source)!r}: the model learns "
            "from them as they are, brackets included, and has to be asked the same way"
        )
    yield from _of_labels(seen)
    yield from _of_splits(seen, splits)
    longest = _long_text(seen)
    if longest is not None:
        yield f"one text in twenty has over {longest[0]:,} tokens or so: tokenizer.max_length: {longest[1]} cuts fewer"


def _of_labels(seen: InferredTask) -> Iterator[str]:
    column = seen.columns[seen.label]
    missing = seen.rows - column.rows
    if missing and seen.task != "multi_label":
        yield f"{missing:,} of {seen.rows:,} rows have no label; the run will refuse them"
    nothing = [value for value in column.counts if value.casefold() in NOTHING]
    if nothing and seen.task != "regression":
        named = abbreviate([repr(value) for value in nothing])
        yield f"{named} is taken for a label; delete these rows if it means that there is none"
    fractions = [label for label in seen.labels if _FRACTION.fullmatch(label)]
    if seen.task == "single_label" and len(fractions) > len(seen.labels) / 2:
        yield f"labels such as {fractions[0]!r} are taken for names of classes; for numbers write 4 or 0.8, not 4/5"
    alike = Counter(spelling_key(label) for label in seen.labels)
    odd = [label for label in seen.labels if alike[spelling_key(label)] > 1]
    if odd:
        shown_labels = abbreviate([shown(repr(one)) for one in odd])
        yield f"labels that differ in spelling alone are different labels: {shown_labels}"
    counts = [count for _, count in seen.labels.most_common()]
    if seen.task == "single_label" and len(counts) > 1 and counts[0] >= _IMBALANCE * counts[-1]:
        yield (
            f"the largest label has {counts[0] / counts[-1]:.0f} times the rows of the smallest: "
            "train.class_weights: balanced gives every label the same weight"
        )


def _of_splits(seen: InferredTask, splits: dict[str, Path]) -> Iterator[str]:
    for split, path in splits.items():
        unseen = _labels_of(path, seen) - set(seen.labels)
        if unseen and seen.all_rows and seen.task != "regression":
            yield (
                f"{split} has labels that train lacks ({abbreviate([shown(name) for name in sorted(unseen)])}); "
                "the data gate stops such a run unless gate.unseen_label: warn"
            )


def _source_like(seen: InferredTask) -> str | None:
    """A text, where all that are short enough to be counted begin and end as JSON's or Python's lists and objects."""
    values = seen.columns[seen.text].counts
    if values and all((value[0], value[-1]) in (("[", "]"), ("{", "}")) for value in values):
        return next(iter(values))
    return None


def _labels_of(path: Path, seen: InferredTask) -> set[str]:
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


def _long_text(seen: InferredTask) -> tuple[int, int] | None:
    """Tokens of the longest twentieth of the inputs, where the default cuts them, and a length that does not."""
    texts = [seen.columns[name].tokens for name in (seen.text, seen.text_pair) if name is not None]
    sums = sorted(map(sum, zip(*texts, strict=False)))
    tokens = sums[int(len(sums) * 0.95)] if sums else 0
    if tokens + 2 <= TokenizerConfig().max_length:
        return None
    return tokens, min(512, 64 * math.ceil((tokens + 2) / 64))
