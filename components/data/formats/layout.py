"""The layout of a separated file: separator, quotes, and the line of the header. Imports no TensorFlow.

CSV files do not declare it, so it is inferred from the first lines: the separator is the one that makes all rows as
wide as the header.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from components.data.column_names import LABEL_NAMES, TEXT_NAMES

# The lines and characters from which the layout is inferred, and the lines among which the header is searched.
_LINES, _CHARACTERS, _HEADER_WITHIN = 2_000, 8 * 2**20, 20
# A longer field is taken for a quote that was opened and never closed.
LONGEST_FIELD = 256 * 2**20
_SEPARATORS = (",", "\t", ";", "|")
# Excel's line about the separator, which may be quoted and followed by empty fields.
_EXCEL = re.compile(r'\s*"?sep=(.|\\t)"?[,;\t|]*\s*', re.IGNORECASE)
# The longest name of a column that needs no second look, in characters; texts without spaces are longer, too.
_SHORT_NAME = 5
_KNOWN = frozenset((*TEXT_NAMES, *LABEL_NAMES))

Fields = list[str]


@dataclass(frozen=True)
class Layout:
    """How a file is read.

    Attributes:
        dialect: the arguments of `csv.reader`.
        line: the line on which the header starts, from 1; the lines above it are skipped.
        header: its fields, without surrounding white space; names that are missing at the end are left out.
        unnamed: the number of columns at the end of the header that have no name; they must be empty.
        above: what is above the header: "a title", "comments" or "the separator for Excel"; empty for nothing.
        widths: number of fields, without empty ones at the end, to number of rows in the sample.
        headerless: why the header looks like a row; empty if it does not.
    """

    dialect: Mapping[str, Any]
    line: int = 1
    header: tuple[str, ...] = ()
    unnamed: int = 0
    above: str = ""
    widths: Mapping[int, int] | None = None
    headerless: str = ""


@dataclass(frozen=True)
class _Candidate:
    """A way to read the sample: its records, and which of them is the header."""

    dialect: dict[str, Any]
    records: list[tuple[int, Fields]]
    index: int
    above: str
    broken: bool

    @property
    def header(self) -> Fields:
        return without_empty(self.records[self.index][1]) if self.records else []

    @property
    def rows(self) -> list[Fields]:
        return [fields for _, fields in self.records[self.index + 1 :]]

    @property
    def fit(self) -> float:
        """The share of the rows that are as wide as the header; 0 if it has only one column."""
        width = len(self.header)
        if width < 2:
            return 0.0
        share = (1 + sum(fits(fields, width) for fields in self.rows)) / (1 + len(self.rows) + self.broken)
        # "text;score" is not a title above rows such as "fine;3,5".
        return share / 2 if self.above == "a title" else share

    @property
    def spaced(self) -> bool:
        """A space follows every separator of the header, which may be a comma in a sentence."""
        return all(name.startswith(" ") for name in self.header[1:])


def find_layout(lines: Iterable[str], preferred: str) -> Layout:
    """Finds the layout of the file that begins with these lines.

    Args:
        lines: the decoded lines of the file, with their line ends; only the first are read.
        preferred: the separator that the file's name implies.
    """
    sample, whole = _sample(lines)
    forced = _EXCEL.fullmatch(sample[0]) if sample else None
    separators = [forced[1].replace("\\t", "\t")] if forced else sorted(_SEPARATORS, key=lambda s: s != preferred)
    candidates = [_read(sample, separator, whole, skip=1 if forced else 0) for separator in separators]
    # `max` takes the first of equals: the preferred separator.
    best = max(candidates, key=lambda one: (round(one.fit, 3), not one.spaced))
    if not best.records:
        return Layout(best.dialect)
    above = "the separator for Excel" if forced else best.above
    return Layout(
        best.dialect,
        line=best.records[best.index][0],
        header=names_of(best.header),
        unnamed=len(best.records[best.index][1]) - len(best.header),
        above=above,
        widths=Counter(len(without_empty(fields)) for fields in best.rows),
        headerless=_headerless(best.header, best.rows),
    )


def without_empty(fields: Sequence[str]) -> Fields:
    """The fields without the empty ones at the end, which spreadsheets write."""
    end = len(fields)
    while end and not fields[end - 1].strip():
        end -= 1
    return list(fields[:end])


def names_of(fields: Sequence[str]) -> tuple[str, ...]:
    """The names of a header, without surrounding white space and invisible characters, or the # before the first."""
    names = [name.strip().strip("\u200b\ufeff").strip() for name in fields]
    first = names[0].lstrip("# ") if names else ""
    return tuple([first, *names[1:]] if first.lower() in _KNOWN else names)


def fits(fields: Sequence[str], width: int) -> bool:
    """Whether a row has a field for each column, and only empty ones after them."""
    return len(fields) >= width and not any(field.strip() for field in fields[width:])


def _sample(lines: Iterable[str]) -> tuple[list[str], bool]:
    """The first lines, and whether these are all lines."""
    sample, characters = [], 0
    iterator = iter(lines)
    for line in islice(iterator, _LINES):
        sample.append(line)
        characters += len(line)
        if characters > _CHARACTERS:
            break
    return sample, next(iterator, None) is None


