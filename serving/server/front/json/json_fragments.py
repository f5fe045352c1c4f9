"""Parses a large JSON text fragment by fragment, and frees the values in steps as well.

A fragment (`json_splitting`) begins and ends inside lists and objects. It is parsed with the brackets that it lacks at
both ends. The result is then joined to the lists and objects that earlier fragments began.
"""

from __future__ import annotations

import gc
import secrets
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from serving.errors import StatusError
from serving.server.calls.worker_threads import Check, unchecked
from serving.server.front.json.json_error_text import parse_error
from serving.server.front.json.json_splitting import CHUNK_BYTES, Fragment
from serving.server.front.json.json_strings import decode_long

Parse = Callable[[bytes, int], Any]
"""Parses a short text; the second argument is its offset in the whole text, for messages."""

MAX_NAMES = 2**16
"""The limit for an object in a large text: beyond it, Python and protobuf take long to grow their tables."""

_CLOSING = {ord("["): ord("]"), ord("{"): ord("}")}


@contextmanager
def parsed_fragments(
    text: bytes, fragments: Sequence[Fragment], parse: Parse, check: Check = unchecked
) -> Iterator[Any]:
    """The value of a text that `split` has split, valid inside the block; afterwards it is emptied.

    Raises:
        StatusError: INVALID_ARGUMENT, the text is not JSON.
    """
    document = _Document(text, parse, check)
    with _FULL_COLLECTIONS.postponed():
        try:
            for fragment in fragments:
                check()
                document.add(fragment)
            yield document.root
        except Exception as error:
            _clear(error)
            raise
        finally:
            document.empty()


class _Document:
    """Attributes: root: the value, as far as it has been parsed."""

    def __init__(self, text: bytes, parse: Parse, check: Check) -> None:
        self.root: Any = None
        self._text, self._parse, self._check = text, parse, check
        self._open: list[Any] = []  # the lists and objects in which the next fragment begins
        self._undo: list[tuple[Any, int | list[str]]] = []
        # The name under which an object continues: random, so that the text cannot contain it.
        self._placeholder = secrets.token_hex(8)

    def add(self, fragment: Fragment) -> None:
        """Parses one fragment, and the long string after it.

        Raises:
            StatusError: INVALID_ARGUMENT.
        """
        prefix = self._prefix()
        value = self._value_of(fragment, prefix)
        if self._open:
            self._join(value)
        else:
            self.root = value
            if fragment.last:
                self._note(value)
        if fragment.last:
            return
        self._descend(fragment)
        if fragment.string_end > len(self._text):
            raise parse_error("Missing a closing quotation mark in string.", fragment.end)
        if fragment.string_end:
            string = decode_long(self._text, fragment.end, fragment.string_end, self._parse, self._check)
            self._put_last(string, fragment.end)
        elif not self._open[-1]:  # a comma after an opening bracket: raises the parser's own error
            self._parse(prefix + self._text[fragment.begin : fragment.end + 1], fragment.begin - len(prefix))

    def empty(self) -> None:
        """Empties the lists and objects, latest additions first, so that no single step frees much."""
        while self._undo:
            container, added = self._undo.pop()
            if isinstance(added, int):
                del container[len(container) - added :]
            else:
                for name in added:
                    container.pop(name, None)
        self._open.clear()
        self.root = None

    def _prefix(self) -> bytes:
        """The text missing before the next fragment: open brackets, with a 0 for everything already in them."""
        return b"".join(self._opening(item) for item in self._open) + (b"0 " if self._open else b"")

    def _suffix(self, fragment: Fragment) -> bytes:
        """The text missing after a fragment: a 0 for the long string, and the closing brackets."""
        if fragment.last:
            return b""
        kinds = [ord("[") if type(item) is list else ord("{") for item in self._open[: fragment.kept]]
        kinds += [self._text[offset] for offset in fragment.opened]
        return (b" 0" if fragment.string_end else b"") + bytes(_CLOSING[kind] for kind in reversed(kinds))

    def _value_of(self, fragment: Fragment, prefix: bytes) -> Any:
        """The fragment's value, from the outermost list or object on."""
        text = prefix + self._text[fragment.begin : fragment.end] + self._suffix(fragment)
        try:
            return self._parse(text, fragment.begin - len(prefix))
        except StatusError as error:
            if fragment.string_end and self._text[fragment.string_end : fragment.string_end + 64].lstrip()[:1] == b":":
                size = fragment.string_end - fragment.end - 2
                problem = f"A name of {size} bytes, which may have {CHUNK_BYTES},"
                raise parse_error(problem, fragment.end) from error
            raise

    def _opening(self, item: Any) -> bytes:
        return b"[" if type(item) is list else b'{"%b":' % self._placeholder.encode()

    def _join(self, value: Any) -> None:
        """Adds a fragment's values, from the outermost list or object to the innermost."""
        for item in self._open:
            if type(item) is list:
                inner = value[0]
                item.extend(islice(value, 1, None))
                self._undo.append((item, len(value) - 1))
            else:
                inner = value.pop(self._placeholder)
                item.update(value)
                self._undo.append((item, list(value)))
                if len(item) > MAX_NAMES:
                    raise parse_error(f"An object has more than {MAX_NAMES} names")
            value = inner

    def _descend(self, fragment: Fragment) -> None:
        """Finds the lists and objects that are open at the end of a fragment."""
        del self._open[fragment.kept :]
        for offset in fragment.opened:
            item = self._last(offset) if self._open else self.root
            self._open.append(item)
            self._note(item)

    def _last(self, offset: int) -> Any:
        """The last value of the innermost open list or object, which begins at `offset`."""
        outer = self._open[-1]
        return outer[-1] if type(outer) is list else outer[self._name_before(offset)]

    def _put_last(self, string: Any, offset: int) -> None:
        outer = self._open[-1]
        outer[-1 if type(outer) is list else self._name_before(offset)] = string

    def _name_before(self, offset: int) -> Any:
        """The name of the value that begins at `offset`."""
        text = self._text
        end = begin = text.rindex(b'"', 0, offset)
        escaped = True
        while escaped:
            begin = text.rindex(b'"', 0, begin)
            slashes = begin
            while text[slashes - 1] == ord("\\"):
                slashes -= 1
            escaped = (begin - slashes) % 2 == 1
        return self._parse(text[begin : end + 1], begin)

    def _note(self, item: Any) -> None:
        """Notes the contents of a new list or object for `empty`."""
        if type(item) is list:
            self._undo.append((item, len(item)))
        elif type(item) is dict:
            self._undo.append((item, list(item)))


def _clear(error: BaseException | None) -> None:
    """Frees the variables of the frames that failed here, instead of wherever the error is dropped."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


class _FullCollections:
    """Python's full garbage collections, which take long when there are many objects and stop everything."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks, self._thresholds = 0, gc.get_threshold()

    @contextmanager
    def postponed(self) -> Iterator[None]:
        """Prevents full collections inside the block; collections of young objects continue."""
        with self._lock:
            self._blocks += 1
            if self._blocks == 1:
                self._thresholds = gc.get_threshold()
                gc.set_threshold(*self._thresholds[:2], 2**30)
        try:
            yield
        finally:
            with self._lock:
                self._blocks -= 1
                if not self._blocks:
                    gc.set_threshold(*self._thresholds)


_FULL_COLLECTIONS = _FullCollections()
