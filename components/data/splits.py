"""Where rows come from, to which splits they go, and on which side of a split one stands. Imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass

from components.config import DataConfig
from components.data.formats.files import patterns_of
from components.data.rows import Record
from components.data.text_keys import side_key
from models.config import TaskConfig


@dataclass(frozen=True)
class Source:
    """One of the places that rows come from, and the splits that they may go to.

    Attributes:
        key: the configuration key: "path", "train", "eval" or "test".
        patterns: its files.
        shares: parts of each split, in order.
        columns: those whose values decide a row's side, and nothing else does; none: the (first) text.
    """

    key: str
    patterns: tuple[str, ...]
    shares: tuple[tuple[str, int], ...]
    columns: tuple[str, ...] = ()

    def split(self, record: Record, task: TaskConfig) -> str:
        """The split of a row."""
        return self.side(self._key(record, task)) if len(self.shares) > 1 else self.shares[0][0]

    def _key(self, record: Record, task: TaskConfig) -> int:
        own = {task.text: record.text, task.text_pair: record.text_pair or ""}
        values = [own[name] if name in own else record.others.get(name, "") for name in self.columns]
        # Of a pair the first text: one premise with its hypotheses, one question with its passages, keep together.
        return side_key(*values) if any(values) else side_key(record.text)

    def side(self, key: int) -> str:
        """The split of a row, by its `side_key`."""
        part = key % sum(share for _, share in self.shares)
        for name, share in self.shares:
            if part < share:
                return name
            part -= share
        raise AssertionError("a remainder below the sum falls into a share")


def sources(data: DataConfig) -> tuple[Source, ...]:
    """Where the rows come from and go to.

    One table is split into train, eval and test by `data.splits`. Given splits stay as they are; where no eval split
    is given a tenth of the training rows becomes it, and where no test split is given there is none: the evaluation
    uses eval.
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
    """The splits that there will be, of train, eval and test."""
    names = {name for source in sources(data) for name, _ in source.shares}
    return tuple(name for name in ("train", "eval", "test") if name in names)
