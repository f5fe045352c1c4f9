import json

import numpy as np
import pytest
from json_steps import tiny_steps

from serving.errors import StatusError
from serving.server.front.json.json_responses import encode_classifications, encode_predict, encode_regressions
from serving.wire import protos


def test_a_single_output_is_unnamed_and_several_are_named():
    y = np.array([[0.2, 1.0], [3.5, 1e-7]], np.float32)
    assert encode_predict({"y": y}, True) == b'{"predictions":[[0.2,1.0],[3.5,1e-7]]}'
    assert encode_predict({"y": y}, False) == b'{"outputs":[[0.2,1.0],[3.5,1e-7]]}'
    outputs = {"label": np.array([b"neg", b"\xff"], object), "score": np.array([1, 2], np.int64)}
    rows = json.loads(encode_predict(outputs, True))["predictions"]
    assert rows == [{"label": "neg", "score": 1}, {"label": "\ufffd", "score": 2}]
    assert json.loads(encode_predict(outputs, False))["outputs"] == {"label": ["neg", "\ufffd"], "score": [1, 2]}


def test_outputs_whose_name_ends_in_bytes_are_base64():
    outputs = {"x_bytes": np.array([[b"\x00\x01"]], object)}
    assert json.loads(encode_predict(outputs, True)) == {"predictions": [[{"b64": "AAE="}]]}


def test_non_finite_numbers_are_written_as_by_tf_serving():
    outputs = {"y": np.array([0.2, np.nan, np.inf, -np.inf], np.float32)}
    assert encode_predict(outputs, True) == b'{"predictions":[0.2,NaN,Infinity,-Infinity]}'
    mixed = {"y": np.array([[0.2, np.nan]], np.float32), "z": np.array([[1, 2]], np.int8), "b": np.array([True])}
    text = encode_predict(mixed, True)
    assert text == b'{"predictions":[{"y":[0.2,NaN],"z":[1,2],"b":true}]}'
    assert encode_predict({"y": np.array(np.nan)}, False) == b'{"outputs":NaN}'


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "Cannot convert empty tensor map to JSON"),
        ({"y": np.array(1.0)}, "Tensor name: y has no shape information "),
        ({"y": np.zeros(3), "z": np.zeros(2)}, "Tensor name: z has inconsistent batch size: 2 expecting: 3"),
        ({"y": np.zeros(1, np.complex64)}, "Failed to write JSON value for tensor type: complex64"),
        ({"y": np.zeros(1, np.float16)}, "Failed to write JSON value for tensor type: half"),
    ],
)
def test_outputs_that_have_no_json_are_refused(outputs, message):
    with pytest.raises(StatusError) as caught:
        encode_predict(outputs, True)
    assert caught.value.message == message


def test_results_have_the_fewest_digits():
    classes = protos.ClassificationResponse().result
    row = classes.classifications.add()
    row.classes.add(label="pos", score=0.2)
    row.classes.add(label="neg", score=float("nan"))
    assert encode_classifications(classes) == b'{"results":[[["pos",0.2],["neg",NaN]]]}'
    numbers = protos.RegressionResponse().result
    numbers.regressions.add(value=0.1)
    assert encode_regressions(numbers) == b'{"results":[0.1]}'


def test_empty_results_are_refused():
    with pytest.raises(StatusError, match="Cannot convert empty ClassificationResults to JSON"):
        encode_classifications(protos.ClassificationResponse().result)
    with pytest.raises(StatusError, match="Cannot convert empty RegressionResults to JSON"):
        encode_regressions(protos.RegressionResponse().result)


def many_outputs():
    strings = np.array([b'a\xff"' * (number % 9) for number in range(24)], object)
    numbers = np.random.default_rng(0).normal(size=(24, 3))
    yield {"y": numbers.astype(np.float32)}
    yield {"y": numbers[:, 0], "z": np.arange(24 * 6).reshape(24, 2, 3), "s": strings}
    yield {"s_bytes": strings.reshape(12, 2), "empty": np.zeros((12, 0), np.float32), "b": np.ones(12, np.bool_)}
    yield {"y": np.where(numbers > 0, np.nan, numbers)}
    yield {"s": np.array([b"\xc3\xa9\xff\xe2\x82" * 40], object), "y": numbers[:1]}
    yield {"s_bytes": np.array([[b"\xc3\xa9\xff\xe2\x82" * 40]], object)}


@pytest.mark.parametrize("size", [1, 2, 5, 11])
@pytest.mark.parametrize("in_rows", [True, False])
def test_responses_are_the_same_in_steps(size, in_rows):
    for outputs in many_outputs():
        whole = encode_predict(outputs, in_rows)
        with tiny_steps(size):
            steps = encode_predict(outputs, in_rows)
        assert repr(json.loads(steps)) == repr(json.loads(whole))  # because NaN != NaN


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_results_are_the_same_in_steps(size):
    classes, numbers = protos.ClassificationResponse().result, protos.RegressionResponse().result
    for row in range(9):
        numbers.regressions.add(value=row / 7)
        found = classes.classifications.add().classes
        for label in range(row):
            found.add(label=f"é{label}", score=label / 3)
    whole = encode_classifications(classes), encode_regressions(numbers)
    with tiny_steps(size):
        assert (encode_classifications(classes), encode_regressions(numbers)) == whole


def test_a_scalar_string_of_any_length_is_written():
    text = np.array(b"so good" * 100, object)
    with tiny_steps(5):
        assert json.loads(encode_predict({"s": text}, False)) == {"outputs": "so good" * 100}
