import json

import pytest
from json_steps import tiny_steps

from serving.errors import Code, StatusError
from serving.server.calls.request_limits import Limits
from serving.server.front.json.json_examples import fill_examples
from serving.wire import protos


def fill(body):
    request = protos.ClassificationRequest()
    fill_examples(body.encode(), request, Limits())
    return request


def test_examples_take_their_kind_from_their_values():
    request = fill('{"signature_name": "s", "examples": [{"i": [1, true], "f": 2.5, "s": ["a", {"b64": "YQ=="}]}]}')
    features = request.input.example_list.examples[0].features.feature
    assert request.model_spec.signature_name == "s"
    assert list(features["i"].int64_list.value) == [1, 1]
    assert list(features["f"].float_list.value) == [2.5]
    assert list(features["s"].bytes_list.value) == [b"a", b"a"]


def test_a_context_goes_with_the_examples():
    request = fill('{"context": {"c": 1}, "examples": [{"a": 2}, {"a": 3}]}')
    listed = request.input.example_list_with_context
    assert listed.context.features.feature["c"].int64_list.value == [1]
    assert [one.features.feature["a"].int64_list.value[0] for one in listed.examples] == [2, 3]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{}", "JSON Value: {} When method is classify, key 'examples' is expected and was not found"),
        ('{"examples": 1}', "JSON Value: {\n    \"examples\": 1\n} Expecting 'examples' value to be an list/array"),
        ('{"examples": []}', "JSON Value: {\n    \"examples\": []\n} 'examples' value is an empty array"),
        ('{"examples": [1]}', "Example must be JSON object but got JSON Number"),
        ('{"context": [], "examples": [{}]}', "Example must be JSON object but got JSON Array"),
        ('{"examples": [{"n": null}]}', "Feature: n has element with unexpected JSON type: Null"),
        ('{"examples": [{"n": [[1]]}]}', "Feature: n has element with unexpected JSON type: Array"),
        ('{"examples": [{"n": {"a": 1}}]}', "Feature: n has element with unexpected JSON type: Object"),
        ('{"examples": [{"n": [1, "a"]}]}', "Unexpected element type in feature: n expecting type: int64"),
        ('{"examples": [{"n": [1.5, 2]}]}', "Unexpected element type in feature: n expecting type: float"),
        ('{"examples": [{"n": ["a", 2]}]}', "Unexpected element type in feature: n expecting type: bytes"),
        (
            '{"examples": [{"n": 18446744073709551615}]}',
            "Feature: n has uint64_t element. Only int64_t is supported.",
        ),
    ],
)
def test_errors_have_tf_servings_message(body, message):
    with pytest.raises(StatusError) as caught:
        fill(body)
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, message)


def test_all_values_of_a_feature_arrive():
    request = fill(
        '{"examples": [{"i": [1, true, -9223372036854775808], "f": [1.5, 1e300], "s": ["a", "\\u00e9"], '
        '"m": ["a", {"b64": "YQ=="}], "n": []}]}'
    )
    features = request.input.example_list.examples[0].features.feature
    assert list(features["i"].int64_list.value) == [1, 1, -(2**63)]
    assert list(features["f"].float_list.value) == [1.5, float("inf")]
    assert list(features["s"].bytes_list.value) == [b"a", "é".encode()]
    assert list(features["m"].bytes_list.value) == [b"a", b"a"]
    assert features["n"].WhichOneof("kind") is None


def test_examples_are_the_same_in_fragments():
    examples = [{"a": [1, 2, 3], "b": "x" * (number % 40), "c": [1.5, 2.5]} for number in range(50)]
    body = json.dumps({"context": {"d": "so good"}, "examples": examples})
    whole = fill(body)
    with tiny_steps(64):
        assert fill(body) == whole


def test_too_many_examples_are_refused_before_they_are_built():
    request = protos.ClassificationRequest()
    with pytest.raises(StatusError) as caught:
        fill_examples(b'{"examples": [{}, {}, {}]}', request, Limits(max_rows=2))
    assert caught.value.message == "The request has 3 examples; at most 2 are allowed (--max_request_rows)"
    assert not request.input.example_list.examples


def test_names_in_messages_are_cut():
    with pytest.raises(StatusError) as caught:
        fill('{"examples": [{"' + "n" * 5000 + '": null}]}')
    assert len(caught.value.message) < 400
