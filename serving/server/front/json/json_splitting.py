"""Checks the depth and number of values of a JSON text before it is parsed, and splits it into fragments.

A parser may need a hundred bytes of memory for two bytes of text, and holds Python's lock meanwhile. So NumPy scans the
text first, in chunks, and a large text is then parsed in the fragments found here, none of which takes long. The result
is correct up to the first error in the text, where the parser stops.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serving.server.calls.worker_threads import Check, unchecked
from serving.server.front.json.json_error_text import parse_error

CHUNK_BYTES = 2**16
"""The size of a scan's steps, and roughly of a fragment."""

MAX_PLAIN_BYTES = 2**20
"""The longest text without a comma or a long string, and so the largest fragment."""

_OPEN, _CLOSE, _COMMA, _COLON = 1, 2, 3, 4
_KINDS = np.zeros(256, np.uint8)
_KINDS[list(b"[{")], _KINDS[list(b"]}")], _KINDS[ord(",")], _KINDS[ord(":")] = _OPEN, _CLOSE, _COMMA, _COLON
_STEPS = np.array([0, 1, -1, 0, 0], np.int32)


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of a text. Each of its ends is before a comma, after a long string, or an end of the text.

    Attributes:
        begin, end: offsets in the text.
        kept: how many of the lists and objects that were open at `begin` are still open at `end`.
        opened: the offsets of those that were opened in the fragment and are still open at `end`.
        string_end: the end of the long string that begins at `end`; beyond the text if unterminated; 0 for none.
        last: whether the document ends with the fragment.
    """

    begin: int
    end: int
    kept: int
    opened: tuple[int, ...]
    string_end: int = 0
    last: bool = False


def split(text: bytes, max_depth: int, max_values: int, check: Check = unchecked, start: int = 0) -> list[Fragment]:
    """The fragments of a text, from `start` on, in order.

    Values are counted by the commas, colons and opening brackets outside strings, so names in objects count too.

    Raises:
        StatusError: INVALID_ARGUMENT: it is nested too deep, has too many values, or cannot be split.
    """
    splitter = _Splitter(text, max_depth, max_values, start)
    for begin in range(start, len(text), CHUNK_BYTES):
        check()
        splitter.read(begin, min(begin + CHUNK_BYTES, len(text)))
        if splitter.ended:
            return splitter.fragments
    return splitter.finish()


class _Splitter:
    def __init__(self, text: bytes, max_depth: int, max_values: int, start: int) -> None:
        self.text, self.max_depth, self.max_values = text, max_depth, max_values
        self.fragments: list[Fragment] = []
        self.ended = False
        self._values = 0
        self._escaped = False  # whether the next byte follows a backslash that escapes it
        self._string = -1  # offset of the string that is open, -1 for none
        self._long = False  # whether that string is long, with everything before it in fragments
        self._begin = start  # of the next fragment
        self._open: list[int] = []  # offsets of the open lists and objects
        self._kept = 0  # how many of them have been open since the fragment began

    def read(self, begin: int, end: int) -> None:
        """Scans one chunk."""
        codes = np.frombuffer(self.text, np.uint8, end - begin, begin)
        quotes = self._quotes(codes, begin, end)
        if not quotes.size and self._string >= 0:
            self._long = self._long or bool(self._open)  # a string that fills a whole chunk is long
            return
        if self._long:
            self._end_fragment(self._string, begin + int(quotes[0]) + 1)
            self._long = False
        positions, kinds = self._structure(codes, quotes)
        if quotes.size:
            opens_last = (quotes.size % 2 == 1) == (self._string < 0)
            self._string = begin + int(quotes[-1]) if opens_last else -1
        self._count(kinds)
        self._split(positions + begin, kinds)
        if not self.ended and end - self._begin > MAX_PLAIN_BYTES:
            problem = f"More than {MAX_PLAIN_BYTES} bytes without a comma, outside strings,"
            raise parse_error(problem, self._begin)

    def finish(self) -> list[Fragment]:
        """The fragments of a text whose document is incomplete."""
        if self._long:
            self._end_fragment(self._string, len(self.text) + 1)
        else:
            self.fragments.append(Fragment(self._begin, len(self.text), 0, (), last=True))
        return self.fragments

    def _quotes(self, codes: np.ndarray, begin: int, end: int) -> np.ndarray:
        """The positions in a chunk where strings begin and end."""
        quotes = codes == ord('"')
        if self._escaped or self.text.find(b"\\", begin, end) >= 0:
            escaped = _escaped(codes, self._escaped)
            self._escaped = bool(escaped.size and escaped[-1] == len(codes))
            quotes[escaped[:-1] if self._escaped else escaped] = False
        return np.flatnonzero(quotes)

    def _structure(self, codes: np.ndarray, quotes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The positions and kinds of brackets, commas and colons outside strings."""
        inside = np.zeros(len(codes), np.uint8)
        inside[quotes] = 1
        np.add.accumulate(inside, out=inside)  # an overflow does not change the lowest bit
        if self._string >= 0:
            inside += 1
        kinds = _KINDS[codes]
        kinds[(inside & 1).view(np.bool_)] = 0
        positions = np.flatnonzero(kinds)
        return positions, kinds[positions]

    def _count(self, kinds: np.ndarray) -> None:
        self._values += int(np.count_nonzero(kinds != _CLOSE))
        if self._values >= self.max_values:  # one more than commas and brackets
            raise parse_error(f"The document has more than {self.max_values} values (--max_json_values)")

    def _split(self, positions: np.ndarray, kinds: np.ndarray) -> None:
        """Tracks the nesting, and ends a fragment before the chunk's last comma, or where the document ends."""
        if not positions.size:
            return
        depths = len(self._open) + np.add.accumulate(_STEPS[kinds])
        if depths.max() > self.max_depth:
            raise parse_error(f"The document is nested deeper than {self.max_depth} levels (--max_json_depth)")
        if depths.min() <= 0:
            outside = int(np.argmax(depths <= 0))
            self.ended = True
            self.fragments.append(Fragment(self._begin, int(positions[outside]) + 1, 0, (), last=True))
            return
        commas = np.flatnonzero(kinds == _COMMA)
        cut = int(commas[-1]) if commas.size else 0
        self._follow(positions[:cut], kinds[:cut], depths[:cut])
        if commas.size:
            self._end_fragment(int(positions[cut]))
        self._follow(positions[cut:], kinds[cut:], depths[cut:])

    def _follow(self, positions: np.ndarray, kinds: np.ndarray, depths: np.ndarray) -> None:
        """Updates the list of open lists and objects."""
        if not positions.size:
            return
        lowest, depth = min(int(depths.min()), len(self._open)), int(depths[-1])
        self._kept = min(self._kept, lowest)
        opening = (kinds == _OPEN) & (depths <= depth)
        last = np.zeros(depth + 1, np.int64)
        last[depths[opening]] = positions[opening]  # the last one at each depth wins
        self._open[lowest:] = last[lowest + 1 :].tolist()

    def _end_fragment(self, end: int, string_end: int = 0) -> None:
        self.fragments.append(Fragment(self._begin, end, self._kept, tuple(self._open[self._kept :]), string_end))
        self._begin, self._kept = string_end or end, len(self._open)


def _escaped(codes: np.ndarray, first: bool) -> np.ndarray:
    """The positions of escaped bytes, possibly the one after the chunk. `first`: whether the first byte is escaped."""
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
