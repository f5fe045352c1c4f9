"""The fuzzer's tools: messages are serialized as protobuf does, and the seed determines a case."""

from random import Random

import pytest

from benchmarks.siege import wire
from benchmarks.siege.mutations import (
    MOST_BYTES,
    encode_fields,
    fields,
    mutate_bytes,
    mutate_frames,
    mutate_json,
    mutate_message,
)
from benchmarks.siege.valid_requests import DOCUMENTS, MESSAGES
from serving.wire import protos
from serving.wire.protos import PredictRequest

BODIES = [(method, body) for method, bodies in MESSAGES.items() for body in bodies]


def test_requests_parse_as_their_message_types():
    request = PredictRequest.FromString(wire.floats_request(1.0, 2.5))
    assert request.model_spec.name == "half_plus_two"
    assert list(request.inputs["x"].float_val) == [1.0, 2.5]
    assert request.inputs["x"].tensor_shape.dim[0].size == 2
    request = PredictRequest.FromString(wire.text_request("so good", "so dull"))
    assert list(request.inputs["text"].string_val) == [b"so good", b"so dull"]


@pytest.mark.parametrize(("method", "body"), BODIES)
def test_seeds_are_messages_and_survive_parsing_and_serializing(method, body):
    service, _, name = method[1:].partition("/")
    if not service.startswith("grpc."):
        protos.methods(service)[name][0].FromString(body)
    assert encode_fields(fields(body)) == body


def test_deeply_repeated_messages_are_cut():
    message = [(1, 2, b"a" * 10)]
    for _ in range(4):
        message = [(1, 2, message)] * 1000
    assert MOST_BYTES <= len(encode_fields(message)) < 2 * MOST_BYTES


@pytest.mark.parametrize("seed", range(50))
def test_the_seed_determines_a_case(seed):
    def cases():
        source = Random(seed)
        body = source.choice(BODIES)[1]
        frames = [wire.settings(), wire.frame(wire.HEADERS, 4, 1, wire.call_headers(wire.PREDICT)), wire.data(1, body)]
        yield mutate_bytes(source, body)
        yield mutate_message(source, body)
        yield mutate_json(source, source.choice(DOCUMENTS)[1])
        yield mutate_frames(source, frames)

    first = list(cases())
    assert first == list(cases())
    assert all(len(one) <= MOST_BYTES + 4 * 16_384 for one in first)
