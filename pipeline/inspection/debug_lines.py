"""What a debug run prints: its steps, and the rows of the batch that stopped it. Standard library only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.terminal.columns import aligned

if TYPE_CHECKING:
    from models.training.inspection.debug_training import DebugStep

_MOST_ROWS = 32
_WIDEST_PATH, _WIDEST_TEXT, _WIDEST_LABEL = 25, 44, 16


def step_lines(steps: Sequence[DebugStep]) -> Iterator[str]:
    """A line for each step below one of titles; nothing without steps."""
    if not steps:
        return
    titles = ("step", "loss", "gradient", "weight", "output", "seconds", "of layer")
    yield "all numbers of these steps are finite; weight, output: the largest"
    yield from aligned(
        [
            titles,
            *(
                (
                    str(each.step),
                    f"{each.loss:.4g}",
                    f"{each.gradient_norm:.3g}",
                    f"{each.largest_weight:.3g}",
                    f"{each.largest_output:.3g}",
                    f"{each.seconds:.2f}",
                    _end(each.largest_output_of, _WIDEST_PATH),
                )
                for each in steps
            ),
        ]
    )


def row_lines(stopped: Mapping[str, Any]) -> Iterator[str]:
    """The rows of a batch, those first that have what is not finite, which are marked unless all have.

    Args:
        stopped: of a run's record: `debug.stopped`.
    """
    rows = sorted(stopped["rows"], key=lambda row: not row["not_finite"])
    if not rows:
        return
    tells = 0 < sum(row["not_finite"] for row in rows) < len(rows)
    yield f"the batch's {len(rows)} rows" + (" (>: what is not finite is of this row)" if tells else "")
    for row in rows[:_MOST_ROWS]:
        mark = ">" if row["not_finite"] and tells else " "
        yield f"{mark} {_label(row['label'])}: {_text(row)}{_place(row['places'])}"
    if len(rows) > _MOST_ROWS:
        yield f"  and {len(rows) - _MOST_ROWS} more: debug.stopped.rows in run.json"


def _label(label: Any) -> str:
    text = ", ".join(label) if isinstance(label, list) else f"{label:g}" if isinstance(label, float) else str(label)
    safe = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
    return _begin(safe, _WIDEST_LABEL) or "no label"


def _text(row: Mapping[str, Any]) -> str:
    texts = [row["text"]] if row["text_pair"] is None else [row["text"], row["text_pair"]]
    return " | ".join(f'"{_begin(text, _WIDEST_TEXT // len(texts))}"' for text in texts)


def _place(places: Sequence[Mapping[str, Any]]) -> str:
    if not places:
        return ""
    first = places[0]
    where = f"line {first['line']}" if first["line"] is not None else f"row {first['row']}"
    return f"  {Path(first['file']).name}, {where}"


def _begin(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _end(text: str, most: int) -> str:
    return text if len(text) <= most else "…" + text[1 - most :]
