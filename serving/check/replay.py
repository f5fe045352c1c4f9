"""Replays real rows against a server over every protocol and method, and compares the predictions with Keras's."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from serving.check.local_server import LocalServer
from serving.client import Client, ClientError, Prediction

_LISTED = 5
_SHOWN = 60


@dataclass(frozen=True)
class ReplayRow:
    """A row to send.

    Attributes:
        text, text_pair: the texts; `text_pair` is None for a model of single texts.
        features: the same, by the table's column names.
        serialized: the row as a tf.Example, including other columns.
    """

    text: str
    text_pair: str | None
    features: Mapping[str, str]
    serialized: bytes


@dataclass(frozen=True)
class RowPrediction:
    """The expected or received prediction for a row.

    Attributes:
        score: see the signature `serving_default`.
        label: None for a regression.
        probabilities: label to probability; empty for a regression.
        sure: whether no difference within the tolerance can change the label.
    """

    score: float
    label: str | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    sure: bool = True


@dataclass
class Replay:
    """The results of a replay.

    Attributes:
        requests: number of requests.
        failures: descriptions of the first few failures.
        failed: number of failures.
        largest_difference: between any score or probability and Keras's.
        latencies: seconds of each request with one text over gRPC, including the client's time.
    """

    requests: int = 0
    failures: list[str] = field(default_factory=list)
    failed: int = 0
    largest_difference: float = 0.0
    latencies: list[float] = field(default_factory=list)

    def fail(self, sentence: str) -> None:
        """Counts a failure and keeps the first few descriptions."""
        self.failed += 1
        if len(self.failures) < _LISTED:
            self.failures.append(sentence)

    def latency_ms(self, percentile: float) -> float:
        """A percentile of the latencies, in milliseconds; NaN if there are none."""
        return float(np.percentile(self.latencies, percentile)) * 1e3 if self.latencies else float("nan")


Query = Callable[[Client, ReplayRow], RowPrediction]
T = TypeVar("T")


def replay(
    server: LocalServer, rows: Sequence[ReplayRow], expected: Sequence[RowPrediction], tolerance: float
) -> Replay:
    """Sends all rows in batches, then each row alone, over gRPC and REST, as strings, as tf.Examples and to Classify or
    Regress.

    Args:
        server: the server to query.
        rows, expected: one prediction for each row.
        tolerance: maximum difference of a score or probability.
    """
    result = Replay()
    regression = all(right.label is None for right in expected)
    ways: dict[str, Query] = {"predict": _predict, "tf_example": _tf_example}
    ways |= {"regress": _regress} if regression else {"classify": _classify}
    for protocol, url in (("gRPC", server.grpc), ("REST", server.rest)):
        with Client(url, server.model, retries=0) as client:
            # First, so that no latency below includes connecting.
            _batches(result, protocol, client, rows, expected, tolerance)
            for name, query in ways.items():
                for number, (row, right) in enumerate(zip(rows, expected, strict=True), start=1):
                    where = f"{protocol} {name} of row {number} ({_shorten(row.text)})"
                    began = time.perf_counter()
                    received = _attempt(result, where, functools.partial(query, client, row))
                    if (protocol, name) == ("gRPC", "predict"):
                        result.latencies.append(time.perf_counter() - began)
                    if received is not None:
                        _compare(result, where, received, right, tolerance)
    return result


def _batches(
    result: Replay,
    protocol: str,
    client: Client,
    rows: Sequence[ReplayRow],
    expected: Sequence[RowPrediction],
    tolerance: float,
) -> None:
    """Sends all texts as the client batches a long list; padding must not change the predictions."""
    texts = [row.text for row in rows]
    pairs = [row.text_pair or "" for row in rows] if rows[0].text_pair is not None else None
    where = f"{protocol} predict of all {len(texts)} rows at once"
    received = _attempt(result, where, lambda: client.predict(texts, pairs))
    for number, (prediction, right) in enumerate(zip(received or (), expected, strict=received is not None), start=1):
        _compare(result, f"{where}: row {number}", _row_prediction(prediction), right, tolerance)


def _attempt(result: Replay, where: str, query: Callable[[], T]) -> T | None:
    result.requests += 1
    try:
        return query()
    except ClientError as error:
        result.fail(f"{where}: {error}")
        return None


def _compare(result: Replay, where: str, received: RowPrediction, expected: RowPrediction, tolerance: float) -> None:
    """Counts one failure if the prediction for a row differs in any part."""
    for name, number, right in _numbers(received, expected):
        difference = abs(number - right)
        result.largest_difference = max(result.largest_difference, difference)
        if not difference <= tolerance:  # a NaN fails as well
            result.fail(f"{where}: {name} is {number:.6g}, and Keras predicts {right:.6g} (tolerance {tolerance:g})")
            return
    if expected.sure and received.label is not None and received.label != expected.label:
        result.fail(f"{where}: the label is {received.label!r}, and Keras predicts {expected.label!r}")


def _numbers(received: RowPrediction, expected: RowPrediction) -> Iterator[tuple[str, float, float]]:
    yield "the score", received.score, expected.score
    for label, right in expected.probabilities.items() if received.probabilities else ():
        yield f"the probability of {label!r}", received.probabilities.get(label, float("nan")), right


def _predict(client: Client, row: ReplayRow) -> RowPrediction:
    pairs = None if row.text_pair is None else [row.text_pair]
    return _row_prediction(client.predict([row.text], pairs)[0])


def _row_prediction(prediction: Prediction) -> RowPrediction:
    named = prediction.probabilities if isinstance(prediction.probabilities, Mapping) else {}
    return RowPrediction(prediction.score, prediction.label, named)


def _tf_example(client: Client, row: ReplayRow) -> RowPrediction:
    outputs = client.predict_arrays({"examples": np.array([row.serialized], object)}, signature="tf_example")
    if "label" not in outputs:
        return RowPrediction(float(outputs["score"][0]))
    # The outputs do not name the probabilities: only the score and the label are compared.
    return RowPrediction(float(outputs["score"][0]), outputs["label"][0].decode("utf-8"))


def _classify(client: Client, row: ReplayRow) -> RowPrediction:
    (classes,) = client.classify([dict(row.features)])
    return RowPrediction(max(score for _, score in classes), None, dict(classes))


def _regress(client: Client, row: ReplayRow) -> RowPrediction:
    return RowPrediction(client.regress([dict(row.features)])[0])


def _shorten(text: str) -> str:
    line = " ".join(text[: 4 * _SHOWN].split())
    return repr(line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…")
