"""Counters and latencies under TF Serving's names, in Prometheus's format, mergeable across worker processes.

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

OTHER_MODELS = "(other)"
"""Replaces the names of models that are not configured, which clients choose freely, and of those beyond a metric's
`MAX_CELLS`th cell."""

MAX_CELLS = 1000

_MAX_NAME = 200  # characters; models with longer names count as `OTHER_MODELS`

_RUNTIME = "TF1"  # TF Serving's name for a session


@dataclass(frozen=True)
class MetricKind:
    """Prometheus's kind of a metric, its label names, and the upper bounds of its buckets."""

    kind: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...] = ()


# Microseconds, 10 * 1.8^n: `Buckets::Exponential(10, 1.8, 33)`.
_LATENCY_BOUNDS = tuple(10 * 1.8**power for power in range(33))

METRIC_KINDS: Mapping[str, MetricKind] = {
    REQUEST_COUNT: MetricKind("counter", ("model_name", "status")),
    REQUEST_LATENCY: MetricKind("histogram", ("model_name", "API", "entrypoint"), _LATENCY_BOUNDS),
    RUNTIME_LATENCY: MetricKind("histogram", ("model_name", "API", "runtime"), _LATENCY_BOUNDS),
    EXAMPLE_COUNT: MetricKind("counter", ("model",)),
    # Transom's own: the number of a `ModelVersionStatus.State` (30 is AVAILABLE); the greatest of all workers.
    VERSION_STATE: MetricKind("gauge", ("model_name", "version")),
}


class Metrics:
    """The metrics of one process, or of several merged. Before `set_models`, every model is counted by name."""

    def __init__(self) -> None:
        self._models: frozenset[str] | None = None
        self._scalars: dict[str, dict[tuple[str, ...], int]] = {}
        self._histograms: dict[str, dict[tuple[str, ...], list[Any]]] = {}  # the buckets' counts, then the sum

    def set_models(self, models: Iterable[str]) -> None:
        """Counts these models by name from now on, in addition to the earlier ones. Once there are many, those that are
        no longer configured are merged into `OTHER_MODELS`."""
        current = frozenset(name for name in models if len(name) <= _MAX_NAME)
        self._models = current.union(self._models or ())
        tables: list[dict[tuple[str, ...], Any]] = [*self._scalars.values(), *self._histograms.values()]
        if max(len(self._models), *map(len, tables), 0) >= MAX_CELLS // 2:
            self._models = current
            for cells in tables:
                _merge_other_models(cells, current)

    def count(self, name: str, labels: tuple[str, ...], by: int = 1) -> None:
        """Adds to a counter."""
        cells = self._scalars.setdefault(name, {})
        if labels not in cells:
            labels = _bounded_labels(cells, labels)
        cells[labels] = cells.get(labels, 0) + by

    def observe(self, name: str, labels: tuple[str, ...], value: float) -> None:
        """Adds an observation to a histogram (latencies: microseconds)."""
        cells = self._histograms.setdefault(name, {})
        cell = cells.get(labels)
        bounds = METRIC_KINDS[name].bounds
        if cell is None:
            cell = cells.setdefault(_bounded_labels(cells, labels), [0] * (len(bounds) + 1) + [0.0])
        cell[bisect_left(bounds, value)] += 1
        cell[-1] += value

    def set_gauges(self, name: str, values: Mapping[tuple[str, ...], int]) -> None:
        """Replaces all cells of a gauge; only `MAX_CELLS` are kept."""
        self._scalars[name] = dict(itertools.islice(values.items(), MAX_CELLS))

    def count_request(self, model: str, api: str, entrypoint: str, status: str, microseconds: float) -> None:
        """Counts a request, and its latency if it succeeded, as TF Serving does. `model` is "" where there is none."""
        if model and self._models is not None and model not in self._models:
            model = OTHER_MODELS
        self.count(REQUEST_COUNT, (model, status))
        if status == "OK":
            self.observe(REQUEST_LATENCY, (model, api, entrypoint), microseconds)

    def observe_run(self, model: str, seconds: float) -> None:
        """Records the duration of one run of TensorFlow. Unlike in TF Serving, the API label is empty."""
        self.observe(RUNTIME_LATENCY, (model, "", _RUNTIME), seconds * 1e6)

    def dump(self) -> bytes:
        """JSON for `merged`."""
        scalars = {name: [[*labels, value] for labels, value in cells.items()] for name, cells in self._scalars.items()}
        histograms = {name: [[labels, cell] for labels, cell in c.items()] for name, c in self._histograms.items()}
        return json.dumps([scalars, histograms]).encode()

    @classmethod
    def merged(cls, dumps: Iterable[bytes], *, gauges: bool = True) -> Metrics:
        """The sum of several dumps; of gauges the greatest value, or none."""
        whole = cls()
        for dump in dumps:
            scalars, histograms = json.loads(dump)
            for name, cells in scalars.items():
                if METRIC_KINDS[name].kind == "gauge" and not gauges:
                    continue
                scalar = whole._scalars.setdefault(name, {})
                for *labels, value in cells:
                    old = scalar.get(tuple(labels), 0)
                    scalar[tuple(labels)] = max(old, value) if METRIC_KINDS[name].kind == "gauge" else old + value
            for name, cells in histograms.items():
                histogram = whole._histograms.setdefault(name, {})
                for labels, cell in cells:
                    histogram[tuple(labels)] = _sum(histogram.get(tuple(labels), [0] * len(cell)), cell)
        return whole

    def page(self) -> str:
        """The page in Prometheus's text format."""
        lines: list[str] = []
        for name in sorted(self._scalars):
            lines.append(f"# TYPE {metric_name(name)} {METRIC_KINDS[name].kind}")
            for labels, value in self._scalars[name].items():
                lines.append(f"{metric_name(name)}{{{_pairs(METRIC_KINDS[name].labels, labels)}}} {value}")
        for name in sorted(self._histograms):
            lines.append(f"# TYPE {metric_name(name)} histogram")
            for labels, cell in self._histograms[name].items():
                lines += _histogram_lines(name, labels, cell)
        return "\n".join(lines) + "\n"


