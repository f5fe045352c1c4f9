"""Where rows come from, and to which split each of them goes. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.config import DataConfig
from components.data.formats.files import patterns_of
from components.data.row_batches import RowBatch
from components.data.rows import Record
from components.data.text_keys import split_key, split_keys
from models.config import TaskConfig


@dataclass(frozen=True)
class Source:
    """One source of rows, and the splits that they may go to.

    Attributes:
        key: the configuration key: "path", "train", "eval" or "test".
        patterns: its files.
        shares: the parts of each split, in order.
        columns: the columns whose values alone decide a row's split; none: the (first) text.
    """

    key: str
    patterns: tuple[str, ...]
    shares: tuple[tuple[str, int], ...]
    columns: tuple[str, ...] = ()

    def split(self, record: Record, task: TaskConfig) -> str:
        """The split of a row."""
        return self.splits(RowBatch.of_records([record], task), task)[0]

    def splits(self, rows: RowBatch, task: TaskConfig) -> list[str]:
        """The split of each row."""
        if len(self.shares) == 1:
            return [self.shares[0][0]] * len(rows)
        return self.splits_of_keys(self._keys(rows, task))

    def _keys(self, rows: RowBatch, task: TaskConfig) -> np.ndarray:
        """The keys of the rows, uint64 [rows]."""
        if not self.columns:
            # Of a pair the first text: a premise stays with its hypotheses, a question with its passages.
            return split_keys(rows.texts)
        texts: dict[str | None, Sequence[str] | None] = {task.text: rows.texts, task.text_pair: rows.text_pairs}
        nothing = [""] * len(rows)
        columns = [(texts.get(name) if name in texts else rows.others.get(name)) or nothing for name in self.columns]
        values = [[value or "" for value in row] for row in zip(*columns, strict=True)]
        keys = [split_key(*row) if any(row) else split_key(text) for row, text in zip(values, rows.texts, strict=True)]
        return np.array(keys, np.uint64)

    def splits_of_keys(self, keys: np.ndarray) -> list[str]:
        """The splits of rows with these `split_key`s, uint64 [rows]."""
        ends = np.cumsum([share for _, share in self.shares])
        places = np.searchsorted(ends, keys % np.uint64(ends[-1]), side="right")
        return [self.shares[place][0] for place in places.tolist()]


def sources(data: DataConfig) -> tuple[Source, ...]:
    """Where the rows come from and go to.

    One table is split into train, eval and test by `data.splits`. Given splits are used unchanged. Without a given eval
    split, a tenth of the training rows becomes it; without a given test split there is none, and the evaluation uses
    eval.
    """
    if data.path is not None:
        shares = (("train", data.splits.train), ("eval", data.splits.eval), ("test", data.splits.test))
        return (Source("path", patterns_of(data.path), shares, data.split_columns),)
    train = (("train", 9), ("eval", 1)) if data.eval is None else (("train", 1),)
    given = [("train", data.train, train), ("eval", data.eval, (("eval", 1),)), ("test", data.test, (("test", 1),))]
    return tuple(
        Source(key, patterns_of(files), shares, data.split_columns) for key, files, shares in given if files is not None
    )


def split_names(data: DataConfig) -> tuple[str, ...]:
    """Those of the splits train, eval and test that will exist."""
    names = {name for source in sources(data) for name, _ in source.shares}
    return tuple(name for name in ("train", "eval", "test") if name in names)
