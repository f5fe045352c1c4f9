"""Which labels are confused: each label's metrics, the confusion matrix, the pairs that are confused most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.report.blocks import Block, Cell, Paragraph, Table
from components.report.page_facts import RunFacts
from components.report.wording import ABSENT, count, cut, number, percent

MOST_LABELS = 24
"""With more, the matrix is left out, and only the worst labels are listed."""
_SHOWN = 60


def labels_blocks(facts: RunFacts) -> Iterator[Block]:
    """Labels, the worst first, and what is taken for what."""
    evaluation = facts.evaluation
    if not evaluation:
        yield Paragraph("The run stopped before the model was measured.", "note")
        return
    if not evaluation.get("per_label"):
        yield Paragraph("The task is a regression: there are no labels.", "note")
        return
    yield from _confused(facts.rows.get("wrong", {}).get("confused", []), facts)
    yield from _matrix(evaluation)
    yield from _per_label(evaluation)


def _confused(pairs: Sequence[Sequence[Any]], facts: RunFacts) -> Iterator[Block]:
    wrong = facts.rows.get("outcomes", {}).get("wrong", 0)
    if not wrong and facts.rows:
        yield Paragraph("None: the model gets every row right.", "good")
    if not pairs or not wrong:
        return
    given, answer, rows = pairs[0]
    yield Paragraph(
        f"Most often “{cut(given, _SHOWN)}” is taken for “{cut(answer, _SHOWN)}”: {count(rows, 'row')} of the "
        f"{wrong:,} that are wrong."
    )
    if len(pairs) > 2:
        most = max(rows for *_, rows in pairs)
        yield Table(
            "What is taken for what",
            ["label in the table", "the model's answer", "rows"],
            [[cut(one, _SHOWN), cut(other, _SHOWN), Cell(f"{rows:,}", rows / most)] for one, other, rows in pairs],
            numeric=False,
        )


def _matrix(evaluation: Mapping[str, Any]) -> Iterator[Block]:
    """Shares of each row's label; for several labels per row, a line for each label."""
    confusion = evaluation.get("confusion")
    if not confusion:
        return
    if "labels" in confusion:
        yield from _yes_no(confusion)
        return
    answers, predictions, counts = confusion["answers"], confusion["predictions"], confusion["counts"]
    kept = [(label, row) for label, row in zip(answers, counts, strict=True) if label in predictions or any(row)]
    if len(predictions) > MOST_LABELS:
        core = f"The confusion matrix of {len(predictions):,} labels is in run.json; above is its core."
        yield Paragraph(core, for_owner=True)
        return
    rows: list[list[Cell | str]] = []
    for label, row in kept:
        total = sum(row)
        cells: list[Cell | str] = [cut(label, _SHOWN)]
        for rows_there in row:
            share = rows_there / total if total else 0.0
            words = f"{rows_there:,} ({percent(share)})" if total else "0"
            cells.append(Cell(words, share, "heat"))
        rows.append(cells)
    headings = ["label in the table", *(cut(label, _SHOWN) for label in predictions)]
    yield Table("Confusion matrix: the columns are the model's answers; shares of the row", headings, rows)


def _yes_no(confusion: Mapping[str, Any]) -> Iterator[Block]:
    rows: list[list[Cell | str]] = []
    for label, counts in list(zip(confusion["labels"], confusion["counts"], strict=True))[:200]:
        (true_no, false_yes), (false_no, true_yes) = counts
        rows.append([cut(label, _SHOWN), f"{true_yes:,}", f"{false_no:,}", f"{false_yes:,}", f"{true_no:,}"])
    rows.sort(key=lambda row: -int(str(row[2]).replace(",", "")) - int(str(row[3]).replace(",", "")))
    headings = ["label", "found", "missed", "wrongly given", "rightly not given"]
    yield Table("Rows by label, the most mistakes first", headings, rows[:MOST_LABELS])


def _per_label(evaluation: Mapping[str, Any]) -> Iterator[Block]:
    labels = evaluation["per_label"]
    rows_of = {
        part["value"]: part["rows"]
        for part in (*evaluation.get("slices", []), *evaluation.get("small_slices", []))
        if part.get("column") == "label"
    }
    ordered = sorted(labels, key=lambda label: (_f1(labels[label]), label))
    families = [name for name in ("precision", "recall", "f1", "average_precision") if _has(labels, name)]
    rows: list[list[Cell | str]] = []
    for label in ordered[:MOST_LABELS]:
        found = labels[label]
        cells: list[Cell | str] = [cut(label, _SHOWN), f"{rows_of[label]:,}" if label in rows_of else ABSENT]
        for family in families:
            value = found.get(family)
            cells.append(Cell(number(value), value if family == "f1" else None))
        rows.append(cells)
    yield Table("Labels, the worst first", ["label", "rows", *(name.replace("_", " ") for name in families)], rows)
    never = [label for label, found in labels.items() if found and found.get("precision") is None]
    if never:
        shown = ", ".join(f"“{cut(label, _SHOWN)}”" for label in never[:10])
        yield Paragraph(f"Never predicted: {count(len(never), 'label')}, such as {shown}.", "bad")
    if len(labels) > MOST_LABELS:
        rest = f"and {count(len(labels) - MOST_LABELS, 'better label')}: see `per_label` in run.json"
        yield Paragraph(rest, for_owner=True)


def _f1(found: Mapping[str, float | None]) -> float:
    value = found.get("f1")
    return 2.0 if value is None and not found else value or 0.0


def _has(labels: Mapping[str, Mapping[str, Any]], family: str) -> bool:
    return any(family in found for found in labels.values())
