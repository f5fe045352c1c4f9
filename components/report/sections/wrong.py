"""The rows that are wrong, and the labels that may be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.report.blocks import Block, Details, Paragraph, RowCard, Token
from components.report.page_facts import RunFacts
from components.report.wording import count, cut, number, percent

SHOWN_CHARACTERS = 1200
_OPEN, _MOST_SUSPECTS = 8, 30
_REMARKS = {
    "label": "The label may be wrong: the models agree on another.",
    "model": "The model is at fault: a linear model of words gets this row right.",
    "hard": "Hard: the linear model is wrong, too.",
}
_SOURCES = {"live": "the live model's answer", "linear": "the linear model's answer"}


def wrong_blocks(facts: RunFacts) -> Iterator[Block]:
    """The surest mistakes, then likely label errors of all splits."""
    wrong = facts.rows.get("wrong", {})
    if not facts.rows:
        yield Paragraph("The run stopped before the rows were predicted.", "note")
        return
    yield from _summary(facts, wrong)
    cards = [_card(row, facts.task) for row in wrong.get("listed", [])]
    yield from cards[:_OPEN]
    if len(cards) > _OPEN:
        yield Details(f"{count(len(cards) - _OPEN, 'more row')}", cards[_OPEN:])
    if any(row.get("tokens") for row in wrong.get("listed", [])):
        yield Paragraph(
            "Marked words: underlined ones speak for the model's answer, dotted ones against it (integrated "
            "gradients; the stronger the colour, the more)."
        )
    yield from _suspects(facts)


def _summary(facts: RunFacts, wrong: Mapping[str, Any]) -> Iterator[Block]:
    outcomes = facts.rows.get("outcomes", {})
    if "wrong" not in outcomes:
        yield Paragraph("The rows whose predictions are farthest off:")
        return
    total = outcomes["right"] + outcomes["wrong"]
    share = percent(outcomes["wrong"] / total) if total else percent(None)
    yield Paragraph(f"{outcomes['wrong']:,} of {count(total, 'row')} are wrong ({share}).")
    faults = wrong.get("faults", {})
    if faults:
        parts = {
            "label": "where the label may be at fault",
            "model": "that a linear model gets right: the model is at fault",
            "hard": "that the linear model gets wrong, too, or for which there is none",
        }
        words = "; ".join(f"{faults[name]:,} {meaning}" for name, meaning in parts.items() if faults.get(name))
        yield Paragraph(f"Of these: {words}. The surest mistakes come first; `transom errors` lists all.")


def _card(row: Mapping[str, Any], task: str) -> RowCard:
    texts = [cut(text, SHOWN_CHARACTERS) for text in (row["text"], row.get("text_pair")) if text is not None]
    facts = [(cut(name, 40), cut(value, 200)) for name, value in row.get("columns", {}).items()]
    if task == "regression":
        return RowCard(_heading(row), texts, number(row["number"]), number(row["predicted"]), facts)
    scores = ", ".join(f"{cut(label, 60)} {score:.3f}" for label, score in row["scores"].items())
    others = [(_SOURCES[name], _labels(labels)) for name, labels in row.get("others", {}).items() if name in _SOURCES]
    remark = _REMARKS.get(row["fault"], "")
    if row["fault"] == "label" and row.get("suggested"):
        remark = f"The label may be wrong: the models agree on {_labels(row['suggested'])}."
    return RowCard(
        _heading(row),
        texts,
        _labels(row["given"]),
        _labels(row["answer"]),
        [("scores", scores), *others, *facts],
        remark,
        [[Token(text, weight) for text, weight in part] for part in row.get("tokens", [])],
    )


def _heading(row: Mapping[str, Any]) -> str:
    """Where the row is in the user's files, if that is known; else its number in the evaluated split."""
    places = _places(row)
    return "; ".join(places[:2]) if places else f"Row {row['row'] + 1:,} of the split"


def _places(row: Mapping[str, Any]) -> list[str]:
    found = row.get("places", [])
    return [f"{one['file']}, {_place(one)}" for one in found[:3]]


def _place(place: Mapping[str, Any]) -> str:
    return f"line {place['line']:,}" if place.get("line") else f"row {place['row']:,}"


def _labels(labels: Sequence[str]) -> str:
    return ", ".join(cut(label, 80) for label in labels[:10]) or "none"


def _suspects(facts: RunFacts) -> Iterator[Block]:
    found = facts.evaluation.get("label_errors", {})
    counts = {split: rows for split, rows in found.get("found", {}).items() if rows}
    if not counts:
        if "found" in found:
            yield Paragraph("No label of any split looks wrong to both the linear model and this one.", "good")
        return
    where = ", ".join(f"{rows:,} in {split}" for split, rows in counts.items())
    yield Paragraph(
        f"Labels that may be wrong, in all splits ({where}): a model that did not learn the row finds its label very "
        "unlikely (confident learning)."
    )
    cards = [_suspect(row) for row in found.get("rows", [])[:_MOST_SUSPECTS]]
    yield Details(f"{count(len(cards), 'row')}, the least likely labels first", cards)


def _suspect(row: Mapping[str, Any]) -> RowCard:
    texts = [cut(text, SHOWN_CHARACTERS) for text in (row["text"], row.get("text_pair")) if text is not None]
    facts = [
        ("probability of its label", f"{row['probability']:.3f}, usually {row['usual']:.3f}"),
        *(("where", place) for place in _places(row)),
    ]
    return RowCard(f"In {row['split']}", texts, _labels(row["given"]), _labels(row["suggested"]), facts)
