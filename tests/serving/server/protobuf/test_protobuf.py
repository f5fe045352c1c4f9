"""Large messages: counted before anything is made of them, and read to the same end as protobuf would."""

import struct
import tracemalloc

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.errors import Code, StatusError
from serving.server.calls import request_tensors
from serving.server.calls.budget import Limits
from serving.server.protobuf import encode_response, parse, parsing, serialized_examples
from serving.wire import dtypes, protos, tensor_values, varints

KINDS = [
    protos.PredictRequest,
    protos.ClassificationRequest,
    protos.RegressionRequest,
    protos.MultiInferenceRequest,
    protos.GetModelMetadataRequest,
    protos.GetModelStatusRequest,
    protos.ReloadConfigRequest,
]
MANY = 40_000


def key(number, form):
    return varints.write(number << 3 | form)


def delimited(number, content):
    return key(number, 2) + varints.write(len(content)) + content


def predict_of(**inputs):
    """The bytes of a PredictRequest whose inputs are the bytes of TensorProtos."""
    entries = [delimited(2, delimited(1, name.encode()) + delimited(2, tensor)) for name, tensor in inputs.items()]
    return delimited(1, delimited(1, b"m")) + b"".join(entries)


def tensor_of(dtype, shape, *fields):
    dims = b"".join([delimited(2, key(1, 0) + varints.write(size)) for size in shape])
    return key(1, 0) + varints.write(dtype) + delimited(2, dims) + b"".join(fields)


def decoded(body, kind=protos.PredictRequest, limits=Limits(max_rows=50, max_bytes=2000)):  # noqa: B008
    """What a request's inputs are, or how it was refused."""
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
        # Numbers of another type than the tensor's are not looked at; nor are resources and variants.
        return
    assert found == expected


@given(content=st.binary(max_size=200), kind=st.sampled_from(KINDS))
@settings(max_examples=300, deadline=None)
def test_large_bytes_are_a_message_where_protobuf_says_so(content, kind):
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
def test_large_examples_are_those_that_protobuf_reads(kind, inputs):
    body = b""
    for with_context, parts in inputs:
        # An example list, or an example list with a context where a part may be one: either may come in pieces.
        content = b"".join([delimited(2 if with_context and context else 1, example(x)) for context, x in parts])
        body += delimited(2, delimited(2 if with_context else 1, content))
    assert {type(one) for one in (decoded(body, kind),)} <= {list, Code}
    expected = decoded(body, kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "INLINE_BYTES", -1)
        found = decoded(body, kind)
    assert read(found) == read(expected)


def example(x):
    made = protos.Example()
    made.features.feature["x"].int64_list.value.append(x)
    return made.SerializeToString()


def read(examples):
    """Contexts may come in pieces, which a parser joins."""
    return [protos.Example.FromString(one) for one in examples] if isinstance(examples, list) else examples


@pytest.mark.parametrize("as_content", [False, True])
@pytest.mark.parametrize("dtype", [one for one in dtypes.NUMPY.values() if one.kind != "O"], ids=str)
def test_large_tensors_of_every_type_come_back_as_they_were_sent(dtype, as_content):
    bits = np.random.default_rng(5).integers(0, 256, (1700, 50, dtype.itemsize), np.uint8)
    array = bits.view(dtype)[..., 0] if dtype != np.bool_ else (bits[..., 0] > 99)
    request = protos.PredictRequest()
    tensor_values.encode_into(request.inputs["x"], array, as_content)
    body = request.SerializeToString()
    assert len(body) > parsing.INLINE_BYTES
    found = request_tensors.decode_inputs(parse(protos.PredictRequest, body).inputs)["x"]
    assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())
    # TensorFlow copies what does not lie so, with Python's lock held; bools are made otherwise.
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


