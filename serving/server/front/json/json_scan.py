"""Where a JSON text can be parted, how deep it is nested and how many values it has, before anything is parsed.

A parser needs up to a hundred bytes of memory for two of text, and holds Python's lock meanwhile. So a text is counted
first, by NumPy and in chunks, and a large one is then parsed in the pieces found here, none of which takes long. What
is found is right up to the first mistake in the text, where the parser stops.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serving.errors import Code, StatusError
from serving.server.calls.worker_threads import Check, unchecked

CHUNK_BYTES = 2**16
"""Of a scan, and about what a piece has."""

MAX_PLAIN_BYTES = 2**20
"""The most text without a comma and without a long string: of a piece."""

_OPEN, _CLOSE, _COMMA, _COLON = 1, 2, 3, 4
_KINDS = np.zeros(256, np.uint8)
_KINDS[list(b"[{")], _KINDS[list(b"]}")], _KINDS[ord(",")], _KINDS[ord(":")] = _OPEN, _CLOSE, _COMMA, _COLON
_STEPS = np.array([0, 1, -1, 0, 0], np.int32)


@dataclass(frozen=True, slots=True)
class Piece:
    """Text from one place to another, each of them before a comma or behind a long string, or the text's own ends.

    Attributes:
        begin, end: in the text.
        kept: how many of the lists and objects that were open at `begin` are still open at `end`.
        opened: where those begin that were opened in the piece and are still open at `end`.
        string_end: where the long string ends that begins at `end`, behind the text where it has no end; 0 for none.
        last: whether the document ends with the piece.
    """

    begin: int
    end: int
    kept: int
    opened: tuple[int, ...]
    string_end: int = 0
    last: bool = False


def scan(text: bytes, max_depth: int, max_values: int, check: Check = unchecked, start: int = 0) -> list[Piece]:
    """The pieces of a text, from `start` on, in their order.

    Values are counted by the commas, colons and opening brackets outside of strings: an object's names count as well.

    Raises:
        StatusError: INVALID_ARGUMENT: it is nested too deep, has too many values, or cannot be parted.
    """
    scanner = _Scanner(text, max_depth, max_values, start)
    for begin in range(start, len(text), CHUNK_BYTES):
        check()
        scanner.read(begin, min(begin + CHUNK_BYTES, len(text)))
        if scanner.ended:
            return scanner.pieces
    return scanner.finish()


class _Scanner:
    def __init__(self, text: bytes, max_depth: int, max_values: int, start: int) -> None:
        self.text, self.max_depth, self.max_values = text, max_depth, max_values
        self.pieces: list[Piece] = []
        self.ended = False
        self._values = 0
        self._escaped = False  # whether the next byte follows a backslash that escapes it
        self._string = -1  # where the string begins that is open, -1 for none
        self._long = False  # whether that string is a long one, and all before it is in pieces
        self._begin = start  # of the next piece
        self._open: list[int] = []  # where the open lists and objects begin
        self._kept = 0  # how many of them were open at the beginning of the piece, and ever since

    def read(self, begin: int, end: int) -> None:
        """Goes through one chunk."""
        codes = np.frombuffer(self.text, np.uint8, end - begin, begin)
        quotes = self._quotes(codes, begin, end)
        if not quotes.size and self._string >= 0:
            self._string_goes_on()
            return
        if self._long:
            self._end_long_string(begin + int(quotes[0]) + 1)
        where, kinds = self._structure(codes, quotes)
        if quotes.size:
            opens_last = (quotes.size % 2 == 1) == (self._string < 0)
            self._string = begin + int(quotes[-1]) if opens_last else -1
        self._count(kinds)
        self._part(where + begin, kinds)
        if not self.ended and end - self._begin > MAX_PLAIN_BYTES:
            words = f"More than {MAX_PLAIN_BYTES} bytes without a comma, outside of strings,"
            raise StatusError(Code.INVALID_ARGUMENT, f"JSON Parse error: {words} at offset: {self._begin}")

    def finish(self) -> list[Piece]:
        """The pieces of a text whose document has no end."""
        if self._long:
            self._end_piece(self._string, len(self.text) + 1)
        else:
            self.pieces.append(Piece(self._begin, len(self.text), 0, (), last=True))
        return self.pieces

    def _quotes(self, codes: np.ndarray, begin: int, end: int) -> np.ndarray:
        """Where strings begin and end in a chunk."""
        quotes = codes == ord('"')
        if self._escaped or self.text.find(b"\\", begin, end) >= 0:
            escaped = _escaped(codes, self._escaped)
            self._escaped = bool(escaped.size and escaped[-1] == len(codes))
            quotes[escaped[:-1] if self._escaped else escaped] = False
        return np.flatnonzero(quotes)

    def _structure(self, codes: np.ndarray, quotes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where brackets, commas and colons are that are in no string, and which they are."""
        inside = np.zeros(len(codes), np.uint8)
        inside[quotes] = 1
        np.add.accumulate(inside, out=inside)  # may overflow, which changes no last bit
        if self._string >= 0:
            inside += 1
        kinds = _KINDS[codes]
        kinds[(inside & 1).view(np.bool_)] = 0
        where = np.flatnonzero(kinds)
        return where, kinds[where]

    def _count(self, kinds: np.ndarray) -> None:
        self._values += int(np.count_nonzero(kinds != _CLOSE))
        if self._values >= self.max_values:  # one more than commas and brackets
            values = f"more than {self.max_values} values (--max_json_values)"
            raise StatusError(Code.INVALID_ARGUMENT, f"JSON Parse error: The document has {values}")

    def _part(self, where: np.ndarray, kinds: np.ndarray) -> None:
        """Follows the nesting, and ends a piece before the chunk's last comma, or where the document ends."""
        if not where.size:
            return
        depths = len(self._open) + np.add.accumulate(_STEPS[kinds])
        if depths.max() > self.max_depth:
            words = f"The document is nested deeper than {self.max_depth} levels (--max_json_depth)"
            raise StatusError(Code.INVALID_ARGUMENT, f"JSON Parse error: {words}")
        if depths.min() <= 0:
            outside = int(np.argmax(depths <= 0))
            self.ended = True
            self.pieces.append(Piece(self._begin, int(where[outside]) + 1, 0, (), last=True))
            return
        commas = np.flatnonzero(kinds == _COMMA)
        cut = int(commas[-1]) if commas.size else 0
        self._follow(where[:cut], kinds[:cut], depths[:cut])
        if commas.size:
            self._end_piece(int(where[cut]))
        self._follow(where[cut:], kinds[cut:], depths[cut:])

    def _follow(self, where: np.ndarray, kinds: np.ndarray, depths: np.ndarray) -> None:
        """Brings what is open up to date."""
        if not where.size:
            return
        lowest, depth = min(int(depths.min()), len(self._open)), int(depths[-1])
        self._kept = min(self._kept, lowest)
        opening = (kinds == _OPEN) & (depths <= depth)
        last = np.zeros(depth + 1, np.int64)
        last[depths[opening]] = where[opening]  # of several at one depth the last one stays
        self._open[lowest:] = last[lowest + 1 :].tolist()

    def _end_piece(self, end: int, string_end: int = 0) -> None:
        self.pieces.append(Piece(self._begin, end, self._kept, tuple(self._open[self._kept :]), string_end))
        self._begin, self._kept = string_end or end, len(self._open)

    def _string_goes_on(self) -> None:
        """A string that takes a whole chunk is a long one."""
        self._long = self._long or bool(self._open)

    def _end_long_string(self, end: int) -> None:
        self._end_piece(self._string, end)
        self._long = False


def _escaped(codes: np.ndarray, first: bool) -> np.ndarray:
    """What follows a backslash that escapes it; `first`: the first byte does. May end with what follows the chunk."""
    slashes = np.flatnonzero(codes == ord("\\"))
    before = np.zeros(int(first), np.int64)
    if first and slashes.size and slashes[0] == 0:
        slashes = slashes[1:]  # escaped itself
    if not slashes.size:
        return before
    begins = np.flatnonzero(np.diff(slashes, prepend=-2) != 1)
    lengths = np.diff(begins, append=slashes.size)
    odd = lengths % 2 == 1
    return np.concatenate([before, slashes[(begins + lengths - 1)[odd]] + 1])
