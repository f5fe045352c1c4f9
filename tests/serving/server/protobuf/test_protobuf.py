"""Large messages are read with the same result as by protobuf."""

import struct

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from protobuf_messages import KINDS, delimited, example, key, predict_of, tensor_of

from serving.errors import Code, StatusError
from serving.server.calls import request_tensors
from serving.server.calls.request_limits import Limits
from serving.server.protobuf import encode_response, parse, parsing, serialized_examples
from serving.wire import dtypes, protos, tensor_values, varints


def decoded(body, kind=protos.PredictRequest, limits=Limits(max_rows=50, max_bytes=2000)):  # noqa: B008
    """A request's inputs, or the error with which it was refused."""
    try:
        request = parse(kind, body, limits)
        if kind is protos.PredictRequest:
            arrays = request_tensors.decode_inputs(request.inputs, limits)
            found = {name: (array.dtype, array.shape, array.tolist()) for name, array in sorted(arrays.items())}
        elif kind in KINDS[:4]:
            return serialized_examples(request.input, limits).tolist()
        else:
            found = request
        return repr(found), request.model_spec if hasattr(request, "model_spec") else None
    except StatusError as error:
        return error.code
    except DecodeError:
        return DecodeError


numbers = st.integers(0, 2**64 - 1) | st.integers(0, 300)


small = st.binary(max_size=12)


dims = st.lists(st.integers(0, 4) | numbers, max_size=3).map(
    lambda sizes: b"".join([delimited(2, key(1, 0) + varints.write(size)) for size in sizes])
)


packed = st.lists(numbers, max_size=8).map(lambda values: b"".join(map(varints.write, values)))


tensor_fields = st.one_of(
    st.sampled_from(sorted(dtypes.NUMPY)).map(lambda dtype: key(1, 0) + varints.write(dtype)),
    dims.map(lambda content: delimited(2, content)),
    st.tuples(st.sampled_from([4, 8]), small).map(lambda one: delimited(*one)),
    st.lists(small, max_size=4).map(lambda many: b"".join([delimited(8, one) for one in many])),
    st.tuples(st.sampled_from([7, 10, 11, 13, 16, 17]), packed).map(lambda one: delimited(*one)),
    st.tuples(st.sampled_from([7, 10, 11, 13, 16, 17]), numbers).map(
        lambda one: key(one[0], 0) + varints.write(one[1])
    ),
    st.tuples(st.sampled_from([5, 9]), st.lists(st.integers(0, 9), max_size=5)).map(
        lambda one: delimited(one[0], np.float32(one[1]).tobytes())
    ),
    st.tuples(st.sampled_from([6, 12]), st.lists(st.integers(0, 9), max_size=5)).map(
        lambda one: delimited(one[0], np.float64(one[1]).tobytes())
    ),
    st.integers(0, 9).map(lambda value: key(5, 5) + struct.pack("<f", value)),
    st.just(key(30, 3) + key(5, 0) + b"\x01" + key(30, 4)),
    st.tuples(st.integers(0, 2**29), st.integers(0, 7), st.binary(max_size=4)).map(
        lambda one: varints.write(one[0] << 3 | one[1]) + one[2]
    ),
)


tensor_bytes = st.tuples(
    st.sampled_from(sorted(dtypes.NUMPY)), st.lists(st.integers(0, 4), max_size=2), st.lists(tensor_fields, max_size=4)
).map(lambda one: tensor_of(one[0], one[1], *one[2]))


@given(inputs=st.lists(st.tuples(st.sampled_from("ab"), tensor_bytes), max_size=3), cut=st.none() | st.integers(0, 60))
@settings(max_examples=300, deadline=None)
def test_a_large_predict_is_read_as_protobuf_reads_it(inputs, cut):
    body = b"".join([predict_of(**{name: tensor}) for name, tensor in inputs])
    body = body if cut is None else body[: len(body) - cut]
    expected = decoded(body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "INLINE_BYTES", -1)
        found = decoded(body)
    if found != expected and expected is DecodeError:
        # Numbers of another type than the tensor's are ignored, as are resources and variants.
        return
    assert found == expected


@given(content=st.binary(max_size=200), kind=st.sampled_from(KINDS))
@settings(max_examples=300, deadline=None)
def test_large_bytes_are_a_message_exactly_when_protobuf_accepts_them(content, kind):
    expected = decoded(content, kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "INLINE_BYTES", -1)
        assert decoded(content, kind) == expected


