"""Counts and latencies under TF Serving's names, as Prometheus reads them, mergeable across worker processes.

Sources: tensorflow_serving/util/prometheus_exporter.cc (the page), tensorflow_serving/servables/tensorflow/util.cc (the
metrics). `prometheus_client` is not used: its counters must end in `_total`, and TF Serving's do not.
"""

from __future__ import annotations

import itertools
import json
import re
from bisect import bisect_left
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

REQUEST_COUNT = "/tensorflow/serving/request_count"
REQUEST_LATENCY = "/tensorflow/serving/request_latency"
RUNTIME_LATENCY = "/tensorflow/serving/runtime_latency"
EXAMPLE_COUNT = "/tensorflow/serving/request_example_count_total"
VERSION_STATE = "/transom/serving/version_state"

OTHER = "(other)"
"""Stands for the models that are not configured, whose names are the clients' to choose, and for those after a metric's
`MAX_CELLS`th cell."""

MAX_CELLS = 1000

_MAX_NAME = 200  # characters of a model that is counted by its name

_RUNTIME = "TF1"  # what TF Serving calls a session


@dataclass(frozen=True)
class Kind:
    """A metric: its kind in Prometheus's words, the names of its labels, and the upper bounds of its buckets."""

    kind: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...] = ()


# Microseconds, 10 * 1.8^n: `Buckets::Exponential(10, 1.8, 33)`.
_LATENCY_BOUNDS = tuple(10 * 1.8**power for power in range(33))

KINDS: Mapping[str, Kind] = {
    REQUEST_COUNT: Kind("counter", ("model_name", "status")),
    REQUEST_LATENCY: Kind("histogram", ("model_name", "API", "entrypoint"), _LATENCY_BOUNDS),
    RUNTIME_LATENCY: Kind("histogram", ("model_name", "API", "runtime"), _LATENCY_BOUNDS),
    EXAMPLE_COUNT: Kind("counter", ("model",)),
    # Ours: the number of `ModelVersionStatus.State` (30 is AVAILABLE), one worker's where there are several.
    VERSION_STATE: Kind("gauge", ("model_name", "version")),
}


