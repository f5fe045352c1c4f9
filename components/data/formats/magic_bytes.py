"""Recognizes files of other kinds by their first bytes. Imports no TensorFlow."""

from __future__ import annotations

import re
from typing import NamedTuple

# The number of bytes that are examined.
START = 1024


class FileKind(NamedTuple):
    """The kind of a file, and how to make it readable."""

    what: str
    fix: str


_SAVE = "open it in the program that made it and save it as CSV (UTF-8)"
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "compressed with gzip", "give it a name that ends in .gz"),
    (b"PK\x05\x06", "an empty ZIP archive", "export the table again"),
    (b"BZh", "compressed with bzip2", "unpack it, or compress it with gzip: bunzip2 FILE"),
    (b"\xfd7zXZ\x00", "compressed with xz", "unpack it, or compress it with gzip: unxz FILE"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard", "unpack it, or compress it with gzip: unzstd FILE"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it and name the file in it"),
    (b"Rar!\x1a\x07", "a RAR archive", "unpack it and name the file in it"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Office file (.xls)", _SAVE),
    (
        b"PAR1",
        "a Parquet file",
        "give it a name that ends in .parquet (or set data.format: parquet in transom.yaml)",
    ),
    (b"ARROW1", "an Arrow (Feather) file", "write it as Parquet"),
    (b"FEA1", "a Feather file", "write it as Parquet"),
    (b"ORC", "an ORC file", "write it as Parquet"),
    (b"Obj\x01", "an Avro file", "write it as Parquet or JSON Lines"),
    (b"SQLite format 3\x00", "an SQLite database", "export the table as CSV: sqlite3 -header -csv FILE 'SELECT …'"),
    (b"\x93NUMPY", "a NumPy array", "write the table as CSV or JSON Lines"),
    (b"\x89HDF", "an HDF5 file", "write the table as Parquet"),
    (b"%PDF-", "a PDF", "export the table as CSV"),
    (b"{\\rtf", "a text with formatting (RTF)", _SAVE),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself", "fetch the file: git lfs pull"),
)
_SPREADSHEETS = ((b"xl/", "an Excel workbook (.xlsx)"), (b"opendocument", "an OpenDocument spreadsheet (.ods)"))
_PATTERNS = (
    (
        re.compile(rb"(?i)(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.DOTALL),
        FileKind("a web page (HTML)", "download the file itself: this page may be a login, an error or a preview"),
    ),
    (re.compile(rb"(?i)(?:\xef\xbb\xbf)?\s*<\?xml\b"), FileKind("XML", "export the table as CSV or JSON Lines")),
    (
        re.compile(rb"\x80[\x02-\x05](?:\x95.{8}|c|\}|\]|q|\x8c)", re.DOTALL),
        FileKind("a pickle of Python", "write the table with DataFrame.to_csv(index=False) or to_parquet"),
    ),
)


def recognize(start: bytes) -> FileKind | None:
    """The kind of the file that begins with these bytes; None for a table as text in UTF-8.

    Args:
        start: the first `START` bytes, or all bytes of a smaller file.
    """
    if start.startswith(b"PK\x03\x04"):
        for mark, what in _SPREADSHEETS:
            if mark in start:
                return FileKind(what, _SAVE)
        return FileKind(
            "a ZIP archive or a spreadsheet", "unpack it and name the file in it, or save the spreadsheet as CSV"
        )
    if start and not start.strip(b"\0"):
        return FileKind("only NUL bytes", "the file is damaged: copy or write it again")
    if start[257:262] == b"ustar":
        return FileKind("a tar archive", "unpack it and name the file in it")
    for signature, what, fix in _SIGNATURES:
        if start.startswith(signature):
            return FileKind(what, fix)
    if start[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
        return FileKind("UTF-32", "save it as UTF-8, for example: iconv -f UTF-32 -t UTF-8 OLD > NEW")
    if start[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in start[:4]:
        return FileKind("UTF-16", "save it as UTF-8, for example: iconv -f UTF-16 -t UTF-8 OLD > NEW")
    return next((kind for pattern, kind in _PATTERNS if pattern.match(start)), None)
