"""Wrong rows for the terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from typing import TextIO

from components.predictions.stored_predictions import StoredPredictions
from components.report.wording import in_one_line, visible
from pipeline.reports.error_rows import ErrorRow
from pipeline.terminal.wrapping import wrapped_for

_NAMES = {"live": "live model", "linear": "linear model"}
_MOST_LINES, _WIDEST, _MOST_SCORES = 4, 110, 3


def print_errors(
    rows: Sequence[ErrorRow], number: int, predictions: StoredPredictions, run: str, stream: TextIO
) -> None:
    """Prints some of a run's wrong rows.

    Args:
        rows: those to print.
        number: of all that are wrong.
    """
    facts = predictions.facts
    of = f"{predictions.rows:,} {facts.split} rows"
    if facts.task == "regression":
        print(f"run {run}: {of}, the largest errors first", file=stream)
    else:
        print(f"run {run}: {number:,} of {of} wrong, the surest mistakes first", file=stream)
    width = max(20, min(shutil.get_terminal_size().columns, _WIDEST))
    for row in rows:
        print(file=stream)
        print(f"row {row.row:,}: {_answer(row)}", file=stream)
        for text in (row.text, row.text_pair):
            if text is not None:
                print(_wrapped(text, width), file=stream)
        remarks = [f"{_NAMES.get(name, name)}: {_text(value)}" for name, value in row.others.items()]
        remarks += [f"{visible(name)}: {visible(value)[:60]}" for name, value in list(row.columns.items())[:4]]
        if remarks:
            print(wrapped_for(stream, f"    {'; '.join(remarks)}"), file=stream)
    if facts.task != "regression" and number > len(rows):
        print(f"\nand {number - len(rows):,} more: `transom errors --csv` prints all", file=stream)


def _answer(row: ErrorRow) -> str:
    if isinstance(row.given, float):
        return f"{row.given:g}, predicted {_text(row.answer)}"
    best = sorted(row.scores.items(), key=lambda item: -item[1])[:_MOST_SCORES]
    scores = ", ".join(f"{visible(label)} {score:.3f}" for label, score in best)
    return f"{_text(row.given)}, but the model says {_text(row.answer)} ({scores})"


def _text(value: Sequence[str] | float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else visible(", ".join(value)) or "none"


def _wrapped(text: str, width: int) -> str:
    """The text on a few lines, without what would change the terminal."""
    line = in_one_line(text[: width * _MOST_LINES])
    return "\n".join(textwrap.wrap(line, width - 4, initial_indent="    ", subsequent_indent="    ")[:_MOST_LINES])
