"""What a model is asked: texts from the command line, the lines of a file, or the rows of a table. No TensorFlow."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.data.formats.files import open_bytes, table_ending
from components.data.formats.magic_bytes import START, recognize
from components.data.formats.readers import Row, Table, open_table
from components.data.formats.table import row_location
from components.data.values.cells import as_text, describe_non_text
from models.config import CONFIG_FILE, TaskConfig
from models.errors import ConfigError, DataError
from models.saved.model_locations import is_bundle, newest_version
from tflite.host import BUNDLE_FILE


@dataclass(frozen=True)
class Asked:
    """One input of a model.

    Attributes:
        text, pair: the texts; `pair` is None for a model of single texts.
        place: where it stands, for JSON: `line` of a file of lines, `row` (and `line`) of a table; empty for a text
            from the command line.
    """

    text: str
    pair: str | None = None
    place: dict[str, int] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """There is nothing to answer to."""
        return not self.text.strip() and not (self.pair or "").strip()


def from_arguments(texts: Sequence[str], pairs: Sequence[str]) -> list[Asked]:
    """The texts of the command line."""
    if not pairs:
        return [Asked(text) for text in texts]
    return [Asked(text, pair) for text, pair in zip(texts, pairs, strict=True)]


def from_standard_input() -> list[Asked]:
    """The lines of standard input."""
    return _of_lines(_lines(sys.stdin.buffer.read(), "standard input"))


def from_file(file: Path, model: Path | None, columns: Sequence[str] = ()) -> list[Asked]:
    """The texts of a file: the rows of a table, where its name says that it is one; else its lines.

    Args:
        model: the folder of the model or bundle that is asked, which knows the names of its columns; None for a server.
        columns: names of the columns with the texts, instead of the model's own.

    Raises:
        DataError: the file cannot be read, or has no such columns, or a row has no text there.
        ConfigError: columns of a file that is no table.
    """
    if table_ending(file):
        return _of_table(open_table(file), tuple(columns) or _columns(model))
    if columns:
        raise ConfigError(
            "--column", got=f"{file}, which is no table by its name", expected="a .csv, .tsv, .jsonl or .parquet file"
        )
    return _of_lines(_lines(_read(file), str(file)))


def _columns(model: Path | None) -> tuple[str, ...]:
    """The columns that a model was trained on; empty where it does not say."""
    if model is None:
        return ()
    if is_bundle(model):
        stored = _json(model / BUNDLE_FILE).get("report", {}).get("config") or {}
    else:
        stored = _json(newest_version(model) / "assets.extra" / CONFIG_FILE)
    task = stored.get("task", {})
    return tuple(name for name in (task.get("text", TaskConfig().text), task.get("text_pair")) if name is not None)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _of_table(table: Table, columns: tuple[str, ...]) -> list[Asked]:
    columns = columns or _guess(table)
    missing = [name for name in columns if name not in table.columns and name not in table.left_out]
    if missing and table.columns:
        raise DataError(
            f"{table.path}: there is no column {missing[0]!r}, on which the model was trained",
            got=f"the columns {', '.join(map(repr, table.columns))}"
            + "".join(f"; {note}" for note in (table.above, table.headerless) if note),
            expected="the model's own columns, or a file that ends in .txt with one text a line",
            fix="name the column with the texts: --column NAME (for pairs twice)",
        )
    table.require(columns)
    asked = []
    for row in table.rows(columns):
        texts = [_text(table.path, row, name) for name in columns]
        where = {"row": row.number} | ({"line": row.line} if row.line else {})
        asked.append(Asked(texts[0], texts[1] if len(texts) > 1 else None, where))
    return asked


def _guess(table: Table) -> tuple[str, ...]:
    """The columns of a table for a server, which does not tell on which it was trained."""
    default = TaskConfig().text
    if default in table.columns:
        return (default, "text_pair") if "text_pair" in table.columns else (default,)
    if len(table.columns) == 1:
        return table.columns
    raise DataError(
        f"{table.path}: which column holds the texts?",
        got=f"the columns {', '.join(map(repr, table.columns))}",
        expected=f"a column {default!r}: a server does not tell on which columns its model was trained",
        fix="name the column: --column NAME (for pairs twice)",
    )


def _text(path: Path, row: Row, name: str) -> str:
    value = row.values.get(name)
    where = f"{row_location(path, row.number, row.line)}: column {name!r} is not text"
    strange = describe_non_text(value)
    if strange:
        raise DataError(where, got=f"{strange}: {str(value)[:60]}", expected="text", fix="write it as the text itself")
    try:
        return (value.decode("utf-8") if isinstance(value, bytes) else as_text(value)) or ""
    except ValueError as error:
        raise DataError(where, got=str(error), expected="Unicode text, in UTF-8", fix="correct the row") from None


def _read(file: Path) -> bytes:
    try:
        with open_bytes(file) as stream:
            return stream.read()
    except (OSError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            str(file), got=str(error), expected="a file with a text a line, or a table", fix="correct --file"
        ) from None


def _lines(content: bytes, source: str) -> list[str]:
    """The lines of a text file. Only line feeds end them: U+2028 and its like are characters of a text."""
    found = recognize(content[:START])
    if found is not None:
        raise DataError(f"{source}: not a text file in UTF-8", got=found.what, expected="a text a line", fix=found.fix)
    try:
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        # decoded without a byte order mark, the offset counts from behind it
        start = error.start + (3 if content.startswith(b"\xef\xbb\xbf") else 0)
        raise DataError(
            f"{source}, line {content.count(10, 0, start) + 1:,}: not UTF-8",
            got=f"byte 0x{content[start]:02x} at byte {start:,}",
            expected="UTF-8",
            fix="save it as UTF-8, for example: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW",
        ) from None
    if len(lines) == 1 and "\r" in lines[0]:
        lines = lines[0].split("\r")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def _of_lines(lines: list[str]) -> list[Asked]:
    """Texts and second texts: a tab stands between them, in every line that is not empty, or in none."""
    parts = [line.split("\t", 1) if line.strip() else ["", ""] for line in lines]
    pairs = any(line.strip() for line in lines) and all(len(part) == 2 for part in parts)
    return [
        Asked(part[0] if pairs else line, part[1] if pairs else None, {"line": number})
        for number, (line, part) in enumerate(zip(lines, parts, strict=True), 1)
    ]
