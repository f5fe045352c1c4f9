"""A model's inputs: texts from the command line, the lines of a file, or the rows of a table. No TensorFlow."""

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
from models.saved.model_locations import EXTRA_FOLDER, is_bundle, newest_version
from tflite.host import BUNDLE_FILE


@dataclass(frozen=True)
class InputText:
    """One input of a model.

    Attributes:
        text, pair: the texts; `pair` is None for a model of single texts.
        location: for JSON: `line` of a text file, `row` (and `line`) of a table; empty for a text from the command
            line.
    """

    text: str
    pair: str | None = None
    location: dict[str, int] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether there is no text to send to the model."""
        return not self.text.strip() and not (self.pair or "").strip()


def from_arguments(texts: Sequence[str], pairs: Sequence[str]) -> list[InputText]:
    seconds: Sequence[str | None] = pairs or [None] * len(texts)
    return [InputText(text, second) for text, second in zip(texts, seconds, strict=True)]


def from_standard_input() -> list[InputText]:
    return _of_lines(_lines(sys.stdin.buffer.read(), "standard input"))


def from_file(file: Path, model: Path | None, columns: Sequence[str] = ()) -> list[InputText]:
    """The texts of a file: its rows if its name is that of a table, otherwise its lines.

    Args:
        model: the folder of the model or bundle, which stores its column names; None for a server.
        columns: the columns with the texts, instead of those that the model was trained on.

    Raises:
        DataError: the file cannot be read, or has no such columns, or a row has no text there.
        ConfigError: columns were given for a file that is not a table.
    """
    if table_ending(file):
        return _of_table(open_table(file), tuple(columns) or _columns(model))
    if columns:
        raise ConfigError(
            "--column",
            got=f"{file}, whose name is not that of a table",
            expected="a .csv, .tsv, .jsonl or .parquet file",
        )
    return _of_lines(_lines(_read(file), str(file)))


def _columns(model: Path | None) -> tuple[str, ...]:
    """The columns that a model was trained on; empty if it does not store them."""
    if model is None:
        return ()
    if is_bundle(model):
        stored = _json(model / BUNDLE_FILE).get("report", {}).get("config") or {}
    else:
        stored = _json(newest_version(model) / EXTRA_FOLDER / CONFIG_FILE)
    task = stored.get("task", {})
    return tuple(name for name in (task.get("text", TaskConfig().text), task.get("text_pair")) if name is not None)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _of_table(table: Table, columns: tuple[str, ...]) -> list[InputText]:
    columns = columns or _guess(table)
    missing = [name for name in columns if name not in table.columns and name not in table.left_out]
    if missing and table.columns:
        raise DataError(
            f"{table.path}: there is no column {missing[0]!r}, which the model was trained on",
            got=f"the columns {', '.join(map(repr, table.columns))}"
            + "".join(f"; {note}" for note in (table.above, table.headerless) if note),
            expected="the columns that the model was trained on, or a .txt file with one text per line",
            fix="name the column with the texts: --column NAME (for pairs twice)",
        )
    table.require(columns)
    inputs = []
    for row in table.rows(columns):
        texts = [_text(table.path, row, name) for name in columns]
        where = {"row": row.number} | ({"line": row.line} if row.line else {})
        inputs.append(InputText(texts[0], texts[1] if len(texts) > 1 else None, where))
    return inputs


def _guess(table: Table) -> tuple[str, ...]:
    """The columns of a table for a server, which does not report the columns that its model was trained on."""
    default = TaskConfig().text
    if default in table.columns:
        return (default, "text_pair") if "text_pair" in table.columns else (default,)
    if len(table.columns) == 1:
        return table.columns
    raise DataError(
        f"{table.path}: which column holds the texts?",
        got=f"the columns {', '.join(map(repr, table.columns))}",
        expected=f"a column {default!r}: a server does not report the columns that its model was trained on",
        fix="name the column: --column NAME (for pairs twice)",
    )


def _text(path: Path, row: Row, name: str) -> str:
    value = row.values.get(name)
    where = f"{row_location(path, row.number, row.line)}: column {name!r} is not text"
    strange = describe_non_text(value)
    if strange:
        raise DataError(
            where, got=f"{strange}: {str(value)[:60]}", expected="text", fix="replace it by the text itself"
        )
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
            str(file), got=str(error), expected="a file with one text per line, or a table", fix="correct --file"
        ) from None


def _lines(content: bytes, source: str) -> list[str]:
    """The lines of a text file. Only line feeds end a line: U+2028 and the like are part of the text."""
    found = recognize(content[:START])
    if found is not None:
        raise DataError(
            f"{source}: not a text file in UTF-8", got=found.what, expected="one text per line", fix=found.fix
        )
    try:
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        # the offset does not count the byte order mark
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


def _of_lines(lines: list[str]) -> list[InputText]:
    """Texts, or pairs if every line that is not empty has a tab between two texts."""
    parts = [line.split("\t", 1) if line.strip() else ["", ""] for line in lines]
    pairs = any(line.strip() for line in lines) and all(len(part) == 2 for part in parts)
    return [
        InputText(part[0] if pairs else line, part[1] if pairs else None, {"line": number})
        for number, (line, part) in enumerate(zip(lines, parts, strict=True), 1)
    ]
