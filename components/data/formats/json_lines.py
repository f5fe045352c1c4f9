"""JSON Lines: one object per line. Imports no TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from decimal import Decimal
from typing import Any

from components.data.formats.table import DuplicateKey, HeaderlessTable, Row, Span, row_location
from components.data.formats.text_lines import Lines, line_spans
from components.data.values.cells import as_json, readable
from models.errors import DataError

# Nearly the largest number of digits that Python converts to an integer; longer numbers become decimals.
_LONGEST_INTEGER = 4000


class JsonLinesTable(HeaderlessTable):
    """JSON Lines."""

    def rows(self, needed: Collection[str] | None = None) -> Iterator[Row]:
        lines = Lines(self.path, self.span)
        lines.row = 1
        for text in lines:
            if text.isspace():
                continue
            values = self._parse(text, lines)
            if lines.damaged:
                values = {name: self._readable(lines, name, value, needed) for name, value in values.items()}
                lines.damaged.clear()
            yield Row(lines.row, lines.line, values)
            lines.row += 1

    def spans(self, size: int) -> list[Span | None]:
        return line_spans(self.path, size)

    def _readable(self, lines: Lines, name: str, value: Any, needed: Collection[str] | None) -> Any:
        text = value if isinstance(value, str) else as_json(value)
        nearest = lines.readable(name, text, needed)
        if nearest == text:
            return value
        self.unreadable.add(name)
        return nearest

    def _parse(self, text: str, lines: Lines) -> dict[str, Any]:
        try:
            value = _load(text)
        except json.JSONDecodeError as error:
            raise self._not_json(text, error, lines) from None
        except RecursionError as error:  # nested a thousand deep
            where = row_location(self.path, lines.row, lines.line)
            raise DataError(
                f"{where}: JSON that is nested too deeply", got=str(error), expected="texts and numbers"
            ) from None
        if isinstance(value, list) and lines.row == 1:
            raise self._an_array()
        if not isinstance(value, dict):
            where = row_location(self.path, lines.row, lines.line)
            raise DataError(f"{where}: not a JSON object", got=text.strip()[:60], expected='{"column": value, …}')
        return value if all(map(str.isascii, value)) else {readable(name): cell for name, cell in value.items()}

    def _not_json(self, text: str, error: json.JSONDecodeError, lines: Lines) -> DataError:
        where = row_location(self.path, lines.row, lines.line)
        if lines.damaged:
            return lines.damaged[0]
        start = text.lstrip()
        if lines.row == 1 and start[:1] == "[":
            return self._an_array()
        if start.startswith(("#", "//")):
            return DataError(f"{where}: a comment", got=text.strip()[:60], expected="only JSON", fix="delete the line")
        if lines.row == 1 and start[:1] not in ("{", "["):
            return DataError(
                f"{where}: not JSON",
                got=f"{text.strip()[:60]!r}",
                expected='one JSON object per line, for example {"text": "…", "label": "…"}',
                fix="if it is a CSV file, give it a name that ends in .csv (or set data.format: csv)",
            )
        if lines.row == 1 and not start[1:].strip():
            return DataError(
                f"{where}: a JSON document of several lines",
                got=text.strip(),
                expected="JSON Lines: one object per line",
                fix="convert it, for example: jq -c . OLD > NEW (jq -c '.data[]' for rows in a list named data)",
            )
        offset = lines.offset + len(text[: error.pos].encode())
        return DataError(
            f"{where}: not JSON",
            got=f"{error.msg} at byte {offset:,}, near {text[max(0, error.pos - 20) : error.pos + 20].strip()!r}",
            expected='one JSON object per line, for example {"text": "…", "label": "…"}',
            fix=_suggest_fix(text, error),
        )

    def _an_array(self) -> DataError:
        return DataError(
            f"{self.path}: a JSON array",
            got="[",
            expected="JSON Lines: one object per line",
            fix="convert it, for example: jq -c '.[]' OLD > NEW",
        )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        return {name: value if names.count(name) == 1 else DuplicateKey() for name, value in values.items()}
    return values


# `json.loads` would create a decoder for every row.
_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def _load(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer with thousands of digits, which may be in an unused column
        return json.loads(text, object_pairs_hook=_object, parse_int=_integer)


def _integer(digits: str) -> int | Decimal:
    return int(digits) if len(digits) < _LONGEST_INTEGER else Decimal(digits)


def _suggest_fix(text: str, error: json.JSONDecodeError) -> str:
    rest = text[error.pos :].lstrip()
    if not text.endswith(("\n", "\r")) and (not rest or error.msg.startswith("Unterminated")):
        return "copy or download the file again: it ends in the middle of a row"
    if rest.startswith("'"):
        return "write the rows with json.dumps: single quotes are Python, not JSON"
    if rest.startswith(",") and not rest[1:].strip():
        return "delete the comma at the end of the line: JSON Lines has no commas between rows"
    if error.msg == "Extra data":
        return "start a new line for each object"
    return "correct the line"
