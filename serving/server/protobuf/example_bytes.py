"""The serialized `tf.Example`s of a request's `Input`, counted before they are made.

As in TF Serving (tensorflow_serving/util/... `SerializedInput`), the model is given what came: Examples of a large
request are not read here, and what is wrong in one is the model's to say.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from serving.errors import Code, StatusError
from serving.server.calls.budget import Limits
from serving.server.calls.worker_threads import Check, unchecked
from serving.server.protobuf.field_walk import DEFAULTS, LENGTH, Walk, too_many_bytes, too_many_rows
from serving.server.protobuf.joined_bytes import joined

OBJECT_BYTES = 41
"""What an array holds for a string besides its bytes: a reference, and the head of a `bytes` object."""

_LIST, _LIST_WITH_CONTEXT = 1, 2
_EXAMPLES, _CONTEXT = 1, 2
_STEP_ROWS = 256


class SlicedInput:
    """An `Input` of a large message. `examples` are its serialized `tf.Example`s, shape [B], once `make` was called."""

    def __init__(self) -> None:
        self.examples = np.empty(0, object)
        self._kind = 0
        self._slices: list[memoryview] = []
        self._context: list[memoryview] = []

    def read(self, walk: Walk, begin: int, end: int) -> None:
        """Reads an `Input` between two positions; where it comes more than once it is merged, as protobuf does.

        Raises:
            DecodeError, StatusError: see `Walk`.
        """
        for kind, form, start, stop in walk.fields(begin, end):
            if kind not in (_LIST, _LIST_WITH_CONTEXT) or form != LENGTH:
                continue
            if kind != self._kind:  # of the two only the last one counts
                self._kind, self._slices, self._context = kind, [], []
            for number, inner_form, at, behind in walk.fields(start, stop):
                if inner_form == LENGTH and number == _EXAMPLES:
                    walk.count_rows()
                    self._slices.append(walk.view[at:behind])
                elif inner_form == LENGTH and number == _CONTEXT and kind == _LIST_WITH_CONTEXT:
                    self._context.append(walk.view[at:behind])

    def make(self, limits: Limits, check: Check) -> None:
        """Makes `examples`.

        Raises:
            StatusError: INVALID_ARGUMENT, they take too much.
        """
        context = joined(self._context, check)
        _admit(len(self._slices), sum(map(len, self._slices)), len(context), limits)
        self.examples = np.empty(len(self._slices), object)
        for row, piece in enumerate(self._slices):
            if not row % _STEP_ROWS:
                check()
            self.examples[row] = joined((context, piece), check)
        self._slices, self._context = [], []


def serialized_examples(request_input: Any, limits: Limits = DEFAULTS, check: Check = unchecked) -> np.ndarray:
    """The serialized `tf.Example`s, strings of shape [B], of an `Input`; a context goes before each of them.

    Raises:
        StatusError: INVALID_ARGUMENT, there is no example, or more than a request may have.
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
    _admit(rows, request_input.ByteSize(), len(context), limits)
    examples = np.empty(rows, object)
    for row, example in enumerate(found.examples):
        if not row % _STEP_ROWS:
            check()
        examples[row] = context + example.SerializeToString()
    return examples


def _admit(rows: int, size: int, context: int, limits: Limits) -> None:
    if rows > limits.max_rows:
        raise too_many_rows(rows, limits.max_rows)
    size += rows * context
    if size > limits.max_bytes:
        raise too_many_bytes(size, limits.max_bytes)
    limits.take(size + rows * OBJECT_BYTES, rows)


def _empty() -> StatusError:
    return StatusError(Code.INVALID_ARGUMENT, "Input is empty.")
