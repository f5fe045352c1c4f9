"""The serialized `tf.Example`s of a request's `Input`, counted before they are created.

As in TF Serving (tensorflow_serving/util/... `SerializedInput`), the model gets the bytes as sent: Examples of a large
request are not parsed here, so the model reports errors in them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from serving.errors import StatusError, invalid_argument
from serving.server.calls.request_limits import Limits
from serving.server.calls.worker_threads import Check, unchecked
from serving.server.protobuf.field_walk import DEFAULT_LIMITS, LENGTH, Walk, too_many_bytes, too_many_rows
from serving.server.protobuf.joined_bytes import joined

OBJECT_BYTES = 41
"""The overhead of a string in an array: a reference, and the header of a `bytes` object."""

_LIST, _LIST_WITH_CONTEXT = 1, 2
_EXAMPLES, _CONTEXT = 1, 2
_STEP_ROWS = 256


class SlicedInput:
    """An `Input` of a large message. After `build`, `examples` holds its serialized `tf.Example`s, shape [B]."""

    def __init__(self) -> None:
        self.examples = np.empty(0, object)
        self._kind = 0
        self._slices: list[memoryview] = []
        self._context: list[memoryview] = []

    def read(self, walk: Walk, begin: int, end: int) -> None:
        """Reads an `Input` between two positions; repeated ones are merged, as in protobuf.

        Raises:
            DecodeError, StatusError: see `Walk`.
        """
        for kind, form, start, stop in walk.fields(begin, end):
            if kind not in (_LIST, _LIST_WITH_CONTEXT) or form != LENGTH:
                continue
            if kind != self._kind:  # the last one wins
                self._kind, self._slices, self._context = kind, [], []
            for number, inner_form, at, behind in walk.fields(start, stop):
                if inner_form == LENGTH and number == _EXAMPLES:
                    walk.count_rows()
                    self._slices.append(walk.view[at:behind])
                elif inner_form == LENGTH and number == _CONTEXT and kind == _LIST_WITH_CONTEXT:
                    self._context.append(walk.view[at:behind])

    def build(self, limits: Limits, check: Check) -> None:
        """Creates `examples`.

        Raises:
            StatusError: INVALID_ARGUMENT, they need too much memory.
        """
        context = joined(self._context, check)
        _reserve(len(self._slices), sum(map(len, self._slices)), len(context), limits)
        self.examples = np.empty(len(self._slices), object)
        for row, piece in enumerate(self._slices):
            if not row % _STEP_ROWS:
                check()
            self.examples[row] = joined((context, piece), check)
        self._slices, self._context = [], []


def serialized_examples(request_input: Any, limits: Limits = DEFAULT_LIMITS, check: Check = unchecked) -> np.ndarray:
    """The serialized `tf.Example`s of an `Input`, strings of shape [B], each with the context in front.

    Raises:
        StatusError: INVALID_ARGUMENT, no example, or more than a request may have.
    """
    if isinstance(request_input, SlicedInput):
        if not len(request_input.examples):
            raise _empty()
        return request_input.examples
    kind = request_input.WhichOneof("kind")
    found = getattr(request_input, kind) if kind else None
    if found is None or not found.examples:
        raise _empty()
    rows = len(found.examples)
    context = found.context.SerializeToString() if kind == "example_list_with_context" else b""
    _reserve(rows, request_input.ByteSize(), len(context), limits)
    examples = np.empty(rows, object)
    for row, example in enumerate(found.examples):
        if not row % _STEP_ROWS:
            check()
        examples[row] = context + example.SerializeToString()
    return examples


def _reserve(rows: int, size: int, context: int, limits: Limits) -> None:
    if rows > limits.max_rows:
        raise too_many_rows(rows, limits.max_rows)
    size += rows * context
    if size > limits.max_bytes:
        raise too_many_bytes(size, limits.max_bytes)
    limits.take(size + rows * OBJECT_BYTES, rows)


def _empty() -> StatusError:
    return invalid_argument("Input is empty.")