PROCESS_METRICS = Metrics()
"""The metrics of this process."""


def metric_name(name: str) -> str:
    """`/tensorflow/serving/request_count` as `:tensorflow:serving:request_count`."""
    mangled = re.sub(r"[^a-zA-Z0-9_]", ":", name)
    return f"_{mangled}" if mangled[:1].isdigit() else mangled


def _bounded_labels(cells: Mapping[tuple[str, ...], Any], labels: tuple[str, ...]) -> tuple[str, ...]:
    return labels if len(cells) < MAX_CELLS else (OTHER_MODELS, *labels[1:])


def _merge_other_models(cells: dict[tuple[str, ...], Any], models: Container[str]) -> None:
    """Merges the cells of models that are not in `models` (the first label) into one."""
    for labels in [labels for labels in cells if labels[0] not in models and labels[0] not in ("", OTHER_MODELS)]:
        cell, other = cells.pop(labels), (OTHER_MODELS, *labels[1:])
        if other in cells:
            cell = _sum(cells[other], cell) if isinstance(cell, list) else cells[other] + cell
        cells[other] = cell


def _sum(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [a + b for a, b in zip(one, other, strict=True)]


def _pairs(names: Sequence[str], values: Sequence[str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))


def _escaped(value: str) -> str:
    # TF Serving does not escape line breaks, so one in a name breaks its page.
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _histogram_lines(name: str, labels: Sequence[str], cell: Sequence[Any]) -> Iterable[str]:
    pairs, total = _pairs(METRIC_KINDS[name].labels, labels), 0
    for bound, count in zip([*(f"{b:g}" for b in METRIC_KINDS[name].bounds), "+Inf"], cell[:-1], strict=True):
        total += count
        yield f'{metric_name(name)}_bucket{{{pairs},le="{bound}"}} {total}'
    yield f"{metric_name(name)}_sum{{{pairs}}} {cell[-1]:g}"
    yield f"{metric_name(name)}_count{{{pairs}}} {total}"
