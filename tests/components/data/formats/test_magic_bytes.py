"""Files whose content contradicts their names."""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile

import pytest

from components.data.formats.magic_bytes import START, recognize


def zipped(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, "x")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (gzip.compress(b"text", mtime=0), "gzip"),
        (zipped("xl/workbook.xml"), ".xlsx"),
        (zipped("reviews.csv"), "ZIP archive"),
        (pickle.dumps({"text": ["a"]}), "pickle"),
        (b"ARROW1\0\0", "Arrow"),
        ("text".encode("utf-32"), "UTF-32"),
        (b"SQLite format 3\0", "SQLite"),
        (b"%PDF-1.7", "PDF"),
        (bytes(600), "NUL bytes"),
        (b"reviews.csv" + bytes(246) + b"ustar", "tar archive"),
        ("text,label\n".encode("utf-16"), "UTF-16"),
        ("text,label\n".encode("utf-16-be"), "UTF-16"),
        (b"\xef\xbb\xbf  <!-- x --><!DOCTYPE html>", "web page"),
        (b'<?xml version="1.0"?>', "XML"),
    ],
)
def test_files_that_are_not_text_tables(content: bytes, what: str) -> None:
    found = recognize(content[:START])
    assert found is not None
    assert what in found.what
    assert found.fix


@pytest.mark.parametrize(
    "content", [b"", b"text,label\n", b"\xef\xbb\xbftext", b"<b>bold</b>,x\n", b"PK,label\n", "é,x".encode()]
)
def test_text_is_text(content: bytes) -> None:
    assert recognize(content) is None
