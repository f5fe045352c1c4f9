"""What a client raises: errors of the server, of the connection and of its caller; retries and deadlines."""

from __future__ import annotations

import asyncio
import pickle
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fake_serving import FakeServing

from serving.client import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    ServerError,
    Unavailable,
)
from serving.client.errors import ClientError, of_code, of_http, of_number
from serving.errors import Code, StatusError


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (Code.INVALID_ARGUMENT, InvalidRequest),
        (Code.NOT_FOUND, ModelNotFound),
        (Code.RESOURCE_EXHAUSTED, Overloaded),
        (Code.DEADLINE_EXCEEDED, DeadlineExceeded),
        (Code.INTERNAL, ServerError),
        (Code.UNIMPLEMENTED, ServerError),
    ],
)
def test_an_error_is_raised_at_once_with_its_code_and_message(
    ask: Callable[..., Any], url: str, fake: FakeServing, code: Code, kind: type[ClientError]
) -> None:
    fake.failures = [StatusError(code, "as configured"), StatusError(Code.INTERNAL, "tried again")]
    with pytest.raises(kind) as caught:
        ask(url, "stars", "status")
    assert (caught.value.code, caught.value.message) == (code, "as configured")
    assert len(fake.failures) == 1


def test_an_error_survives_being_sent_to_another_process() -> None:
    error = of_code(Code.UNAVAILABLE, "draining")
    error.retry = False
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.code, again.message, again.retry) == (Unavailable, error.code, "draining", False)


def test_every_code_of_the_protocol_has_an_error() -> None:
    for code in Code:
        assert of_number(code.number, "").code is code
        assert isinstance(of_code(code, ""), ClientError)
        assert isinstance(of_http(code.http, ""), type(of_code(code, ""))) or code in (Code.UNKNOWN, Code.DATA_LOSS)
    assert of_http(502, "").code is Code.UNKNOWN
    assert of_http(418, "").code is Code.INVALID_ARGUMENT


def test_refusals_carry_the_servers_message(ask: Callable[..., Any], url: str) -> None:
    with pytest.raises(ModelNotFound, match=r"Servable not found for request: Latest\(doubler2\)"):
        ask(url, "doubler2", "predict", ["x"])
    with pytest.raises(ModelNotFound, match="Unrecognized servable version label: canary"):
        ask(url, "reviews", "predict", ["x"], options={"label": "canary"})
    with pytest.raises(InvalidRequest, match=r"Missing (but required: \{|named input: )text_pair"):
        ask(url, "pairs", "predict", ["x"])
    with pytest.raises(InvalidRequest, match="text_pair"):
        ask(url, "reviews", "predict", ["x"], ["y"])


def test_an_unavailable_server_is_tried_again(ask: Callable[..., Any], url: str, fake: FakeServing) -> None:
    fake.failures = [StatusError(Code.UNAVAILABLE, "draining")] * 2
    assert ask(url, "stars", "predict", ["four"])[0].score == 4.0
    fake.failures = [StatusError(Code.UNAVAILABLE, "draining")] * 2
    with pytest.raises(Unavailable, match="draining"):
        ask(url, "stars", "status", options={"retries": 1})
    assert fake.failures == []


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_a_server_that_starts_late_is_waited_for(ask: Callable[..., Any], scheme: str) -> None:
    ports = free_port(), free_port()
    late: list[FakeServing] = []
    starter = threading.Timer(0.4, lambda: late.append(FakeServing(ports=ports).__enter__()))
    starter.start()
    try:
        url = f"{scheme}://127.0.0.1:{ports[scheme == 'http']}"
        assert ask(url, "stars", "predict", ["four"], options={"retries": 10})[0].score == 4.0
    finally:
        starter.join()
        late[0].__exit__(None, None, None)


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_a_closed_port_is_unavailable_after_the_retries(ask: Callable[..., Any], scheme: str) -> None:
    begin = time.monotonic()
    with pytest.raises(Unavailable):
        ask(f"{scheme}://127.0.0.1:{free_port()}", "stars", "status", options={"retries": 2})
    assert 0.15 <= time.monotonic() - begin < 5.0  # two pauses, of at least 0.05 and 0.1 s


