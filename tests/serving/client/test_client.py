"""Both clients over both wires: answers, batches, versions, errors, retries, deadlines."""

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
    Prediction,
    ServerError,
    Unavailable,
)
from serving.client.errors import ClientError, of_code, of_http, of_number
from serving.errors import Code, StatusError

Ask = Callable[..., Any]
NEG, POS = 0.125, 0.875


def ask_sync(url: str, model: str, method: str, *arguments: Any, options: Any = None, **keywords: Any) -> Any:
    with Client(url, model, **(options or {})) as client:
        return getattr(client, method)(*arguments, **keywords)


def ask_async(url: str, model: str, method: str, *arguments: Any, options: Any = None, **keywords: Any) -> Any:
    async def run() -> Any:
        async with AsyncClient(url, model, **(options or {})) as client:
            return await getattr(client, method)(*arguments, **keywords)

    return asyncio.run(run())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Makes a client and calls a method of it."""
    return ask_sync if request.param == "sync" else ask_async


@pytest.fixture(params=["grpc", "rest"])
def url(request: pytest.FixtureRequest, fake: FakeServing) -> str:
    return fake.url(request.param)


def test_a_text_gets_its_label_score_and_named_probabilities(ask: Ask, url: str) -> None:
    assert ask(url, "reviews", "predict", ["a good film", "dull"]) == [
        Prediction(POS, "pos", {"neg": NEG, "pos": POS}),
        Prediction(POS, "neg", {"neg": POS, "pos": NEG}),
    ]


def test_several_labels_a_number_and_pairs(ask: Ask, url: str) -> None:
    (topics,) = ask(url, "topics", "predict", ["sport and money"])
    assert topics == Prediction(POS, "money|sport", {"art": NEG, "money": POS, "sport": POS})
    assert ask(url, "stars", "predict", ["four", ""]) == [Prediction(4.0), Prediction(0.0)]
    pairs = ask(url, "pairs", "predict", ["a", "b"], ["a", "c"])
    assert [one.label for one in pairs] == ["same", "different"]


def test_a_long_list_goes_in_bounded_batches_and_comes_back_in_order(ask: Ask, url: str, fake: FakeServing) -> None:
    fake.delay = 0.02
    texts = [f"{number} {'good' if number % 3 else 'bad'}" for number in range(95)]
    options = {"batch_size": 10, "in_flight": 3}
    answers = ask(url, "reviews", "predict", texts, options=options)
    assert [one.label for one in answers] == ["pos" if number % 3 else "neg" for number in range(95)]
    assert sorted(rows for method, rows, _ in fake.asked if method == "predict") == [5] + [10] * 9
    assert 1 < fake.most_at_once <= 3


def test_no_text_is_no_answer_and_no_request(ask: Ask, url: str, fake: FakeServing) -> None:
    assert ask(url, "reviews", "predict", []) == []
    assert fake.asked == []


def test_hard_strings_arrive_as_they_are(ask: Ask, url: str) -> None:
    names = ["", "\0", "日本語", "é\u0301", "😀", "a" * 100_000, '"\\\n']
    outputs = ask(url, "doubler", "predict_arrays", {"x": [0.0] * len(names), "name": names})
    assert [name.decode() for name in outputs["name"].tolist()] == names


def test_half_a_surrogate_pair_is_sent_as_the_graph_can_read_it(ask: Ask, url: str) -> None:
    assert ask(url, "reviews", "predict", ["good \ud83d"])[0].label == "pos"


def test_arrays_keep_their_names_shapes_and_dtypes(ask: Ask, url: str) -> None:
    x = np.array([[1.5], [np.nan]], np.float32)
    outputs = ask(url, "doubler", "predict_arrays", {"x": x, "name": np.array(["a", "b"])})
    assert outputs["y"].dtype == np.float32
    np.testing.assert_array_equal(outputs["y"], x * 2)
    (only,) = ask(url, "doubler", "predict_arrays", {"x": [1, 2]}, signature="one").items()
    assert (only[0], only[1].dtype, only[1].tolist()) == ("y", np.int32, [2, 4])


def test_classify_and_regress_take_examples_by_feature_name(ask: Ask, url: str) -> None:
    assert ask(url, "reviews", "classify", [{"text": "good"}, {}]) == [
        [("neg", NEG), ("pos", POS)],
        [("neg", POS), ("pos", NEG)],
    ]
    assert ask(url, "stars", "regress", [{"text": "four"}, {"text": ["xx"]}]) == [4.0, 2.0]


def test_features_may_come_from_numpy_and_what_is_none_is_refused(ask: Ask, url: str) -> None:
    assert ask(url, "stars", "regress", [{"text": np.array(["four"]), "n": np.int64(3), "f": [1.5, 2], "b": True}]) == [
        4.0
    ]
    for wrong in (None, ["a", 1], {"a": 1}):
        with pytest.raises(TypeError, match="the feature 'text'"):
            ask(url, "stars", "regress", [{"text": wrong}])
    with pytest.raises(TypeError, match="got one example"):
        ask(url, "stars", "regress", {"text": "a"})


def test_status_and_metadata(ask: Ask, url: str, fake: FakeServing) -> None:
    fake.versions = [1, 2]
    assert [(one.version, one.state) for one in ask(url, "reviews", "status")] == [(2, "AVAILABLE"), (1, "AVAILABLE")]
    metadata = ask(url, "reviews", "metadata", options={"label": "stable"})
    assert metadata.version == 1
    text = metadata.signatures["serving_default"].inputs["text"]
    assert (text.dtype, text.shape) == ("string", (None,))
    assert metadata.signatures["serving_default"].outputs["score"].dtype == "float32"


@pytest.mark.parametrize("options", [{"version": 1}, {"label": "stable"}])
def test_a_version_or_a_label_is_asked_for(ask: Ask, url: str, fake: FakeServing, options: dict[str, Any]) -> None:
    fake.versions = [1, 2]
    (answer,) = ask(url, "reviews", "predict", ["good"], options=options)
    assert answer.probabilities == {"neg": NEG, "pos": POS}
    assert {chosen for method, _, chosen in fake.asked if method == "predict"} == set(options.values())


@pytest.mark.parametrize("wire", ["grpc", "rest"])
def test_labels_are_asked_once_a_version_and_follow_a_new_one(fake: FakeServing, wire: str) -> None:
    with Client(fake.url(wire), "reviews") as client:
        for _ in range(3):
            assert client.predict(["good"])[0].probabilities == {"neg": NEG, "pos": POS}
        fake.versions = [1, 2]  # its outputs are in another order
        for _ in range(3):
            assert client.predict(["good"])[0].probabilities == {"neg": NEG, "pos": POS}
    assert [chosen for method, _, chosen in fake.asked if method == "classify"] == [1, 2]


def test_a_model_that_does_not_tell_its_labels_gives_a_tuple(
    ask: Ask, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: FakeServing, request: Any) -> Any:
        raise StatusError(Code.FAILED_PRECONDITION, "Classification signature not found.")

    monkeypatch.setattr(FakeServing, "_Classify", refuse)
    assert ask(url, "reviews", "predict", ["good"]) == [Prediction(POS, "pos", (NEG, POS))]


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
    ask: Ask, url: str, fake: FakeServing, code: Code, kind: type[ClientError]
) -> None:
    fake.failures = [StatusError(code, "told so"), StatusError(Code.INTERNAL, "tried again")]
    with pytest.raises(kind) as caught:
        ask(url, "stars", "status")
    assert (caught.value.code, caught.value.message) == (code, "told so")
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


def test_what_the_server_refuses_is_explained_in_its_own_words(ask: Ask, url: str) -> None:
    with pytest.raises(ModelNotFound, match=r"Servable not found for request: Latest\(doubler2\)"):
        ask(url, "doubler2", "predict", ["x"])
    with pytest.raises(ModelNotFound, match="Unrecognized servable version label: canary"):
        ask(url, "reviews", "predict", ["x"], options={"label": "canary"})
    with pytest.raises(InvalidRequest, match=r"Missing (but required: \{|named input: )text_pair"):
        ask(url, "pairs", "predict", ["x"])
    with pytest.raises(InvalidRequest, match="text_pair"):
        ask(url, "reviews", "predict", ["x"], ["y"])


def test_an_unavailable_server_is_tried_again(ask: Ask, url: str, fake: FakeServing) -> None:
    fake.failures = [StatusError(Code.UNAVAILABLE, "draining")] * 2
    assert ask(url, "stars", "predict", ["four"])[0].score == 4.0
    fake.failures = [StatusError(Code.UNAVAILABLE, "draining")] * 2
    with pytest.raises(Unavailable, match="draining"):
        ask(url, "stars", "status", options={"retries": 1})
    assert fake.failures == []


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_a_server_that_starts_late_is_waited_for(ask: Ask, scheme: str) -> None:
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
def test_nobody_listening_is_unavailable_after_the_retries(ask: Ask, scheme: str) -> None:
    begin = time.monotonic()
    with pytest.raises(Unavailable):
        ask(f"{scheme}://127.0.0.1:{free_port()}", "stars", "status", options={"retries": 2})
    assert 0.15 <= time.monotonic() - begin < 5.0  # two pauses, of at least 0.05 and 0.1 s


def test_the_deadline_covers_answers_and_retries(ask: Ask, url: str, fake: FakeServing) -> None:
    fake.delay = 1.0
    begin = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        ask(url, "stars", "status", timeout=0.2)
    fake.delay = 0.0
    fake.failures = [StatusError(Code.UNAVAILABLE, "draining")] * 50
    with pytest.raises((Unavailable, DeadlineExceeded)):  # the last refusal, or no time left for the last answer
        ask(url, "stars", "status", timeout=0.3, options={"retries": 100})
    assert time.monotonic() - begin < 2.0


def test_headers_go_with_every_request(ask: Ask, url: str, fake: FakeServing) -> None:
    ask(url, "reviews", "predict", ["good"], options={"headers": {"Authorization": "Bearer secret"}})
    assert len(fake.tokens) >= 2
    assert set(fake.tokens) == {"Bearer secret"}


def test_one_client_serves_many_threads(fake: FakeServing) -> None:
    with Client(fake.rest_url, "reviews") as client:
        answers: list[str | None] = []
        threads = [
            threading.Thread(target=lambda: answers.append(client.predict(["good"])[0].label)) for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert answers == ["pos"] * 20


def test_one_string_or_too_few_pairs_is_a_mistake_of_the_caller(ask: Ask, url: str) -> None:
    with pytest.raises(TypeError, match="got one string, expected a list"):
        ask(url, "reviews", "predict", "a good film")
    with pytest.raises(ValueError, match="got 2 texts and 1 pairs"):
        ask(url, "pairs", "predict", ["a", "b"], ["c"])


@pytest.mark.parametrize("wrong", [None, 1, ["a"], float("nan")])
def test_what_is_no_text_or_example_is_told_with_its_row(ask: Ask, url: str, wrong: Any) -> None:
    kind = type(wrong).__name__
    with pytest.raises(TypeError, match=rf"texts\[1\]: got {kind} .*, expected a str"):
        ask(url, "reviews", "predict", ["good", wrong])
    with pytest.raises(TypeError, match=rf"pairs\[0\]: got {kind}"):
        ask(url, "pairs", "predict", ["a"], [wrong])
    with pytest.raises(TypeError, match=rf"examples\[2\]: got {kind} .*, expected a mapping"):
        ask(url, "reviews", "classify", [{}, {}, wrong])
    with pytest.raises(TypeError, match=rf"the input 'text' (holds {kind}|cannot be an array|has dtype)"):
        ask(url, "reviews", "predict_arrays", {"text": ["a", wrong]})


def test_texts_may_come_from_any_iterable(ask: Ask, url: str) -> None:
    assert [one.label for one in ask(url, "reviews", "predict", (text for text in ["good", "dull"]))] == ["pos", "neg"]
    with pytest.raises(TypeError, match="more than 64 bits"):
        ask(url, "stars", "regress", [{"n": 2**63}])


def test_an_answer_that_is_too_large_is_an_error_of_the_server(url: str) -> None:
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


def test_an_answer_that_is_not_the_protocols_is_an_error_of_the_server(ask: Ask, fake: FakeServing) -> None:
    def nonsense(verb: str, path: str, body: bytes) -> Any:
        return {"hello": "<html>"}

    fake.rest = nonsense  # type: ignore[method-assign]  # as a proxy in front would
    with pytest.raises(ServerError, match="no answer of TF Serving"):
        ask(fake.rest_url, "stars", "predict_arrays", {"text": ["x"]})


def test_outputs_of_other_shapes_are_an_error_of_the_server(
    ask: Ask, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    score, label = np.array([0.5], np.float32), np.array([b"pos", b"neg"], object)
    outputs = {"score": score, "label": label, "probabilities": np.ones([1, 2], np.float32)}
    monkeypatch.setattr(FakeServing, "_outputs", lambda *_: outputs)
    with pytest.raises(ServerError, match="not \\[B\\], \\[B\\] of strings"):
        ask(url, "reviews", "predict", ["good"])
