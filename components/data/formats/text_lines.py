"""The lines of a text file, compressed or not, with any line ends, and their positions. Imports no TensorFlow."""

from __future__ import annotations

import gzip
import io
import itertools
import sys
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from components.data.formats.files import open_bytes
from components.data.formats.magic_bytes import START, recognize
from components.data.formats.table import NotPlainError, Span, row_location
from models.errors import DataError

# The number of bytes that are searched for a line feed, and that are read at once from a file without one.
_BLOCK = 1 << 16
# The number of bytes of plain lines that are decoded at once.
_PLAIN_BLOCK = 1 << 18
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Lines:
    """The decoded lines of a text file, with their line ends, and the current position.

    A line ends with a line feed; in a file without one, with a carriage return (as on old Macs). A line that is not
    UTF-8 is decoded with `surrogateescape`, and the reader decides, because the damaged field may not be used.

    Attributes:
        line: the number of the last line read, from 1.
        text: that line.
        offset: the byte at which it starts.
        row: the row being read, for messages; 0 is the header. Set by the reader.
        damaged: the lines that are not UTF-8 since the reader last cleared the list.
    """

    def __init__(self, path: Path, span: Span | None = None) -> None:
        """`span`: the part of the file to read; lines and bytes then count from its beginning."""
        self.path, self.line, self.offset, self.row, self.text = path, 0, 0, 0, ""
        self._span = span
        self.damaged: list[DataError] = []

    def __iter__(self) -> Iterator[str]:
        length = 0
        with open_bytes(self.path) as stream:
            try:
                for raw in self._raw(stream):
                    self.line, self.offset, length = self.line + 1, self.offset + length, len(raw)
                    self.text = self._decode(raw)
                    yield self.text
            except gzip.BadGzipFile as error:
                if self.line == 0 and "Not a gzipped file" in str(error):
                    raise self._not_compressed() from None
                raise self._truncated(error, length) from None
            except (EOFError, zlib.error) as error:
                raise self._truncated(error, length) from None

    def _raw(self, stream: BinaryIO) -> Iterator[bytes]:
        """The lines as bytes. Raises `DataError` if the file is not text."""
        if self._span is not None:
            for block in _blocks(stream, self._span):
                yield from io.BytesIO(block)
            return
        block = stream.read(_BLOCK)
        kind = recognize(block[:START])
        if kind is not None:
            what, expected = f"{self.path}: not a text file in UTF-8", "a table as UTF-8 text"
            raise DataError(what, got=kind.what, expected=expected, fix=kind.fix)
        if b"\r" in block and b"\n" not in block:
            yield from _split_at_carriage_returns(stream, block)
            return
        start = io.BytesIO(block)
        for line in start:
            # The last line of the block continues in the stream.
            yield line if line.endswith(b"\n") else line + stream.readline()
        yield from stream

    def _decode(self, raw: bytes) -> str:
        first = self.line == 1 and (self._span is None or self._span[0] == 0)
        start = len(_BYTE_ORDER_MARK) if first and raw.startswith(_BYTE_ORDER_MARK) else 0
        try:
            return raw[start:].decode("utf-8")
        except UnicodeDecodeError as error:
            self.damaged.append(self._not_utf8(raw, start + error.start))
            return raw[start:].decode("utf-8", "surrogateescape")

    def readable(self, name: str, value: str, needed: Collection[str] | None) -> str:
        """A field that may be damaged: unchanged, or as the nearest text.

        Raises:
            DataError: it is damaged, and needed.
        """
        try:
            value.encode()
        except UnicodeEncodeError:
            if needed is None or name in needed:
                error = self.damaged[0]
                raise DataError(
                    f"{error.what}, in column {name!r}", got=error.got, expected=error.expected, fix=error.fix
                ) from None
            return _nearest(value)
        return value

    def _truncated(self, error: Exception, length: int) -> DataError:
        return DataError(
            f"{self.path}: the compressed file is truncated or damaged",
            got=f"{error} after line {self.line:,}, byte {self.offset + length:,} of the decompressed text",
            expected="a complete gzip file",
            fix="copy or download the file again",
        )

    def _not_compressed(self) -> DataError:
        with self.path.open("rb") as stream:
            kind = recognize(stream.read(START))
        return DataError(
            f"{self.path}: not compressed, although its name ends in .gz",
            got=kind.what if kind else "no gzip header",
            expected="a gzip file",
            fix=kind.fix if kind else "remove .gz from its name, or compress it with gzip",
        )

    def _not_utf8(self, raw: bytes, start: int) -> DataError:
        around = raw[max(0, start - 20) : start].decode("utf-8", "ignore")
        return DataError(
            (row_location(self.path, self.row, self.line) if self.row else f"{self.path}, line {self.line:,}")
            + ": not UTF-8",
            got=f"byte 0x{raw[start]:02x} at byte {self.offset + start:,}" + (f", after {around!r}" if around else ""),
            expected="UTF-8",
            fix="save the file as UTF-8, for example: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW",
        )


def plain_lines(path: Path, span: Span | None) -> Iterator[str]:
    """The lines of a file, or of a part of it, that is plain: UTF-8, with line feeds, and not damaged. Much faster.

    Raises:
        NotPlainError: the file is anything else, from here on.
    """
    start = 0 if span is None else span[0]
    with open_bytes(path) as stream:
        blocks = _blocks(stream, span)
        while True:
            try:
                block = next(blocks, b"")
                text = block[
                    len(_BYTE_ORDER_MARK) if not start and block.startswith(_BYTE_ORDER_MARK) else 0 :
                ].decode()
            except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError):
                raise NotPlainError from None
            if not block:
                return
            if b"\r" in block and b"\n" not in block:
                raise NotPlainError
            start += len(block)
            # Only a line feed ends a line here, unlike in `str.splitlines`.
            yield from io.StringIO(text, newline="\n")


def line_spans(path: Path, size: int) -> list[Span | None]:
    """Parts of a file of at least `size` bytes that end with a line; [None] for a small or compressed file."""
    whole = path.stat().st_size
    if whole < 2 * size or path.suffix.lower() == ".gz":
        return [None]
    ends = [0]
    with open_bytes(path) as stream:
        while whole - ends[-1] >= 2 * size:
            stream.seek(ends[-1] + size)
            stream.readline()
            ends.append(stream.tell())
    ends[1:] = [end for end in ends[1:] if end < whole] + [whole]
    return list(itertools.pairwise(ends)) if len(ends) > 2 else [None]


def _blocks(stream: BinaryIO, span: Span | None) -> Iterator[bytes]:
    """A stream, or a part of it, in blocks that end with a line."""
    start, end = span or (0, sys.maxsize)
    if start:
        stream.seek(start)
    rest: list[bytes] = []
    while start < end and (read := stream.read(min(_PLAIN_BLOCK, end - start))):
        start += len(read)
        whole, feed, tail = read.rpartition(b"\n")
        if feed:
            yield b"".join((*rest, whole, feed))
            rest = []
        rest += [tail] if tail else []
    if rest:
        yield b"".join(rest)


def _nearest(value: str) -> str:
    """The text with bytes that are not UTF-8 escaped, and half surrogate pairs, which JSON can contain."""
    try:
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return value.encode("utf-8", "backslashreplace").decode("utf-8")


def _split_at_carriage_returns(stream: BinaryIO, block: bytes) -> Iterator[bytes]:
    rest = b""
    while block:
        *lines, rest = (rest + block).split(b"\r")
        for line in lines:
            yield line + b"\r"
        block = stream.read(_BLOCK)
    if rest:
        yield rest
