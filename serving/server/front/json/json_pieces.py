"""A large JSON text becomes values piece by piece, and they go piece by piece as well.

A piece (`json_scan`) begins and ends in the midst of lists and objects. It is parsed with the brackets that it lacks in
front and behind, and what then comes out is joined to the lists and objects that earlier pieces have begun.
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

from serving.errors import Code, StatusError
from serving.server.calls.worker_threads import Check, unchecked
from serving.server.front.json.json_scan import CHUNK_BYTES, Piece
from serving.server.front.json.json_strings import read_long

Parse = Callable[[bytes, int], Any]
"""A short text to its value; the second argument is where it stands in the whole text, for messages."""

MAX_NAMES = 2**16
"""Of an object in a large text: at more Python and protobuf take long to make room for the next one."""

_CLOSING = {ord("["): ord("]"), ord("{"): ord("}")}


@contextmanager
def parsed(text: bytes, pieces: Sequence[Piece], parse: Parse, check: Check = unchecked) -> Iterator[Any]:
    """The value of a text that `scan` has parted, for as long as the block lasts; then it is taken apart.

    Raises:
        StatusError: INVALID_ARGUMENT, the text is no JSON.
    """
    document = _Document(text, parse, check)
    with _FULL_COLLECTIONS.put_off():
        try:
            for piece in pieces:
                check()
                document.add(piece)
            yield document.root
        except Exception as error:
            _clear(error)
            raise
        finally:
            document.take_apart()


class _Document:
    """Attributes: root: the value, as far as it has been read."""

    def __init__(self, text: bytes, parse: Parse, check: Check) -> None:
        self.root: Any = None
        self._text, self._parse, self._check = text, parse, check
        self._open: list[Any] = []  # the lists and objects in which the next piece begins
        self._undo: list[tuple[Any, int | list[str]]] = []
        # Stands for the name under which an object goes on, so that no name of the text can be it.
        self._name = secrets.token_hex(8)

    def add(self, piece: Piece) -> None:
        """Reads one piece, and the long string behind it.

        Raises:
            StatusError: INVALID_ARGUMENT.
        """
        before = self._before()
        value = self._value_of(piece, before)
        if self._open:
            self._join(value)
        else:
            self.root = value
            if piece.last:
                self._note(value)
        if piece.last:
            return
        self._descend(piece)
        if piece.string_end > len(self._text):
            words = "Missing a closing quotation mark in string."
            raise StatusError(Code.INVALID_ARGUMENT, f"JSON Parse error: {words} at offset: {piece.end}")
        if piece.string_end:
            string = read_long(self._text, piece.end, piece.string_end, self._parse, self._check)
            self._put_last(string, piece.end)
        elif not self._open[-1]:  # a comma behind an opening bracket: what the parser says to that
            self._parse(before + self._text[piece.begin : piece.end + 1], piece.begin - len(before))

    def take_apart(self) -> None:
        """Empties what the pieces have made, the last first, so that no single step frees much."""
        while self._undo:
            container, added = self._undo.pop()
            if isinstance(added, int):
                del container[len(container) - added :]
            else:
                for name in added:
                    container.pop(name, None)
        self._open.clear()
        self.root = None

    def _before(self) -> bytes:
        """What the text of the next piece lacks in front: what is open, with a 0 for all that is in it already."""
        return b"".join(self._begun(item) for item in self._open) + (b"0 " if self._open else b"")

    def _after(self, piece: Piece) -> bytes:
        """What the text of a piece lacks behind: a 0 for the long string, and the closing brackets."""
        if piece.last:
            return b""
        kinds = [ord("[") if type(item) is list else ord("{") for item in self._open[: piece.kept]]
        kinds += [self._text[place] for place in piece.opened]
        return (b" 0" if piece.string_end else b"") + bytes(_CLOSING[kind] for kind in reversed(kinds))

    def _value_of(self, piece: Piece, before: bytes) -> Any:
        """The piece's value, from the outermost list or object on."""
        text = before + self._text[piece.begin : piece.end] + self._after(piece)
        try:
            return self._parse(text, piece.begin - len(before))
        except StatusError as error:
            if piece.string_end and self._text[piece.string_end : piece.string_end + 64].lstrip()[:1] == b":":
                size = piece.string_end - piece.end - 2
                words = f"A name of {size} bytes, which may have {CHUNK_BYTES},"
                raise StatusError(error.code, f"JSON Parse error: {words} at offset: {piece.end}") from error
            raise

    def _begun(self, item: Any) -> bytes:
        return b"[" if type(item) is list else b'{"%b":' % self._name.encode()

    def _join(self, value: Any) -> None:
        """Adds what a piece has, from the outermost list or object to the innermost."""
        for item in self._open:
            if type(item) is list:
                inner = value[0]
                item.extend(islice(value, 1, None))
                self._undo.append((item, len(value) - 1))
            else:
                inner = value.pop(self._name)
                item.update(value)
                self._undo.append((item, list(value)))
                if len(item) > MAX_NAMES:
                    words = f"An object has more than {MAX_NAMES} names"
                    raise StatusError(Code.INVALID_ARGUMENT, f"JSON Parse error: {words}")
            value = inner

    def _descend(self, piece: Piece) -> None:
        """Finds the lists and objects that are open at the end of a piece."""
        del self._open[piece.kept :]
        for place in piece.opened:
            item = self._last(place) if self._open else self.root
            self._open.append(item)
            self._note(item)

    def _last(self, place: int) -> Any:
        """What begins at that place of the text, the last thing in the innermost list or object that is open."""
        outer = self._open[-1]
        return outer[-1] if type(outer) is list else outer[self._name_before(place)]

    def _put_last(self, string: Any, place: int) -> None:
        outer = self._open[-1]
        outer[-1 if type(outer) is list else self._name_before(place)] = string

    def _name_before(self, place: int) -> Any:
        """The name of the value that begins there."""
        text = self._text
        end = begin = text.rindex(b'"', 0, place)
        escaped = True
        while escaped:
            begin = text.rindex(b'"', 0, begin)
            slashes = begin
            while text[slashes - 1] == ord("\\"):
                slashes -= 1
            escaped = (begin - slashes) % 2 == 1
        return self._parse(text[begin : end + 1], begin)

    def _note(self, item: Any) -> None:
        """What is in a new list or object will have to go."""
        if type(item) is list:
            self._undo.append((item, len(item)))
        elif type(item) is dict:
            self._undo.append((item, list(item)))


def _clear(error: BaseException | None) -> None:
    """Frees what the functions held that failed: here, and not where the error is dropped."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


class _FullCollections:
    """Python's full collections of garbage, which stop everything for as long as there are many objects."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks, self._thresholds = 0, gc.get_threshold()

    @contextmanager
    def put_off(self) -> Iterator[None]:
        """No full collection begins in the block; those of the young go on."""
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
