import contextlib
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.errors import Code, StatusError
from serving.server.calls.request_limits import Limits
from serving.server.front.json.json_predict import decode_predict
from serving.server.front.json.json_responses import encode_predict
from serving.wire import dtypes


def info(**inputs):
    return inputs


def decode(body, infos):
    body = body if isinstance(body, bytes) else body.encode()
    return decode_predict(body, lambda signature: infos, Limits())


def refusal(body, infos=None):
    with pytest.raises(StatusError) as caught:
        decode(body, info(x=dtypes.FLOAT) if infos is None else infos)
    assert caught.value.code is Code.INVALID_ARGUMENT
    return caught.value.message


def same(array, expected, dtype):
    assert array.dtype == dtypes.NUMPY[dtype]
    np.testing.assert_array_equal(array, np.array(expected, array.dtype))


@pytest.mark.parametrize(
    ("body", "dtype", "expected"),
    [
        ('{"instances": [1, 2.5, 0.0]}', dtypes.FLOAT, [1, 2.5, 0]),
        ('{"instances": [1435774380]}', dtypes.FLOAT, [1435774380.0]),
        ('{"instances": [1.7976931348623157e308]}', dtypes.FLOAT, [np.inf]),
        ('{"instances": [NaN, Infinity, -Infinity]}', dtypes.DOUBLE, [np.nan, np.inf, -np.inf]),
        ('{"instances": [99999999999999999999]}', dtypes.DOUBLE, [1e20]),
        ('{"instances": [[1, 2], [3, 4]]}', dtypes.INT32, [[1, 2], [3, 4]]),
        ('{"instances": [[[1], [2]]]}', dtypes.INT64, [[[1], [2]]]),
        ('{"instances": [18446744073709551615]}', dtypes.UINT64, [2**64 - 1]),
        ('{"instances": [true, false]}', dtypes.BOOL, [True, False]),
        ('{"instances": [300]}', dtypes.UINT8, [44]),
        ('{"instances": [[], []]}', dtypes.FLOAT, [[], []]),
        ('{"inputs": 7}', dtypes.INT32, 7),
        ('{"inputs": []}', dtypes.FLOAT, []),
    ],
)
def test_numbers_become_arrays_of_the_signatures_dtype(body, dtype, expected):
    signature, inputs, in_rows = decode(body, info(x=dtype))
    assert (signature, in_rows) == ("", "instances" in body)
    same(inputs["x"], expected, dtype)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"instances": ["so good", "é"]}', [b"so good", "é".encode()]),
        ('{"instances": [{"b64": "aGVsbG8="}, "plain"]}', [b"hello", b"plain"]),
        ('{"instances": [[{"b64": "aGVsbG8"}], ["plain"]]}', [[b"hello"], [b"plain"]]),
        (b'{"instances": ["\xff\xfe"]}', [b"\xff\xfe"]),
        ('{"inputs": {"b64": "AAE="}}', b"\x00\x01"),
        ('{"instances": ["\\ud83d\\ude00", NaN]}'.replace(", NaN", ""), ["😀".encode()]),
        ('{"instances": ["a"]} and more', [b"a"]),
    ],
)
def test_strings_become_bytes_even_if_not_utf8(body, expected):
    assert decode(body, info(text=dtypes.STRING))[1]["text"].tolist() == expected