def test_the_deadline_covers_responses_and_retries(ask: Callable[..., Any], url: str, fake: FakeServing) -> None:
    fake.delay = 1.0
    begin = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        ask(url, "stars", "status", timeout=0.2)
    fake.delay = 0.0
    fake.failures = [StatusError(Code.UNAVAILABLE, "draining")] * 50
    with pytest.raises((Unavailable, DeadlineExceeded)):  # the last refusal, or no time left for the last response
        ask(url, "stars", "status", timeout=0.3, options={"retries": 100})
    assert time.monotonic() - begin < 2.0


def test_one_string_or_too_few_pairs_is_a_mistake_of_the_caller(ask: Callable[..., Any], url: str) -> None:
    with pytest.raises(TypeError, match="got one string, expected a list"):
        ask(url, "reviews", "predict", "a good film")
    with pytest.raises(ValueError, match="got 2 texts and 1 pairs"):
        ask(url, "pairs", "predict", ["a", "b"], ["c"])


@pytest.mark.parametrize("wrong", [None, 1, ["a"], float("nan")])
def test_an_invalid_text_or_example_is_reported_with_its_row(ask: Callable[..., Any], url: str, wrong: Any) -> None:
    kind = type(wrong).__name__
    with pytest.raises(TypeError, match=rf"texts\[1\]: got {kind} .*, expected a str"):
        ask(url, "reviews", "predict", ["good", wrong])
    with pytest.raises(TypeError, match=rf"pairs\[0\]: got {kind}"):
        ask(url, "pairs", "predict", ["a"], [wrong])
    with pytest.raises(TypeError, match=rf"examples\[2\]: got {kind} .*, expected a mapping"):
        ask(url, "reviews", "classify", [{}, {}, wrong])
    with pytest.raises(TypeError, match=rf"the input 'text' (holds {kind}|cannot be an array|has dtype)"):
        ask(url, "reviews", "predict_arrays", {"text": ["a", wrong]})


def test_a_response_that_is_too_large_is_a_server_error(url: str) -> None:
    options: dict[str, Any] = {"max_answer_bytes": 10_000, "batch_size": 1000}
    with Client(url, "reviews", **options) as client:
        assert client.predict(["good"])[0].label == "pos"
        with pytest.raises(ServerError, match="max_answer_bytes"):
            client.predict(["good"] * 1000)

    async def ask_at_once() -> None:
        async with AsyncClient(url, "reviews", **options) as client:
            assert (await client.predict(["good"]))[0].label == "pos"
            with pytest.raises(ServerError, match="max_answer_bytes"):
                await client.predict(["good"] * 1000)

    asyncio.run(ask_at_once())


def test_a_response_outside_the_protocol_is_a_server_error(ask: Callable[..., Any], fake: FakeServing) -> None:
    def nonsense(verb: str, path: str, body: bytes) -> Any:
        return {"hello": "<html>"}

    fake.rest = nonsense  # type: ignore[method-assign]  # as a proxy in front would
    with pytest.raises(ServerError, match="not a response of TF Serving"):
        ask(fake.rest_url, "stars", "predict_arrays", {"text": ["x"]})


def test_outputs_of_other_shapes_are_a_server_error(
    ask: Callable[..., Any], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    score, label = np.array([0.5], np.float32), np.array([b"pos", b"neg"], object)
    outputs = {"score": score, "label": label, "probabilities": np.ones([1, 2], np.float32)}
    monkeypatch.setattr(FakeServing, "_outputs", lambda *_: outputs)
    with pytest.raises(ServerError, match="not \\[B\\], \\[B\\] of strings"):
        ask(url, "reviews", "predict", ["good"])