STRING = dtypes.STRING
HOSTILE = {
    "a shape of one string": (protos.PredictRequest, predict_of(x=tensor_of(STRING, [8388608], delimited(8, b"x")))),
    "an empty shape of many rows": (protos.PredictRequest, predict_of(x=tensor_of(1, [2**40, 0]))),
    "an empty shape of many strings": (protos.PredictRequest, predict_of(x=tensor_of(STRING, [0, 2**20]))),
    "a shape of no string": (protos.PredictRequest, predict_of(x=tensor_of(STRING, [4096, 4096]))),
    "a long string repeated": (
        protos.PredictRequest,
        predict_of(x=tensor_of(STRING, [999], delimited(8, b"x" * 9999))),
    ),
    "a shape of one number": (protos.PredictRequest, predict_of(x=tensor_of(9, [2**19 + 1], key(10, 0) + b"\x07"))),
    "strings in the content": (
        protos.PredictRequest,
        predict_of(x=tensor_of(STRING, [60_000], delimited(4, bytes(60_000)))),
    ),
    "many shapes": (
        protos.PredictRequest,
        predict_of(**{f"x{i}": tensor_of(1, [2**16], delimited(5, b"1234")) for i in range(17)}),
    ),
    "many strings": (protos.PredictRequest, predict_of(x=tensor_of(STRING, [1], delimited(8, b"") * MANY))),
    "many strings in a large content": (
        protos.PredictRequest,
        predict_of(x=tensor_of(STRING, [MANY], delimited(4, bytes(MANY)))),
    ),
    "numbers that are not packed": (
        protos.PredictRequest,
        predict_of(x=tensor_of(3, [1], (key(7, 0) + b"\x01") * MANY)),
    ),
    "many dimensions": (protos.PredictRequest, predict_of(x=tensor_of(1, [1] * (MANY // 2)))),
    "a long name": (protos.PredictRequest, delimited(1, delimited(1, b"m" * 70_000))),
    "a long name of an input": (protos.PredictRequest, predict_of(**{"x" * 70_000: tensor_of(1, [1])})),
    "a long filter": (protos.PredictRequest, delimited(3, b"y" * 70_000)),
    "many inputs": (protos.PredictRequest, delimited(2, b"") * MANY),
    "many filters": (protos.PredictRequest, delimited(3, b"") * MANY),
    "many specs": (protos.PredictRequest, delimited(1, b"") * MANY),
    "many fields in a spec": (protos.PredictRequest, delimited(1, delimited(2, b"") * MANY)),
    "unknown fields": (protos.PredictRequest, (key(1000, 0) + b"\x01") * MANY),
    "unknown groups": (protos.PredictRequest, (key(1000, 3) + key(1000, 4)) * MANY),
    "a group of fields": (protos.PredictRequest, key(9, 3) + (key(10, 0) + b"\x01") * MANY + key(9, 4)),
    "many labels": (
        protos.ReloadConfigRequest,
        delimited(1, delimited(1, delimited(1, delimited(8, delimited(1, b"")) * MANY))),
    ),
    "many versions": (
        protos.ReloadConfigRequest,
        delimited(1, delimited(1, delimited(1, delimited(7, delimited(102, delimited(1, bytes(2 * MANY))))))),
    ),
    "many metadata fields": (protos.GetModelMetadataRequest, delimited(2, b"") * MANY),
    "many tasks": (protos.MultiInferenceRequest, delimited(1, b"") * MANY),
    **{
        f"{what} of {kind.DESCRIPTOR.name}": (kind, delimited(2, content))
        for kind in KINDS[1:4]
        for what, content in {
            "many examples": delimited(1, delimited(1, b"") * MANY),
            "some empty examples": delimited(1, delimited(1, b"") * 2_000),
            "a context for many": delimited(2, delimited(1, b"") * 1000 + delimited(2, delimited(9, b"x" * 9999))),
        }.items()
    },
}


def use(kind, body, limits):
    request = parse(kind, body, limits)
    if kind is protos.PredictRequest:
        request_tensors.decode_inputs(request.inputs, limits)
    else:
        serialized_examples(request.input, limits)


@pytest.mark.parametrize("what", HOSTILE)
def test_what_would_grow_is_refused_before_it_does(what):
    """With a sixteenth of the server's own limits."""
    kind, body = HOSTILE[what]
    tracemalloc.start()
    try:
        with pytest.raises(StatusError, match=r"at most \d+ are taken|for each of --max_request_rows") as refused:
            use(kind, body, Limits(2**22, 2**10))
        grown = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refused.value.code is Code.INVALID_ARGUMENT
    assert grown < 2**22 + 2**20


def test_a_long_string_is_one_row():
    limits = Limits(max_rows=1)
    body = predict_of(x=tensor_of(STRING, [1], delimited(8, b"x" * 99_999)))
    assert (
        len(request_tensors.decode_inputs(parse(protos.PredictRequest, body, limits).inputs, limits)["x"][0]) == 99_999
    )


def test_what_is_made_is_taken_from_the_budget_first():
    strings = predict_of(a=tensor_of(STRING, [3], delimited(8, b"x" * 70_000)), b=tensor_of(1, [4]))
    taken = []
    parse_limits = Limits(take=lambda size, rows: taken.append((size, rows)))
    request_tensors.decode_inputs(parse(protos.PredictRequest, strings, parse_limits).inputs, parse_limits)
    assert sum(rows for _, rows in taken) == 3
    assert 3 * 70_000 <= sum(size for size, _ in taken) < 3 * 70_000 + 5000

    def none_left(size, rows):
        if rows:
            raise StatusError(Code.RESOURCE_EXHAUSTED, "none left")

    with pytest.raises(StatusError, match="none left"):
        request_tensors.decode_inputs(parse(protos.PredictRequest, strings).inputs, Limits(take=none_left))


class GoneError(Exception):
    pass


@pytest.mark.parametrize(
    "use",
    [
        lambda check: parse(
            protos.PredictRequest,
            predict_of(x=tensor_of(STRING, [1], delimited(8, b"") * 33_000)),
            Limits(max_rows=2**16),
            check,
        ),
        lambda check: parse(
            protos.ClassificationRequest, delimited(2, delimited(1, delimited(1, example(1)) * 9_000)), Limits(), check
        ),
        lambda check: request_tensors.decode_inputs(
            parse(protos.PredictRequest, predict_of(x=tensor_of(9, [2**19], delimited(10, bytes(2**19))))).inputs,
            Limits(),
            check,
        ),
        lambda check: request_tensors.decode_inputs(
            parse(protos.PredictRequest, predict_of(x=tensor_of(STRING, [9_000], delimited(4, bytes(2**19))))).inputs,
            Limits(),
            check,
        ),
        lambda check: encode_response(protos.ModelSpec(), {"y": np.zeros(2**17, np.int64)}, False, check),
        lambda check: request_tensors.encode_outputs(
            protos.PredictResponse().outputs, {"y": np.full(5000, b"x", object)}, False, check
        ),
    ],
)
def test_work_for_a_caller_who_has_gone_is_given_up(use):
    calls = []

    def check():
        calls.append(1)
        if len(calls) > 1:
            raise GoneError

    with pytest.raises(GoneError):
        use(check)


@pytest.mark.parametrize("as_content", [False, True])
def test_a_large_answer_is_what_protobuf_would_write(as_content):
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


def test_sizes_count_each_string_as_often_as_it_comes():
    arrays = {"a": np.zeros((3, 4), np.float32), "b": np.full((5,), b"x" * 1000, object)}
    assert request_tensors.rows_of(arrays) == 5
    assert 5048 <= request_tensors.size_of(arrays) < 6000