def _read(sample: list[str], separator: str, whole: bool, skip: int) -> _Candidate:
    """The best way to read the sample with a separator: quotes as in RFC 4180, unless the rows indicate otherwise."""
    plain: dict[str, Any] = {"delimiter": separator}
    best = _candidate(sample, plain, whole, skip)
    if any('"' in line for line in sample):
        spaced = _candidate(sample, {**plain, "skipinitialspace": True}, whole, skip)
        if spaced.fit > best.fit or (spaced.fit == best.fit and _quotes_after_spaces(best, spaced)):
            best = spaced
    if separator == "\t" and (best.fit < 1 or best.broken):
        # In IANA's registration of TSV, quotes are ordinary characters.
        raw = _candidate(sample, {**plain, "quoting": csv.QUOTE_NONE}, whole, skip)
        if raw.fit > best.fit or (best.broken and raw.fit == 1):
            best = raw
    if any("'" in line for line in sample):
        single = _candidate(sample, {**plain, "quotechar": "'", "skipinitialspace": True}, whole, skip)
        if single.fit >= best.fit and _all_in_single_quotes(best, single):
            best = single
    return best


def _quotes_after_spaces(plain: _Candidate, spaced: _Candidate) -> bool:
    """Whether the same records differ only in quotes that follow a space at the start of a field."""
    pairs = zip(plain.records, spaced.records, strict=False)
    return any(
        one.lstrip().startswith('"') and other not in (one, one.lstrip())
        for (_, left), (_, right) in pairs
        for one, other in zip(left, right, strict=False)
    )


def _all_in_single_quotes(plain: _Candidate, single: _Candidate) -> bool:
    """Whether there is a column with every value in single quotes."""
    rows = [fields for fields in single.rows if fields]
    if single.broken or len(rows) < 2:
        return False
    if plain.fit < single.fit and any(field[:1] == "'" for fields in plain.rows for field in fields):
        return True
    columns = zip(*(fields for fields in plain.rows if len(fields) >= len(plain.header)), strict=False)
    return any(all(len(v) > 1 and v.strip()[:1] == v.strip()[-1:] == "'" for v in column) for column in columns)


def _candidate(sample: list[str], dialect: dict[str, Any], whole: bool, skip: int) -> _Candidate:
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.reader(sample[skip:], strict=True, **dialect)
    records: list[tuple[int, Fields]] = []
    broken = False
    while True:
        start = reader.line_num + 1 + skip
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error:
            # A record that is cut off at the end of the sample is not an error of the file.
            broken = whole or reader.line_num < len(sample) - skip
            break
        if fields and not _blank(fields):
            records.append((start, fields))
    index, above = _find_header([fields for _, fields in records])
    return _Candidate(dialect, records, index, above, broken)


def _blank(fields: Fields) -> bool:
    return not any(field.strip() for field in fields)


def _find_header(records: list[Fields]) -> tuple[int, str]:
    """The index of the header among the records, and what is above it."""
    widths = Counter(len(without_empty(fields)) for fields in records)
    if not widths or max(widths) < 2:
        return 0, ""
    usual = widths.most_common(1)[0][0]
    index, above = 0, ""
    for fields in records[:_HEADER_WITHIN]:
        preamble = _preamble(fields, usual)
        if not preamble:
            break
        index, above = index + 1, preamble
    if index == min(len(records), _HEADER_WITHIN):  # only such lines: not a table of a known layout
        index, above = 0, ""
    for later, fields in enumerate(records[index + 1 : _HEADER_WITHIN], index + 1):
        if _is_surely_header(fields) and not _has_known_name(records[index]) and above != "comments":
            return later, "a title"
    return index, above


def _preamble(fields: Fields, usual: int) -> str:
    """What kind of line above the header this is; empty for the header itself."""
    filled = [field.strip() for field in fields if field.strip()]
    first = fields[0].lstrip()
    if first.startswith("#") and (len(without_empty(fields)) != usual or first[1:2] in (" ", "#", "\t", "!")):
        named = len(without_empty(fields)) == usual and names_of(fields)[0].lower() in _KNOWN
        return "" if named else "comments"
    if usual > 1 and len(filled) == 1 and filled[0].lower() not in _KNOWN:
        return "a title"
    return ""


def _has_known_name(fields: Fields) -> bool:
    return bool({name.lower() for name in names_of(fields)} & _KNOWN)


def _is_surely_header(fields: Fields) -> bool:
    """Whether it names a text and a label."""
    names = {field.strip().lower() for field in fields}
    return bool(names & set(TEXT_NAMES)) and bool(names & set(LABEL_NAMES))


def _headerless(header: Fields, rows: list[Fields]) -> str:
    """Why the header looks like a row: it holds a text, and a value or number like those in the rows below it."""
    rows = [fields for fields in rows if fits(fields, len(header))]
    if len(header) < 2 or not rows or _has_known_name(header):
        return ""
    columns = [[fields[index].strip() for fields in rows] for index in range(len(header))]
    named = list(zip(header, columns, strict=True))
    sentence = any(len(name.split()) > 2 for name in header)
    if not sentence and not any(_is_like_texts(name.strip(), values) for name, values in named):
        return ""
    for name, values in named:
        again = values.count(name.strip())
        if again > 1 and len(name.split()) <= 2:
            return f"{name.strip()!r} also appears in {again:,} rows below it"
        if sentence and _is_number(name) and all(map(_is_number, values)):
            return f"{name.strip()!r} is a number, like the values below it"
    return ""


def _is_like_texts(name: str, values: list[str]) -> bool:
    """Whether a field of the header is as long as the various texts below it."""
    lengths = sorted(map(len, values))
    usual = lengths[len(lengths) // 20] <= len(name) <= lengths[-1 - len(lengths) // 20]
    return usual and len(name) > _SHORT_NAME and len(set(values)) > len(values) / 2 and not any(map(_is_number, values))


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\s*[-+]?\d+(?:[.,]\d+)?\s*%?\s*", text) is not None
