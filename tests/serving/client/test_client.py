"""Both clients over both protocols: predictions, batches, versions, errors, retries, deadlines."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fake_serving import FakeServing

from serving.client import (
    Client,
    Prediction,
)
from serving.errors import Code, StatusError

NEG, POS = 0.125, 0.875


def test_a_text_gets_its_label_score_and_named_probabilities(ask: Callable[..., Any], url: str) -> None:
    assert ask(url, "reviews", "predict", ["a good film", "dull"]) == [
        Prediction(POS, "pos", {"neg": NEG, "pos": POS}),
        Prediction(POS, "neg", {"neg": POS, "pos": NEG}),
    ]


def test_several_labels_a_number_and_pairs(ask: Callable[..., Any], url: str) -> None:
    (topics,) = ask(url, "topics", "predict", ["sport and money"])
    assert topics == Prediction(POS, "money|sport", {"art": NEG, "money": POS, "sport": POS})
    assert ask(url, "stars", "predict", ["four", ""]) == [Prediction(4.0), Prediction(0.0)]
    pairs = ask(url, "pairs", "predict", ["a", "b"], ["a", "c"])
    assert [one.label for one in pairs] == ["same", "different"]


def test_a_long_list_goes_in_bounded_batches_and_comes_back_in_order(
    ask: Callable[..., Any], url: str, fake: FakeServing
) -> None:
    fake.delay = 0.02
    texts = [f"{number} {'good' if number % 3 else 'bad'}" for number in range(95)]
    options = {"batch_size": 10, "in_flight": 3}
    answers = ask(url, "reviews", "predict", texts, options=options)
    assert [one.label for one in answers] == ["pos" if number % 3 else "neg" for number in range(95)]
    assert sorted(rows for method, rows, _ in fake.requests if method == "predict") == [5] + [10] * 9
    assert 1 < fake.max_in_flight <= 3


def test_no_texts_give_no_predictions_and_no_request(ask: Callable[..., Any], url: str, fake: FakeServing) -> None:
    assert ask(url, "reviews", "predict", []) == []
    assert fake.requests == []


def test_hard_strings_arrive_unchanged(ask: Callable[..., Any], url: str) -> None:
    names = ["", "\0", "日本語", "é\u0301", "😀", "a" * 100_000, '"\\\n']
    outputs = ask(url, "doubler", "predict_arrays", {"x": [0.0] * len(names), "name": names})
    assert [name.decode() for name in outputs["name"].tolist()] == names


def test_half_a_surrogate_pair_is_sent_in_a_readable_form(ask: Callable[..., Any], url: str) -> None:
    assert ask(url, "reviews", "predict", ["good \ud83d"])[0].label == "pos"


def test_arrays_keep_their_names_shapes_and_dtypes(ask: Callable[..., Any], url: str) -> None:
    x = np.array([[1.5], [np.nan]], np.float32)
    outputs = ask(url, "doubler", "predict_arrays", {"x": x, "name": np.array(["a", "b"])})
    assert outputs["y"].dtype == np.float32
    np.testing.assert_array_equal(outputs["y"], x * 2)
    (only,) = ask(url, "doubler", "predict_arrays", {"x": [1, 2]}, signature="one").items()
    assert (only[0], only[1].dtype, only[1].tolist()) == ("y", np.int32, [2, 4])


def test_classify_and_regress_take_examples_by_feature_name(ask: Callable[..., Any], url: str) -> None:
    assert ask(url, "reviews", "classify", [{"text": "good"}, {}]) == [
        [("neg", NEG), ("pos", POS)],
        [("neg", POS), ("pos", NEG)],
    ]
    assert ask(url, "stars", "regress", [{"text": "four"}, {"text": ["xx"]}]) == [4.0, 2.0]


def test_features_may_come_from_numpy_and_invalid_ones_are_refused(ask: Callable[..., Any], url: str) -> None:
    assert ask(url, "stars", "regress", [{"text": np.array(["four"]), "n": np.int64(3), "f": [1.5, 2], "b": True}]) == [
        4.0
    ]
    for wrong in (None, ["a", 1], {"a": 1}):
        with pytest.raises(TypeError, match="the feature 'text'"):
            ask(url, "stars", "regress", [{"text": wrong}])
    with pytest.raises(TypeError, match="got one example"):
        ask(url, "stars", "regress", {"text": "a"})


def test_status_and_metadata(ask: Callable[..., Any], url: str, fake: FakeServing) -> None:
    fake.versions = [1, 2]
    assert [(one.version, one.state) for one in ask(url, "reviews", "status")] == [(2, "AVAILABLE"), (1, "AVAILABLE")]
    metadata = ask(url, "reviews", "metadata", options={"label": "stable"})
    assert metadata.version == 1
    text = metadata.signatures["serving_default"].inputs["text"]
    assert (text.dtype, text.shape) == ("string", (None,))
    assert metadata.signatures["serving_default"].outputs["score"].dtype == "float32"


@pytest.mark.parametrize("options", [{"version": 1}, {"label": "stable"}])
def test_a_version_or_a_label_is_requested(
    ask: Callable[..., Any], url: str, fake: FakeServing, options: dict[str, Any]
) -> None:
    fake.versions = [1, 2]
    (answer,) = ask(url, "reviews", "predict", ["good"], options=options)
    assert answer.probabilities == {"neg": NEG, "pos": POS}
    assert {chosen for method, _, chosen in fake.requests if method == "predict"} == set(options.values())


@pytest.mark.parametrize("wire", ["grpc", "rest"])
def test_labels_are_requested_once_per_version(fake: FakeServing, wire: str) -> None:
    with Client(fake.url(wire), "reviews") as client:
        for _ in range(3):
            assert client.predict(["good"])[0].probabilities == {"neg": NEG, "pos": POS}
        fake.versions = [1, 2]  # its outputs are in another order
        for _ in range(3):
            assert client.predict(["good"])[0].probabilities == {"neg": NEG, "pos": POS}
    assert [chosen for method, _, chosen in fake.requests if method == "classify"] == [1, 2]


def test_a_model_without_label_names_gives_a_tuple(
    ask: Callable[..., Any], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: FakeServing, request: Any) -> Any:
        raise StatusError(Code.FAILED_PRECONDITION, "Classification signature not found.")

    monkeypatch.setattr(FakeServing, "_Classify", refuse)
    assert ask(url, "reviews", "predict", ["good"]) == [Prediction(POS, "pos", (NEG, POS))]


def test_headers_go_with_every_request(ask: Callable[..., Any], url: str, fake: FakeServing) -> None:
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


def test_texts_may_come_from_any_iterable(ask: Callable[..., Any], url: str) -> None:
    assert [one.label for one in ask(url, "reviews", "predict", (text for text in ["good", "dull"]))] == ["pos", "neg"]
    with pytest.raises(TypeError, match="more than 64 bits"):
        ask(url, "stars", "regress", [{"n": 2**63}])
