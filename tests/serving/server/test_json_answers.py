import json

import numpy as np
import pytest

from serving import protos
from serving.errors import StatusError
from serving.server.json_answers import encode_classifications, encode_predict, encode_regressions


def test_a_single_output_stands_for_itself_and_several_are_named():
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


def test_what_is_not_finite_is_written_as_tf_serving_does():
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
