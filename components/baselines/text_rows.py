"""Texts, or pairs of texts, as the baselines read them, and samples of rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from components.data.rows import Record

MOST_CHARACTERS = 1000
"""What follows in a text is not read."""


def text_key(text: bytes, pair: bytes | None) -> int:
    """A 64-bit hash (unsigned) of the exact texts of a row, under which its predictions are stored."""
    digest = hashlib.blake2b(text, digest_size=8)
    if pair is not None:
        digest.update(b"\0" + pair)
    return int.from_bytes(digest.digest(), "little")


def record_key(record: Record) -> int:
    """`text_key` of a record."""
    return text_key(record.text.encode(), None if record.text_pair is None else record.text_pair.encode())


@dataclass(frozen=True)
class TextRows:
    """The texts of N rows.

    Attributes:
        texts: what is read of the texts.
        pairs: of the second texts; None for a task about one text.
    """

    texts: Sequence[str]
    pairs: Sequence[str] | None = None

    @classmethod
    def of(cls, records: Sequence[Record]) -> TextRows:
        """The texts of records."""
        paired = bool(records) and records[0].text_pair is not None
        pairs = [(record.text_pair or "")[:MOST_CHARACTERS] for record in records] if paired else None
        return cls([record.text[:MOST_CHARACTERS] for record in records], pairs)

    def __len__(self) -> int:
        return len(self.texts)


def sample(records: Iterable[Record], most_rows: int, most_characters: int) -> list[Record]:
    """All records, or if they are too many, those whose keys are lowest: in both cases in the order of their keys.

    So the result depends on what is in the rows, but not on their order, and it is as good as random. No more than
    twice `most_rows` are held in memory.
    """
    kept: list[tuple[int, Record]] = []
    for record in records:
        kept.append((record_key(record), record))
        if len(kept) >= 2 * most_rows:
            kept = _lowest(kept, most_rows)
    kept = _lowest(kept, most_rows)
    characters = np.cumsum([_characters(record) for _, record in kept])
    fitting = int(np.searchsorted(characters, most_characters, side="right"))
    return [record for _, record in kept[: max(1, fitting)]]


def _lowest(kept: list[tuple[int, Record]], rows: int) -> list[tuple[int, Record]]:
    return sorted(kept, key=lambda pair: pair[0])[:rows]


def _characters(record: Record) -> int:
    return min(len(record.text), MOST_CHARACTERS) + min(len(record.text_pair or ""), MOST_CHARACTERS)
