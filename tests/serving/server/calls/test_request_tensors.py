"""Tensors in requests: those that TensorFlow accepts, those that it refuses, and hostile ones."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from protobuf_messages import decode, encode

from serving.errors import Code, StatusError
from serving.server.calls import request_tensors
from serving.server.calls.request_limits import Limits
from serving.wire import dtypes
from serving.wire.protos import PredictRequest, TensorProto, TensorShapeProto

NUMERIC = [dtype for number, dtype in dtypes.NUMPY.items() if number != dtypes.STRING]


def proto_of(dtype, shape, **values):
    dims = [TensorShapeProto.Dim(size=size) for size in shape]
    return TensorProto(dtype=dtype, tensor_shape=TensorShapeProto(dim=dims), **values)


def same(left, right):
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


@pytest.mark.parametrize("as_content", [False, True])
@pytest.mark.parametrize("dtype", NUMERIC, ids=str)
def test_numbers_round_trip(dtype, as_content):
    bits = np.random.default_rng(3).integers(0, 2, (5, 7, dtype.itemsize), np.uint8)
    array = bits.view(dtype)[..., 0] if dtype != np.bool_ else bits[..., 0].astype(bool)
    for one in (array, array[0], array[0, 0], array[:0], np.asfortranarray(array), array[:, ::2]):
        assert same(
            decode(TensorProto.FromString(encode(one, as_content).SerializeToString())),
            one,
        )


@pytest.mark.parametrize("as_content", [False, True])
@given(strings=st.lists(st.binary(max_size=300), max_size=20))
@settings(max_examples=50, deadline=None)
def test_strings_round_trip(as_content, strings):
    array = np.empty(len(strings), object)
    array[:] = strings
    decoded = decode(encode(array, as_content))
    assert decoded.dtype == object
    assert decoded.tolist() == strings


@given(
    array=st.sampled_from([np.float32, np.float64, np.int32, np.int64, np.uint64, np.bool_, np.complex64]).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6))
    ),
    as_content=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_any_array_round_trips(array, as_content):
    decoded = decode(encode(array, as_content))
    assert decoded.shape == array.shape
    np.testing.assert_array_equal(decoded, array)


@pytest.mark.parametrize(
    ("proto", "expected"),
    [
        (proto_of(dtypes.FLOAT, [3], float_val=[2.0]), np.float32([2, 2, 2])),
        (proto_of(dtypes.FLOAT, [3], float_val=[1.0, 2.0]), np.float32([1, 2, 2])),
        (proto_of(dtypes.FLOAT, [2], float_val=[1.0, 2.0, 3.0]), np.float32([1, 2])),
        (proto_of(dtypes.FLOAT, [2]), np.float32([0, 0])),
        (proto_of(dtypes.FLOAT, [], float_val=[4.0]), np.float32(4)),
        (proto_of(dtypes.INT8, [2], int_val=[-1, 300]), np.int8([-1, 44])),
        (proto_of(dtypes.HALF, [1], half_val=[0x3C00]), np.float16([1])),
        (proto_of(dtypes.BFLOAT16, [1], half_val=[0x3F80]), np.array([1], ml_dtypes.bfloat16)),
        (proto_of(dtypes.COMPLEX64, [1], scomplex_val=[1.0, 2.0]), np.complex64([1 + 2j])),
        (proto_of(dtypes.BOOL, [2], tensor_content=b"\x00\x05"), np.array([False, True])),
        (proto_of(dtypes.INT64, [0, 5]), np.empty((0, 5), np.int64)),
    ],
)
def test_values_are_read_by_tensorflows_rules(proto, expected):
    assert same(decode(proto), np.asarray(expected))


def test_a_string_is_repeated_too():
    assert decode(proto_of(dtypes.STRING, [2], string_val=[b"a\x00"])).tolist() == [
        b"a\x00",
        b"a\x00",
    ]


@pytest.mark.parametrize(
    "proto",
    [
        TensorProto(),
        proto_of(999, [1]),
        proto_of(dtypes.FLOAT, [-1], float_val=[1.0]),
        TensorProto(dtype=dtypes.FLOAT, tensor_shape=TensorShapeProto(unknown_rank=True), float_val=[1.0]),
        proto_of(dtypes.FLOAT, [2**40, 2**40], float_val=[1.0]),
        proto_of(dtypes.FLOAT, [0, 2**62], float_val=[1.0]),
        proto_of(dtypes.FLOAT, [1] * 255, float_val=[1.0]),
        proto_of(dtypes.FLOAT, [2], tensor_content=b"1234567"),
        proto_of(dtypes.FLOAT, [2], tensor_content=b"123456789"),
        proto_of(dtypes.STRING, [2], tensor_content=b"\x01\x01a"),
        proto_of(dtypes.STRING, [1], tensor_content=b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        proto_of(20, [1]),
    ],
)
def test_an_invalid_tensor_is_refused_by_name(proto):
    with pytest.raises(StatusError) as refused:
        decode(proto, "x")
    assert (refused.value.code, refused.value.message) == (Code.INVALID_ARGUMENT, "tensor parsing error: x")


def test_all_inputs_of_a_request_share_the_bound_on_bytes():
    request = PredictRequest()
    for name in "abc":
        request.inputs[name].CopyFrom(proto_of(dtypes.FLOAT, [200], float_val=[1.0]))
    assert request_tensors.decode_inputs(request.inputs, Limits(2400))["c"].shape == (200,)
    with pytest.raises(StatusError, match=r"2400 bytes or more .* at most 2399 .*max_message_bytes"):
        request_tensors.decode_inputs(request.inputs, Limits(2399))


@given(content=st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_tensor_or_refused(content):
    request = PredictRequest()
    try:
        request.inputs["x"].MergeFromString(content)
    except Exception:  # noqa: BLE001 protobuf's own error: such bytes never reach us
        return
    try:
        arrays = request_tensors.decode_inputs(request.inputs, Limits(1 << 20))
    except StatusError:
        return
    assert arrays["x"].nbytes <= 1 << 21


@given(
    dtype=st.integers(0, 30),
    shape=st.lists(st.integers(-2, 2**63 - 1) | st.integers(0, 4), max_size=5),
    content=st.binary(max_size=40),
    floats=st.lists(st.floats(width=32), max_size=20),
    integers=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=20),
    strings=st.lists(st.binary(max_size=5), max_size=5),
)
@settings(max_examples=300, deadline=None)
def test_any_fields_are_a_tensor_or_refused(dtype, shape, content, floats, integers, strings):
    proto = proto_of(dtype, shape, tensor_content=content, float_val=floats, int_val=integers, string_val=strings)
    proto.half_val.extend(integers)
    proto.scomplex_val.extend(floats)
    try:
        array = decode(proto, "x", Limits(1 << 20))
    except StatusError:
        return
    assert array.shape == tuple(shape)
    assert array.dtype == dtypes.NUMPY[dtype]
