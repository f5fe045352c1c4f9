"""Counts the fields of a serialized message without parsing it.

Protobuf's parser takes 30 to 100 bytes of memory for a field of two bytes and holds the GIL until it is done. A walk
takes no memory and can be abandoned. It accepts and refuses the same bytes as the parser.
Source: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError

from serving.errors import StatusError, invalid_argument
from serving.server.calls.request_limits import Limits
from serving.server.calls.worker_threads import Check
from serving.wire import varints

DEFAULT_LIMITS = Limits()

VARINT, FIXED64, LENGTH, GROUP, END_GROUP, FIXED32 = range(6)
"""Wire types: how a field's value is written."""

FIELDS, FIELDS_A_ROW = 4096, 4
"""A message may have this many fields, plus this many for each row that it may have; packed values are one field."""

MAX_NAME_BYTES = 2**16
"""The limit for a protobuf `string`; a tensor's strings are `bytes`."""

_FIXED = {FIXED64: 8, FIXED32: 4}
_MAX_DEPTH = 100
_STEP_FIELDS = 1024


class Walk:
    """One walk over one message.

    Attributes:
        body, view: the message.
        fields_left, rows_left: how many more fields and rows (strings, `tf.Example`s) it may have.

    Every method raises DecodeError for bytes that are not a message, and StatusError, INVALID_ARGUMENT, for too many
    fields or rows.
    """

    def __init__(self, body: bytes, limits: Limits, check: Check) -> None:
        self.body, self.view, self.check = body, memoryview(body), check
        self._limits = limits
        self.rows_left = limits.max_rows
        self._max_fields = self.fields_left = FIELDS + FIELDS_A_ROW * limits.max_rows

    def fields(self, begin: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """The fields between two positions: number, wire type, begin and end of the value.

        Groups, which the served messages do not have, are skipped.
        """
        body = self.body
        while begin < end:
            tag = body[begin]
            begin += 1
            if tag >= 0x80:
                tag, begin = varints.read(body, begin - 1, end, 5)
            number, form = tag >> 3, tag & 7
            self.count_fields(1)
            if not number or tag >= 2**32:
                raise DecodeError("a field without a number")
            if form == GROUP:
                begin = self._group_end(number, begin, end)
                continue
            begin, stop = self._value(form, begin, end)
            yield number, form, begin, stop
            begin = stop

    def count_fields(self, count: int) -> None:
        """Counts fields, or values that take the parser as much memory."""
        left = self.fields_left = self.fields_left - count
        if left < 0:
            raise invalid_argument(
                f"The request has more than {self._max_fields} protobuf fields, {FIELDS_A_ROW} for each of "
                f"--max_request_rows and {FIELDS}. Send smaller requests, and numbers packed or as tensor_content"
            )
        if count > 1 or not left % _STEP_FIELDS:
            self.check()

    def count_rows(self, count: int = 1) -> None:
        """Counts strings or `tf.Example`s."""
        self.rows_left -= count
        if self.rows_left < 0:
            raise too_many_rows(self._limits.max_rows - self.rows_left, self._limits.max_rows)

    def count_parsed(self, field: FieldDescriptor, form: int, begin: int, end: int, depth: int = 0) -> None:
        """Counts the parser's objects for a field's value: nested messages, packed values, long names."""
        if form != LENGTH or field.type == FieldDescriptor.TYPE_BYTES:
            return
        if field.type == FieldDescriptor.TYPE_STRING:
            self.check_name(field, begin, end)
            return
        if field.message_type is None:
            self.count_fields(end - begin)
            return
        if depth > _MAX_DEPTH:
            raise DecodeError("messages nested too deep")
        known = field.message_type.fields_by_number
        for number, inner_form, start, stop in self.fields(begin, end):
            if number in known:
                self.count_parsed(known[number], inner_form, start, stop, depth + 1)

    def check_name(self, field: FieldDescriptor, begin: int, end: int) -> None:
        """Refuses a name (of a model, input, output) so long that looking it up or printing it would take long."""
        if end - begin > MAX_NAME_BYTES:
            raise invalid_argument(
                f"The request has a {field.full_name} of {end - begin} bytes; at most {MAX_NAME_BYTES} are taken"
            )

    def counted_fields(self) -> int:
        """The number of fields counted so far."""
        return self._max_fields - self.fields_left

    def _value(self, form: int, begin: int, end: int) -> tuple[int, int]:
        """Begin and end of a value whose tag has been read."""
        body = self.body
        if form == LENGTH:
            if begin < end and body[begin] < 0x80:
                size, begin = body[begin], begin + 1
            else:
                size, begin = varints.read(body, begin, end, 5)
            stop = begin + size
        elif form == VARINT:
            stop = varints.read(body, begin, end)[1]
        elif form in _FIXED:
            stop = begin + _FIXED[form]
        else:
            raise DecodeError("a field of unknown wire type")
        if stop > end:
            raise DecodeError("a field longer than its message")
        return begin, stop

    def _group_end(self, number: int, begin: int, end: int) -> int:
        """The position after a group."""
        open_groups = [number]
        while open_groups:
            tag, begin = varints.read(self.body, begin, end, 5)
            self.count_fields(1)
            if not tag >> 3 or tag >= 2**32:
                raise DecodeError("a field without a number")
            if tag & 7 == GROUP:
                open_groups.append(tag >> 3)
                if len(open_groups) > _MAX_DEPTH:
                    raise DecodeError("groups nested too deep")
            elif tag & 7 == END_GROUP:
                if open_groups.pop() != tag >> 3:
                    raise DecodeError("a group closed by another group's end")
            else:
                begin = self._value(tag & 7, begin, end)[1]
        return begin


def too_many_rows(count: int, most: int) -> StatusError:
    """The refusal of a request of `count` rows or more."""
    return invalid_argument(
        f"The request has {count} or more rows (strings, tf.Examples); at most {most} are taken (--max_request_rows). "
        "Send several requests"
    )


def too_many_bytes(count: int, most: int) -> StatusError:
    """The refusal of a request whose tensors take `count` bytes or more."""
    return invalid_argument(
        f"The request's inputs take {count} bytes or more as tensors; at most {most} are taken (--max_message_bytes). "
        "Send several requests"
    )
