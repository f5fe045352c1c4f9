"""Arrays to TensorProto and back, compared with TensorFlow's functions."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow.core.framework import tensor_pb2

from serving.wire.protos import TensorProto
from serving.wire.tensor_codec import as_array, from_proto, to_proto

_DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
_ARRAYS = st.sampled_from(_DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0)))


@settings(max_examples=60, deadline=None)
@given(_ARRAYS)
def test_encoding_and_decoding_agree_with_tensorflow(array: np.ndarray) -> None:
    theirs = tf.make_ndarray(tensor_pb2.TensorProto.FromString(to_proto(array).SerializeToString()))
    np.testing.assert_array_equal(theirs, array)
    assert theirs.dtype == array.dtype
    ours = from_proto(TensorProto.FromString(tf.make_tensor_proto(array).SerializeToString()))
    np.testing.assert_array_equal(ours, array)
    assert ours.dtype == array.dtype


def test_repeated_values_may_be_left_out_and_bfloat16_is_widened() -> None:
    proto = TensorProto(dtype=1, float_val=[1.0, 2.0])
    proto.tensor_shape.dim.add(size=4)
    assert from_proto(proto).tolist() == [1.0, 2.0, 2.0, 2.0]
    bfloat = tf.make_tensor_proto(tf.constant([1.5, -2.0], tf.bfloat16))
    assert from_proto(TensorProto.FromString(bfloat.SerializeToString())).tolist() == [1.5, -2.0]


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_strings_of_a_tensor_content_are_read(strings: list[bytes]) -> None:
    """As --enable_serialization_as_tensor_content sends them; TensorFlow can write them in C++ only."""
    content = b"".join(varint(len(one)) for one in strings) + b"".join(strings)
    proto = TensorProto(dtype=7, tensor_content=content)
    proto.tensor_shape.dim.add(size=len(strings))
    assert from_proto(proto).tolist() == strings


def varint(number: int) -> bytes:
    return bytes([number & 0x7F | 0x80, number >> 7]) if number > 0x7F else bytes([number])


def test_lists_become_the_same_tensors_as_in_tensorflow() -> None:
    assert as_array([1.0]).dtype == np.float32
    assert as_array([1]).dtype == np.int32
    assert as_array([2**40]).dtype == np.int64
    assert as_array([[True]]).dtype == np.bool_
    assert as_array(["é\0"]).tolist() == ["é\0".encode()]
    assert as_array([b"\xff\0"]).tolist() == [b"\xff\0"]
    assert as_array([]).dtype == np.float32


@pytest.mark.parametrize("values", [[[1], [1, 2]], ["a", 1], [{}], [1j], ["a", ["b"]]])
def test_values_that_are_not_arrays_are_refused(values: object) -> None:
    with pytest.raises(TypeError, match="an input"):
        as_array(values)


def test_values_that_do_not_fill_the_shape_are_refused() -> None:
    proto = TensorProto(dtype=1)
    proto.tensor_shape.dim.add(size=4)
    with pytest.raises(ValueError, match="0 values for the shape"):
        from_proto(proto)
    with pytest.raises(ValueError, match="DataType 8"):
        from_proto(TensorProto(dtype=8))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([None], "the input 'text' holds NoneType None at \\[0\\]; expected rows of one length, str or bytes"),
        ([["a", "b"], ["c", 1.5]], "the input 'text' holds float 1.5 at \\[1, 1\\]"),
        ([2**70], "the input 'text' holds int 1180591620717411303424 at \\[0\\]"),
        ([1j], "the input 'text' has dtype complex128"),
    ],
)
def test_an_error_names_the_input_and_the_position(values: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        to_proto(values, "text")


def test_the_smallest_whole_number_keeps_its_value() -> None:
    assert as_array([-(2**63)]).tolist() == [-(2**63)]
    assert as_array([-(2**31)]).dtype == np.int32


def test_many_strings_of_a_tensor_content_are_read_in_linear_time() -> None:
    count = 200_000  # took minutes when it was quadratic
    proto = TensorProto(dtype=7, tensor_content=b"\x01" * count + b"x" * count)
    proto.tensor_shape.dim.add(size=count)
    begin = time.process_time()
    assert from_proto(proto).tolist() == [b"x"] * count
    assert time.process_time() - begin < 20


@pytest.mark.parametrize("content", [b"\x05ab", b"\x01", b"\x80\x80", b"\xff" * 30, b"\x01abc"])
def test_content_that_is_not_strings_is_refused(content: bytes) -> None:
    proto = TensorProto(dtype=7, tensor_content=content)
    proto.tensor_shape.dim.add(size=1)
    with pytest.raises(ValueError, match="that are not strings"):
        from_proto(proto)


@pytest.mark.parametrize(
    ("shape", "fields"),
    [
        ([2**40], {"dtype": 1, "float_val": [1.0]}),
        ([2**40], {"dtype": 7, "string_val": [b"x"]}),
        ([2**40], {"dtype": 7, "tensor_content": b"\0"}),
        ([10**7, 10], {"dtype": 9, "int64_val": [1]}),
        ([2**26], {"dtype": 14, "half_val": [1]}),
        ([-1], {"dtype": 1, "tensor_content": bytes(8)}),
        ([-1], {"dtype": 7, "string_val": [b"x"]}),
        ([1] * 33, {"dtype": 1, "float_val": [1.0]}),
        ([1] * 10**5, {"dtype": 10, "bool_val": [True]}),
    ],
)
def test_a_shape_without_values_takes_no_memory(shape: list[int], fields: dict[str, Any]) -> None:
    proto = TensorProto(**fields)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="the server sent") as refused:
            from_proto(proto)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
    assert len(str(refused.value)) < 1000