class Metrics:
    """The metrics of one process, or of several merged. Until it is told which models are `configured`, all are."""

    def __init__(self) -> None:
        self._models: frozenset[str] | None = None
        self._scalars: dict[str, dict[tuple[str, ...], int]] = {}
        self._histograms: dict[str, dict[tuple[str, ...], list[Any]]] = {}  # the buckets' counts, then the sum

    def configured(self, models: Iterable[str]) -> None:
        """Says which models are counted by name from now on, besides those that were so far. Once there are many, those
        that are no longer configured become one."""
        now = frozenset(one for one in models if len(one) <= _MAX_NAME)
        self._models = now.union(self._models or ())
        tables: list[dict[tuple[str, ...], Any]] = [*self._scalars.values(), *self._histograms.values()]
        if max(len(self._models), *map(len, tables), 0) >= MAX_CELLS // 2:
            self._models = now
            for cells in tables:
                _fold(cells, now)

    def count(self, name: str, labels: tuple[str, ...], by: int = 1) -> None:
        """Adds to a counter."""
        cells = self._scalars.setdefault(name, {})
        if labels not in cells:
            labels = _bounded(cells, labels)
        cells[labels] = cells.get(labels, 0) + by

    def observe(self, name: str, labels: tuple[str, ...], value: float) -> None:
        """Adds an observation to a histogram (latencies: microseconds)."""
        cells = self._histograms.setdefault(name, {})
        cell = cells.get(labels)
        bounds = KINDS[name].bounds
        if cell is None:
            cell = cells.setdefault(_bounded(cells, labels), [0] * (len(bounds) + 1) + [0.0])
        cell[bisect_left(bounds, value)] += 1
        cell[-1] += value

    def set_gauges(self, name: str, values: Mapping[tuple[str, ...], int]) -> None:
        """Replaces all cells of a gauge, of which `MAX_CELLS` are kept."""
        self._scalars[name] = dict(itertools.islice(values.items(), MAX_CELLS))

    def request(self, model: str, api: str, entrypoint: str, status: str, microseconds: float) -> None:
        """Counts a request, and its latency when it succeeded, as TF Serving does. No model at all is named ""."""
        if model and self._models is not None and model not in self._models:
            model = OTHER
        self.count(REQUEST_COUNT, (model, status))
        if status == "OK":
            self.observe(REQUEST_LATENCY, (model, api, entrypoint), microseconds)

    def run(self, model: str, seconds: float) -> None:
        """Takes in what one run of TensorFlow took. Which API asked is not told here, other than in TF Serving."""
        self.observe(RUNTIME_LATENCY, (model, "", _RUNTIME), seconds * 1e6)

    def dump(self) -> bytes:
        """JSON for `load`."""
        scalars = {name: [[*labels, value] for labels, value in cells.items()] for name, cells in self._scalars.items()}
        histograms = {name: [[labels, cell] for labels, cell in c.items()] for name, c in self._histograms.items()}
        return json.dumps([scalars, histograms]).encode()

    @classmethod
    def merged(cls, dumps: Iterable[bytes], *, gauges: bool = True) -> Metrics:
        """The sum of what processes dumped; of gauges, the greatest, or none."""
        whole = cls()
        for dump in dumps:
            scalars, histograms = json.loads(dump)
            for name, cells in scalars.items():
                if KINDS[name].kind == "gauge" and not gauges:
                    continue
                scalar = whole._scalars.setdefault(name, {})
                for *labels, value in cells:
                    old = scalar.get(tuple(labels), 0)
                    scalar[tuple(labels)] = max(old, value) if KINDS[name].kind == "gauge" else old + value
            for name, cells in histograms.items():
                histogram = whole._histograms.setdefault(name, {})
                for labels, cell in cells:
                    histogram[tuple(labels)] = _sum(histogram.get(tuple(labels), [0] * len(cell)), cell)
        return whole

    def page(self) -> str:
        """Prometheus's text."""
        lines: list[str] = []
        for name in sorted(self._scalars):
            lines.append(f"# TYPE {metric_name(name)} {KINDS[name].kind}")
            for labels, value in self._scalars[name].items():
                lines.append(f"{metric_name(name)}{{{_pairs(KINDS[name].labels, labels)}}} {value}")
        for name in sorted(self._histograms):
            lines.append(f"# TYPE {metric_name(name)} histogram")
            for labels, cell in self._histograms[name].items():
                lines += _histogram_lines(name, labels, cell)
        return "\n".join(lines) + "\n"


PROCESS = Metrics()
"""Those of this process: whatever serves counts here."""


def metric_name(name: str) -> str:
    """`/tensorflow/serving/request_count` as `:tensorflow:serving:request_count`."""
    mangled = re.sub(r"[^a-zA-Z0-9_]", ":", name)
    return f"_{mangled}" if mangled[:1].isdigit() else mangled


def _bounded(cells: Mapping[tuple[str, ...], Any], labels: tuple[str, ...]) -> tuple[str, ...]:
    return labels if len(cells) < MAX_CELLS else (OTHER, *labels[1:])


def _fold(cells: dict[tuple[str, ...], Any], models: Container[str]) -> None:
    """Makes one cell of those of other models, the first of the labels."""
    for labels in [labels for labels in cells if labels[0] not in models and labels[0] not in ("", OTHER)]:
        cell, other = cells.pop(labels), (OTHER, *labels[1:])
        if other in cells:
            cell = _sum(cells[other], cell) if isinstance(cell, list) else cells[other] + cell
        cells[other] = cell


def _sum(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [a + b for a, b in zip(one, other, strict=True)]


def _pairs(names: Sequence[str], values: Sequence[str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))


def _escaped(value: str) -> str:
    # TF Serving leaves the line break alone, and its page is broken by one in a name.
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _histogram_lines(name: str, labels: Sequence[str], cell: Sequence[Any]) -> Iterable[str]:
    pairs, total = _pairs(KINDS[name].labels, labels), 0
    for bound, count in zip([*(f"{b:g}" for b in KINDS[name].bounds), "+Inf"], cell[:-1], strict=True):
        total += count
        yield f'{metric_name(name)}_bucket{{{pairs},le="{bound}"}} {total}'
    yield f"{metric_name(name)}_sum{{{pairs}}} {cell[-1]:g}"
    yield f"{metric_name(name)}_count{{{pairs}}} {total}"