def test_rows_of_objects_and_columns_give_the_same_arrays():
    infos = info(a=dtypes.FLOAT, b=dtypes.STRING)
    rows = decode('{"signature_name": "s", "instances": [{"a": [1, 2], "b": "x"}, {"b": "y", "a": [3, 4]}]}', infos)
    columns = decode('{"signature_name": "s", "inputs": {"a": [[1, 2], [3, 4]], "b": ["x", "y"]}}', infos)
    assert rows[0] == columns[0] == "s"
    for name in infos:
        assert rows[1][name].tolist() == columns[1][name].tolist()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "JSON Parse error: The document is empty"),
        ("  ", "JSON Parse error: The document is empty. at offset: 2"),
        ("{", "JSON Parse error: Missing a name for object member. at offset: 1"),
        ("{]", "JSON Parse error: Missing a name for object member. at offset: 1"),
        ('{"a" 1}', "JSON Parse error: Missing a colon after a name of object member. at offset: 5"),
        ('{"a": [1 2]}', "JSON Parse error: Missing a comma or ] after an array element. at offset: 9"),
        ('{"a": 1 "b": 2}', "JSON Parse error: Missing a comma or } after an object member. at offset: 8"),
        ('{"a": x}', "JSON Parse error: Invalid value. at offset: 6"),
        ('{"a": "', "JSON Parse error: Missing a closing quotation mark in string. at offset: 6"),
        ('{"a": "\\ud800"}', "JSON Parse error: The surrogate pair in string is invalid. at offset: 0"),
        ("[1, 2]", "JSON Value: [1, 2] Is not object"),
        ("{}", "Missing 'inputs' or 'instances' key"),
        (
            '{"instances": [1], "inputs": [1]}',
            'JSON Value: {\n    "instances": [1],\n    "inputs": [1]\n} Not formatted correctly expecting only one of '
            "'inputs' or 'instances' keys to exist ",
        ),
        ('{"instances": 1}', "JSON Value: {\n    \"instances\": 1\n} Expecting 'instances' to be an list/array"),
        ('{"instances": []}', "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array"),
        (
            '{"signature_name": 5, "instances": [1]}',
            'JSON Value: {\n    "signature_name": 5,\n    "instances": [1]\n} not formatted correctly. '
            "'signature_name' key must be a string value.",
        ),
        (
            '{"instances": ["a"]}',
            "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: "
            'JSON Value: "a" Type: String is not of expected type: float',
        ),
        (
            '{"instances": [true]}',
            "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: "
            "JSON Value: true Type: True is not of expected type: float",
        ),
        (
            '{"instances": [[1, 2], [3]]}',
            "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
            "Expecting tensor size: 2 but got: 1",
        ),
        (
            '{"instances": [[1, 2], [[3, 4]]]}',
            "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
            "Expecting shape [2] but got: [1,2]",
        ),
        ('{"instances": [1, {"x": 1}]}', "Expecting value/list but got object at item 1 of input list"),
        ('{"instances": [{"x": 1}, 1]}', "Expecting object but got list at item 1 of input list"),
        (
            '{"instances": [{"y": 1}]}',
            "Failed to process element: 0 key: y of 'instances' list. Error: INVALID_ARGUMENT: "
            "JSON object: does not have named input: y",
        ),
        (
            '{"instances": [{}]}',
            "Failed to process element: 0 of 'instances' list. JSON object: {} keys must be equal to: x",
        ),
        ('{"inputs": {"y": 1}}', "Missing named input: x in 'inputs' object."),
        (
            '{"inputs": [[1], 2]}',
            "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
        ),
        ('{"inputs": [1, [2]]}', "Encountered list at unexpected level: 1 expected < 1"),
        ('{"inputs": [[1, 2], [3]]}', "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
        ('{"inputs": ' + "[" * 40 + "1" + "]" * 40 + "}", "Arrays of 40 dimensions are not supported: at most 32"),
        (
            '{"inputs": ' + "[" * 64 + "1" + "]" * 64 + "}",
            "JSON Parse error: The document is nested deeper than 64 levels (--max_json_depth)",
        ),
    ],
)
def test_errors_have_tf_servings_message(body, message):
    assert refusal(body) == message


def test_a_plain_list_is_refused_for_several_inputs():
    two = info(a=dtypes.FLOAT, b=dtypes.FLOAT)
    assert refusal('{"instances": [1]}', two) == (
        "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
        "tensorinfo_map"
    )
    assert refusal('{"inputs": [1]}', two) == (
        "inputs is a plain value/list, but expecting an object as multiple input tensors required as per tensorinfo_map"
    )
    assert refusal('{"inputs": [1]}', {}) == "Failed to get input map for signature: DEFAULT"


@pytest.mark.parametrize(
    ("value", "dtype", "name"), [("1.0", dtypes.INT32, "int32"), (str(2**31), dtypes.INT32, "int32")]
)
def test_a_number_that_an_integer_cannot_hold_is_refused(value, dtype, name):
    message = refusal(f'{{"inputs": {value}}}', info(x=dtype))
    assert message == f"JSON Value: {value} Type: Number is not of expected type: {name}"


def test_wrong_base64_is_refused():
    infos = info(x=dtypes.STRING)
    assert refusal('{"inputs": {"b64": "*"}}', infos) == "Unable to base64 decode"
    assert refusal('{"inputs": [{"b64": 5}]}', infos) == (
        'JSON Value: {\n    "b64": 5\n} not formatted correctly for base64 data'
    )


def test_a_long_value_is_cut_in_the_message():
    assert len(refusal('{"instances": "' + "x" * 5 + '", "more": ' + json.dumps(list(range(1000))) + "}")) < 400


def test_brackets_in_strings_do_not_count_as_nesting():
    text = "[" * 200 + '\\"' + "{" * 200
    body = json.dumps({"instances": [text, "b"]})
    assert decode(body, info(x=dtypes.STRING))[1]["x"][0] == text.encode()


@given(st.lists(st.floats(width=32), min_size=1, max_size=5))
def test_floats_round_trip(values):
    y = np.array(values, np.float32)
    text = encode_predict({"y": y}, True).replace(b"predictions", b"instances")
    np.testing.assert_array_equal(decode(text, info(x=dtypes.FLOAT))[1]["x"], y)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just({"b64": "YQ=="}),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "b64", "y"]), inner, max_size=2),
    max_leaves=8,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(JSON, st.sampled_from(["instances", "inputs"]), st.sampled_from(sorted(dtypes.NUMPY)))
def test_any_json_is_an_array_or_a_status(value, key, dtype):
    with contextlib.suppress(StatusError):
        inputs = decode(json.dumps({key: value}), info(x=dtype))[1]
        assert inputs["x"].dtype == dtypes.NUMPY[dtype]


@settings(max_examples=300)
@given(st.binary(max_size=40), st.sampled_from([b"", b'{"instances": [', b'{"inputs": "', b'{"inputs": {"b64": "']))
def test_any_bytes_are_an_array_or_a_status(noise, start):
    try:
        decode(start + noise, info(x=dtypes.STRING))
    except StatusError as error:
        error.message.encode()
