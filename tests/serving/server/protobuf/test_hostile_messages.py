"""Large messages are counted before they are expanded, and work for them can be abandoned."""

import tracemalloc

import numpy as np
import pytest
from protobuf_messages import KINDS, MANY, delimited, example, key, predict_of, tensor_of

from serving.errors import Code, StatusError
from serving.server.calls import request_tensors
from serving.server.calls.request_limits import Limits
from serving.server.protobuf import encode_response, parse, serialized_examples
from serving.wire import dtypes, protos

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
def test_messages_that_would_expand_too_much_are_refused_first(what):
    """Uses a sixteenth of the server's default limits."""
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


def test_memory_is_reserved_before_it_is_allocated():
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
def test_work_for_a_caller_that_has_left_is_abandoned(use):
    calls = []

    def check():
        calls.append(1)
        if len(calls) > 1:
            raise GoneError

    with pytest.raises(GoneError):
        use(check)