@given(
    kind=st.sampled_from(KINDS[1:4]),
    inputs=st.lists(
        st.tuples(st.booleans(), st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=4)), max_size=3
    ),
)
@settings(max_examples=200, deadline=None)
def test_large_examples_equal_those_that_protobuf_reads(kind, inputs):
    body = b""
    for with_context, parts in inputs:
        # An example list, with or without a context; either may come in pieces.
        content = b"".join([delimited(2 if with_context and context else 1, example(x)) for context, x in parts])
        body += delimited(2, delimited(2 if with_context else 1, content))
    assert {type(one) for one in (decoded(body, kind),)} <= {list, Code}
    expected = decoded(body, kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "INLINE_BYTES", -1)
        found = decoded(body, kind)
    assert read(found) == read(expected)


def read(examples):
    """Contexts may come in pieces, which a parser joins."""
    return [protos.Example.FromString(one) for one in examples] if isinstance(examples, list) else examples


@pytest.mark.parametrize("as_content", [False, True])
@pytest.mark.parametrize("dtype", [one for one in dtypes.NUMPY.values() if one.kind != "O"], ids=str)
def test_large_tensors_of_every_type_round_trip(dtype, as_content):
    bits = np.random.default_rng(5).integers(0, 256, (1700, 50, dtype.itemsize), np.uint8)
    array = bits.view(dtype)[..., 0] if dtype != np.bool_ else (bits[..., 0] > 99)
    request = protos.PredictRequest()
    tensor_values.encode_into(request.inputs["x"], array, as_content)
    body = request.SerializeToString()
    assert len(body) > parsing.INLINE_BYTES
    found = request_tensors.decode_inputs(parse(protos.PredictRequest, body).inputs)["x"]
    assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())
    # TensorFlow copies unaligned arrays while holding Python's lock; bools are created in another way.
    assert found.ctypes.data % 64 == 0 or (dtype == np.bool_ and found.flags.aligned)


@given(values=st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 300), max_size=80))
@settings(max_examples=200, deadline=None)
def test_numbers_are_written_and_read_as_protobuf_does(values):
    array = np.array(values, np.int64)
    written = b"".join(varints.encode(array))
    proto = protos.TensorProto(int64_val=values)
    assert written == proto.SerializeToString()[2 if len(written) < 128 else 3 :]
    pieces = list(varints.decode(written, 0, len(written)))
    assert np.concatenate([*pieces, np.empty(0, np.uint64)]).view(np.int64).tolist() == values


def test_a_number_that_spans_two_steps_is_one(monkeypatch):
    monkeypatch.setattr(varints, "_STEP_BYTES", 64)
    monkeypatch.setattr(varints, "_STEP_VALUES", 5)
    values = np.random.default_rng(1).integers(-(2**63), 2**63 - 1, 500)
    written = b"".join(varints.encode(values))
    assert np.concatenate(list(varints.decode(written, 0, len(written)))).view(np.int64).tolist() == values.tolist()


@pytest.mark.parametrize("as_content", [False, True])
def test_a_large_response_equals_protobufs(as_content):
    random = np.random.default_rng(2)
    outputs = {
        str(dtype): random.integers(-100, 100, (3, 41)).astype(dtype)
        for dtype in dtypes.NUMPY.values()
        if dtype.kind != "O"
    }
    outputs |= {
        "é": np.array([[b"a", b"", b"b" * 300]], object),
        "none": np.empty((0, 2), np.int32),
        "scalar": np.float32(4).reshape(()),
        "turned": np.arange(6).reshape(2, 3).T,
        "text": np.array(["ü"], object),
    }
    expected = protos.PredictResponse(model_spec=protos.ModelSpec(name="m", signature_name="s"))
    request_tensors.encode_outputs(expected.outputs, outputs, as_content)
    written = encode_response(expected.model_spec, outputs, as_content)
    assert protos.PredictResponse.FromString(written) == expected
    assert encode_response(protos.ModelSpec(), {}) == protos.PredictResponse(model_spec={}).SerializeToString()
    with pytest.raises(StatusError, match="Unsupported dtype of an output: datetime64"):
        encode_response(protos.ModelSpec(), {"y": np.zeros(1, "M8[s]")})


def test_sizes_count_repeated_strings_each_time():
    arrays = {"a": np.zeros((3, 4), np.float32), "b": np.full((5,), b"x" * 1000, object)}
    assert request_tensors.rows_of(arrays) == 5
    assert 5048 <= request_tensors.size_of(arrays) < 6000
