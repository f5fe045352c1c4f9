"""Plots as SVG for the report's page, drawn with matplotlib.

They take their colours from the page (CSS variables), so that they are right in light and dark and in print, and their
text stays text. No text of the user's is drawn: a plot knows numbers and the words of this file's callers.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Matplotlib gets colours that nothing else uses; the page's variables take their places in the SVG.
_INK, _MUTED, _GRID = "#010101", "#010102", "#010103"
_SERIES = ("#010111", "#010112", "#010113", "#010114")
_VARIABLES = {_INK: "--ink", _MUTED: "--muted", _GRID: "--line"} | {
    color: f"--series-{number}" for number, color in enumerate(_SERIES, start=1)
}
_LINES = ("-", "--", ":", "-.")
"""A series is told by its line, too, not only by its colour."""
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "transom",
    "text.parse_math": False,
    "font.size": 10,
    "axes.edgecolor": _MUTED,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "text.color": _INK,
    "legend.frameon": False,
    "figure.dpi": 72,
}
_SIZE = (5.6, 3.0)


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float | None]]],
    x_label: str,
    y_label: str,
    *,
    points: bool = False,
    mark: float | None = None,
    percent: bool = False,
    square: bool = False,
) -> str:
    """Lines by name, each with its values of x and y; a y of None interrupts the line.

    Args:
        points: whether to mark the single values.
        mark: a value of x at which to draw a vertical line.
        percent: whether both axes go from 0 to 1.
        square: whether to draw the diagonal, on which x and y are equal.
    """
    from matplotlib.ticker import MaxNLocator

    with _style():
        figure, axes = _axes(x_label, y_label, (3.6, 3.4) if square else _SIZE)
        if square:
            axes.plot([0, 1], [0, 1], color=_MUTED, linewidth=1, linestyle=":")
        for number, (name, (x, y)) in enumerate(series.items()):
            axes.plot(
                list(x),
                [float("nan") if value is None else value for value in y],
                color=_SERIES[number % len(_SERIES)],
                linestyle=_LINES[number % len(_LINES)],
                linewidth=1.8,
                marker="o" if points else None,
                markersize=4,
                label=name,
            )
        if points and not square:  # epochs
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if mark is not None:
            axes.axvline(mark, color=_MUTED, linewidth=1.2)
        if percent:
            axes.set_xlim(0, 1)
            axes.set_ylim(0, 1.02)
        if len(series) > 1:
            axes.legend(loc="best")
        return _svg(figure)


def histogram(
    edges: Sequence[float],
    counts: Mapping[str, Sequence[float]],
    x_label: str,
    y_label: str,
    *,
    logarithmic: bool = False,
) -> str:
    """Steps of counts by name over the same bins: N + 1 edges, N counts."""
    with _style():
        figure, axes = _axes(x_label, y_label, _SIZE)
        for number, (name, values) in enumerate(counts.items()):
            color = _SERIES[number % len(_SERIES)]
            line = _LINES[number % len(_LINES)]
            axes.stairs(list(values), list(edges), color=color, linestyle=line, linewidth=1.8, label=name)
            if not number:
                axes.stairs(list(values), list(edges), fill=True, color=color, alpha=0.18)
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.xaxis.set_minor_formatter(lambda *_: "")
        axes.set_ylim(bottom=0)
        if len(counts) > 1:
            axes.legend(loc="best")
        return _svg(figure)


def points(pairs: Sequence[tuple[float, float]], x_label: str, y_label: str) -> str:
    """Points, and the diagonal on which x and y are equal."""
    with _style():
        figure, axes = _axes(x_label, y_label, (3.6, 3.4))
        x, y = [list(values) for values in zip(*pairs, strict=True)] if pairs else [[], []]
        if pairs:
            ends = [min(*x, *y), max(*x, *y)]
            axes.plot(ends, ends, color=_MUTED, linewidth=1, linestyle=":")
        axes.scatter(x, y, s=9, color=_SERIES[0], alpha=0.5, linewidths=0)
        return _svg(figure)


def _style() -> AbstractContextManager[None]:
    import matplotlib as mpl  # takes longer than the rest of a page without plots

    return mpl.rc_context(_STYLE)


def _axes(x_label: str, y_label: str, size: tuple[float, float]) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return figure, axes


def _svg(figure: Figure) -> str:
    """The figure as an SVG element that scales to its place."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    stream = io.StringIO()
    FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*"', r"\1", text, count=1)
    # What matplotlib names its groups, and its style sheet, would be in the page more than once.
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;\"]*", "font-family: var(--font)", text)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    return text.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1)
