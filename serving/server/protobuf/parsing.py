"""Bytes to messages; large ones are counted first, and their large fields are not parsed by protobuf."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from serving.server.calls.request_limits import Limits
from serving.server.calls.worker_threads import INLINE_BYTES, Check, unchecked
from serving.server.protobuf.example_bytes import SlicedInput
from serving.server.protobuf.field_walk import DEFAULT_LIMITS, LENGTH, Walk
from serving.server.protobuf.tensor_bytes import SlicedTensor
from serving.wire.protos import PredictRequest

_INPUTS = PredictRequest.DESCRIPTOR.fields_by_name["inputs"].message_type
_INPUT = "tensorflow.serving.Input"
_KEY, _VALUE = 1, 2
_PARSED_BYTES = 64  # approximate overhead of a field in a parsed message


class PartlyParsed:
    """A message with some fields left unparsed, in their own form; all others are protobuf's."""

    def __init__(self, message: Any, fields: dict[str, Any]) -> None:
        self._message = message
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._message, name)


def parse(kind: Any, body: bytes, limits: Limits = DEFAULT_LIMITS, check: Check = unchecked) -> Any:
    """Parses a message.

    Up to `INLINE_BYTES` protobuf does it, in a millisecond and with some megabytes. In a larger one, `inputs` (of
    Predict) is a dict of name to `SlicedTensor`, for `decode_inputs`, which keeps `body` alive; `input` (of Classify,
    Regress and MultiInference) is a `SlicedInput`, for `serialized_examples`.

    Args:
        kind: the class.
        body: a serialized message.
        limits: for the request.
        check: called every few milliseconds.

    Raises:
        DecodeError: the bytes are not such a message.
        StatusError: INVALID_ARGUMENT, it has too many fields, rows or bytes.
    """
    if len(body) <= INLINE_BYTES:
        return kind.FromString(body)
    walk, known = Walk(body, limits, check), kind.DESCRIPTOR.fields_by_number
    left: dict[str, Any] = {}
    rest: list[list[int]] = []  # begin and end of what protobuf shall parse
    before = 0
    for number, form, begin, end in walk.fields(0, len(body)):
        field = known.get(number)
        name = field.message_type.full_name if field is not None and field.message_type is not None else ""
        if name == _INPUTS.full_name and form == LENGTH:
            _read_input(walk, begin, end, left.setdefault(field.name, {}))
        elif name == _INPUT and form == LENGTH:
            left.setdefault(field.name, SlicedInput()).read(walk, begin, end)
        elif field is not None:
            walk.count_parsed(field, form, begin, end)
            if rest and rest[-1][1] == before:
                rest[-1][1] = end
            else:
                rest.append([before, end])
        before = end
    return _build(kind, walk, rest, left, limits)


def _read_input(walk: Walk, begin: int, end: int, inputs: dict[str, SlicedTensor]) -> None:
    """Reads an entry of the map of inputs; if a name occurs twice, the last one wins."""
    name, tensor = b"", SlicedTensor()
    for number, form, start, stop in walk.fields(begin, end):
        if number == _KEY and form == LENGTH:
            walk.check_name(_INPUTS.fields_by_number[_KEY], start, stop)
            name = bytes(walk.view[start:stop])
        elif number == _VALUE and form == LENGTH:
            tensor.read(walk, start, stop)
    try:
        inputs[name.decode()] = tensor
    except UnicodeDecodeError as error:
        raise DecodeError("the name of an input is not UTF-8") from error


def _build(kind: Any, walk: Walk, rest: list[list[int]], left: dict[str, Any], limits: Limits) -> Any:
    limits.take(2 * sum([end - begin for begin, end in rest]) + _PARSED_BYTES * walk.counted_fields(), 0)
    message = kind.FromString(b"".join([walk.view[begin:end] for begin, end in rest]))
    for one in left.values():
        if isinstance(one, SlicedInput):
            one.build(limits, walk.check)
    if kind is PredictRequest:
        left.setdefault("inputs", {})
    return PartlyParsed(message, left) if left else message
