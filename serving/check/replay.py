"""Real rows, asked of a server in every way that it can be asked, held against the answers that are right."""

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
class Question:
    """One row.

    Attributes:
        text, text_pair: the texts; `text_pair` is None for a model about one text.
        features: the same, by the names of the table's columns.
        serialized: the row as a tf.Example, other columns included.
    """

    text: str
    text_pair: str | None
    features: Mapping[str, str]
    serialized: bytes


@dataclass(frozen=True)
class Answer:
    """What must come back.

    Attributes:
        score: see the signature `serving_default`.
        label: None for a regression.
        probabilities: label to probability; empty for a regression.
        sure: whether a difference within the tolerance could not have led to another label.
    """

    score: float
    label: str | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    sure: bool = True


@dataclass
class Replay:
    """What came of it.

    Attributes:
        requests: how many were sent.
        failures: which of them failed and how, a sentence each, the first few.
        failed: how many failed.
        largest_difference: of any score or probability from the right one.
        latencies: seconds of each request of one text over gRPC, the client's time included.
    """

    requests: int = 0
    failures: list[str] = field(default_factory=list)
    failed: int = 0
    largest_difference: float = 0.0
    latencies: list[float] = field(default_factory=list)

    def fail(self, sentence: str) -> None:
        """Counts a failure, and keeps the first few."""
        self.failed += 1
        if len(self.failures) < _LISTED:
            self.failures.append(sentence)

    def latency_ms(self, percentile: float) -> float:
        """A percentile of the latencies, in milliseconds; NaN where there are none."""
        return float(np.percentile(self.latencies, percentile)) * 1e3 if self.latencies else float("nan")


Ask = Callable[[Client, Question], Answer]
T = TypeVar("T")


def replay(server: LocalServer, questions: Sequence[Question], answers: Sequence[Answer], tolerance: float) -> Replay:
    """Asks all questions in batches, then every one alone, over gRPC and REST, as strings, as tf.Examples and as
    Classify or Regress.

    Args:
        server: what is asked.
        questions, answers: one answer for each question.
        tolerance: how far a score or a probability may be from the right one.
    """
    result = Replay()
    regression = all(answer.label is None for answer in answers)
    ways: dict[str, Ask] = {"predict": _predict, "tf_example": _tf_example}
    ways |= {"regress": _regress} if regression else {"classify": _classify}
    for protocol, url in (("gRPC", server.grpc), ("REST", server.rest)):
        with Client(url, server.model, retries=0) as client:
            # First, so that no latency below holds the connection's beginning.
            _batches(result, protocol, client, questions, answers, tolerance)
            for name, ask in ways.items():
                for number, (question, answer) in enumerate(zip(questions, answers, strict=True), start=1):
                    where = f"{protocol} {name} of row {number} ({_shorten(question.text)})"
                    began = time.perf_counter()
                    got = _asked(result, where, functools.partial(ask, client, question))
                    if (protocol, name) == ("gRPC", "predict"):
                        result.latencies.append(time.perf_counter() - began)
                    if got is not None:
                        _compare(result, where, got, answer, tolerance)
    return result


def _batches(
    result: Replay,
    protocol: str,
    client: Client,
    questions: Sequence[Question],
    answers: Sequence[Answer],
    tolerance: float,
) -> None:
    """All texts in the batches that a client makes of a long list: they are padded, and must answer alike."""
    texts = [question.text for question in questions]
    pairs = [question.text_pair or "" for question in questions] if questions[0].text_pair is not None else None
    where = f"{protocol} predict of all {len(texts)} rows at once"
    got = _asked(result, where, lambda: client.predict(texts, pairs))
    for number, (prediction, answer) in enumerate(zip(got or (), answers, strict=got is not None), start=1):
        _compare(result, f"{where}: row {number}", _as_answer(prediction), answer, tolerance)


def _asked(result: Replay, where: str, ask: Callable[[], T]) -> T | None:
    result.requests += 1
    try:
        return ask()
    except ClientError as error:
        result.fail(f"{where}: {error}")
        return None


def _compare(result: Replay, where: str, got: Answer, answer: Answer, tolerance: float) -> None:
    """Counts one failure for a row whose answer differs in any part."""
    for name, found, right in _numbers(got, answer):
        difference = abs(found - right)
        result.largest_difference = max(result.largest_difference, difference)
        if not difference <= tolerance:  # a NaN is no answer either
            result.fail(f"{where}: {name} is {found:.6g}, and Keras says {right:.6g} (tolerance {tolerance:g})")
            return
    if answer.sure and got.label is not None and got.label != answer.label:
        result.fail(f"{where}: the label is {got.label!r}, and Keras says {answer.label!r}")


def _numbers(got: Answer, answer: Answer) -> Iterator[tuple[str, float, float]]:
    yield "the score", got.score, answer.score
    for label, right in answer.probabilities.items() if got.probabilities else ():
        yield f"the probability of {label!r}", got.probabilities.get(label, float("nan")), right


def _predict(client: Client, question: Question) -> Answer:
    pairs = None if question.text_pair is None else [question.text_pair]
    return _as_answer(client.predict([question.text], pairs)[0])


def _as_answer(prediction: Prediction) -> Answer:
    named = prediction.probabilities if isinstance(prediction.probabilities, Mapping) else {}
    return Answer(prediction.score, prediction.label, named)


def _tf_example(client: Client, question: Question) -> Answer:
    found = client.predict_arrays({"examples": np.array([question.serialized], object)}, signature="tf_example")
    if "label" not in found:
        return Answer(float(found["score"][0]))
    # The names of the probabilities are not among the outputs: only the score and the label are compared.
    return Answer(float(found["score"][0]), found["label"][0].decode("utf-8"))


def _classify(client: Client, question: Question) -> Answer:
    (classes,) = client.classify([dict(question.features)])
    return Answer(max(score for _, score in classes), None, dict(classes))


def _regress(client: Client, question: Question) -> Answer:
    return Answer(client.regress([dict(question.features)])[0])


def _shorten(text: str) -> str:
    line = " ".join(text[: 4 * _SHOWN].split())
    return repr(line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…")
