"""Numbers as people write them: 3.5, 3,5, 1,000, 1.000,5, 1 000, 85%, $3.50, 3.50 EUR, 2 kg, −3, 1e3, ½.

A single value may have two readings: "1,000" is a thousand or one. A column must have one, so the readings of its
values are collected, and an ambiguous column is an error, never a guess. Standard library only.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

POINT, COMMA = ".", ","
"""The decimal marks."""
LARGEST = 1e19
"""Of the numbers that can be learned: the square of a larger one may be infinite in float32."""
_LONGEST = 40
_LIKE_ASCII = {"−": "-", "–": "-", "﹣": "-", "’": "'", "٪": "%", "٫": ".", "٬": "'"}
_CODES = (
    "AED ARS AUD BGN BRL CAD CHF CLP CNY COP CZK DKK EGP EUR GBP HKD HUF IDR ILS INR JPY KRW MXN MYR NGN NOK NZD PEN "
    "PHP PKR PLN RON RUB SAR SEK SGD THB TRY TWD UAH USD VND ZAR Rs kr zł Kč US$ A$ C$ R$"
)
_MEASURES = (
    "kg g mg lb lbs oz t km m cm mm mi ft in h hrs min mins s sec ms l L ml cl kcal kJ kWh W kW °C °F GB MB kB km/h "
    "mph pt pts percent euro euros Euro dollar dollars"
)
_CURRENCIES = frozenset(_CODES.split())
_UNITS = _CURRENCIES.union(_MEASURES.split())
_WORD_BEHIND = re.compile(r"(?P<number>.*?[\d.,])\s*(?P<unit>[^\W\d_][^\s\d]*|°[CF])\.?", re.DOTALL)
_WORD_BEFORE = re.compile(r"(?P<unit>[^\W\d_]+\$?)\.?\s*(?P<number>[-+]?\d.*)", re.DOTALL)
# "12,34,567" is Indian grouping. A group never follows a leading zero.
_INDIAN = r"[1-9]\d?(?:,\d\d)+,\d{3}"
_GROUPED = r"[1-9]\d{{0,2}}(?P<between>[{} '])\d{{3}}(?:(?P=between)\d{{3}})*"
# Nobody groups the digits of scientific notation: "4.658e-04" has one reading.
_FORMS = {
    POINT: re.compile(rf"(?:{_GROUPED.format(',')}|{_INDIAN})(?:\.\d*)?|\d*(?:\.\d*)?(?:[eE][+-]?\d+)?"),
    COMMA: re.compile(rf"{_GROUPED.format('.')}(?:,\d+)?|\d*(?:,\d+)?(?:[eE][+-]?\d+)?"),
}


@dataclass(frozen=True)
class Reading:
    """The possible meanings of a value.

    Attributes:
        unit: "%", "‰", a currency or a measure; it does not scale the number; "" for none.
        by_mark: decimal mark to number, for one of the two marks or both.
    """

    unit: str
    by_mark: Mapping[str, float]

    @property
    def clear(self) -> bool:
        """True if both marks are possible and give the same number."""
        return len(set(self.by_mark.values())) == 1 and len(self.by_mark) == 2


@lru_cache(maxsize=65_536)
def read_number(text: str) -> Reading | None:
    """How a text can be read as a finite number; None if it cannot."""
    text = text.strip()
    if not text or len(text) > _LONGEST:
        return None
    if not text.isascii():
        text = "".join(map(_ascii, text))
    unit, text = _without_unit(text)
    sign = -1.0 if text[:1] == "-" else 1.0
    text = text[1:].lstrip() if text[:1] in ("-", "+") else text
    if not unit:  # "-$3.50" and "$-3.50" both occur
        unit, text = _without_unit(text)
    vulgar = _vulgar(text)
    if vulgar is not None:
        return Reading(unit, dict.fromkeys((POINT, COMMA), sign * vulgar))
    found = {mark: sign * number for mark in _FORMS if (number := _plain(text, mark)) is not None}
    return Reading(unit, found) if found else None


def _ascii(character: str) -> str:
    """Digits of every script, full-width forms, and kinds of minus and space, as ASCII."""
    if unicodedata.category(character) == "Nd":
        return str(unicodedata.decimal(character))
    if "\uff01" <= character <= "\uffe6":
        character = unicodedata.normalize("NFKC", character)
    return " " if character.isspace() else _LIKE_ASCII.get(character, character)


def _without_unit(text: str) -> tuple[str, str]:
    last = text[-1:]
    if last.isalpha() or last in ("°", "."):
        found = _WORD_BEHIND.fullmatch(text)
        if found is not None and found["unit"] in _UNITS:
            return found["unit"], found["number"].strip()
    elif text[:1].isalpha():
        found = _WORD_BEFORE.fullmatch(text)
        if found is not None and found["unit"] in _CURRENCIES:
            return found["unit"], found["number"].strip()
    for unit, rest in ((text[:1], text[1:]), (text[-1:], text[:-1])):
        if unit and (unit in "%‰" or unicodedata.category(unit) == "Sc"):
            return unit, rest.strip()
    return "", text


def _vulgar(text: str) -> float | None:
    """½ and 3½."""
    if not text or unicodedata.category(text[-1]) != "No":
        return None
    part, whole = unicodedata.numeric(text[-1]), text[:-1].strip()
    if not 0 < part < 1 or (whole and not whole.isdecimal()):
        return None
    return int(whole or 0) + part


def _plain(text: str, mark: str) -> float | None:
    """A number without sign and unit, with `mark` as the decimal mark."""
    if _FORMS[mark].fullmatch(text) is None:
        return None
    digits = text.replace(" ", "").replace("'", "").replace(COMMA if mark == POINT else POINT, "").replace(COMMA, POINT)
    try:
        number = float(digits)
    except ValueError:  # "." or "e5"
        return None
    return number if math.isfinite(number) else None


def is_computable(number: float) -> bool:
    """Whether a number can be learned; NaN cannot."""
    return abs(number) <= LARGEST


@dataclass
class NumberColumn:
    """The decimal marks and units that the values of a column allow.

    Attributes:
        rows: the number of values.
        units: unit to number of rows; zeros are not counted.
        only: decimal mark to the first value that allows no other mark.
        open: the first value that has different meanings with the two marks.
    """

    rows: int = 0
    units: Counter[str] = field(default_factory=Counter)
    only: dict[str, str] = field(default_factory=dict)
    open: str = ""

    def add(self, text: str, reading: Reading) -> None:
        """Counts a value."""
        self.rows += 1
        if reading.unit or any(reading.by_mark.values()):
            self.units[reading.unit] += 1
        if len(reading.by_mark) == 1:
            self.only.setdefault(next(iter(reading.by_mark)), text)
        elif not reading.clear:
            self.open = self.open or text

    @property
    def unit(self) -> str:
        """The column's unit; "" for none, or several."""
        return next(iter(self.units)) if len(self.units) == 1 else ""

    @property
    def mark(self) -> str | None:
        """The decimal mark; None if the values leave it open or contradict each other."""
        if len(self.only) > 1:
            return None
        return next(iter(self.only)) if self.only else (None if self.open else POINT)

    def find_ambiguity(self, configured: str | None = None) -> tuple[str, str]:
        """What is ambiguous, and how to fix it; two empty strings if nothing is.

        Args:
            configured: the decimal mark, if it is known.
        """
        if len(self.units) > 1:
            named = ", ".join(f"{unit or 'none'} in {rows:,} rows" for unit, rows in self.units.most_common())
            return f"numbers of different units ({named})", "give all numbers in one unit"
        if configured is None and len(self.only) > 1:
            point, comma = self.only[POINT], self.only[COMMA]
            return (
                f"{point!r} can only have a decimal point, {comma!r} only a decimal comma",
                "write all numbers in the same way",
            )
        if configured is None and self.mark is None:
            by_mark = (read_number(self.open) or Reading("", {POINT: 0.0, COMMA: 0.0})).by_mark
            return (
                f"{self.open!r} is {by_mark[POINT]:.15g} with a decimal point and {by_mark[COMMA]:.15g} with a decimal "
                "comma, and no row shows which is meant",
                "set task.decimal to '.' or ','",
            )
        return "", ""
