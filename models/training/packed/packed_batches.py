"""Batches of packed rows, in an order that depends only on the seed and the epoch.

Any batch of any epoch can be made without the ones before it, and the number of steps is known in advance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from models.network.packed import APART, PackingNeeds
from models.training.batches import Batch, Features
from models.training.packed.lines import Lines, Text, choose_lines, deal, write_lines
from models.training.token_rows import TokenRows

_PLANNED_BATCHES = 64
_ALL_ROWS = 2**31 - 1  # stands for the epoch where all rows are passed once, for evaluation


@dataclass(frozen=True)
class PackedBatches:
    """The batches of every epoch."""

    rows: TokenRows
    batch_size: int  # most rows of a batch
    pad_id: int  # token id of the padding
    needs: PackingNeeds  # of the model
    replicas: int = 1  # each gets lines of its own
    seed: int = 0  # for the order

    def __len__(self) -> int:
        return math.ceil(len(self.rows) / self.batch_size)

    @property
    def slots(self) -> int:
        """Rows of a replica's share, empty ones included. A table smaller than a batch gives smaller batches."""
        return math.ceil(min(self.batch_size, len(self.rows)) / self.replicas)

    @property
    def padded_size(self) -> int:
        """Rows of every batch, empty ones included."""
        return self.slots * self.replicas

    @property
    def shape(self) -> tuple[int, int]:
        """Lines of a batch that the model reads, and their length in tokens."""
        lines = self.lines if self.needs.start_id is None else self.apart_lines
        return lines.count * self.replicas, lines.length

    @property
    def padded_tokens(self) -> int:
        """Tokens of every batch, those of the padding included."""
        count, length = self.shape
        return count * length

    @cached_property
    def lines(self) -> Lines:
        """The shape of a replica's share of the rows."""
        return self._choose_lines([[self.rows.lengths[share] for share in shares] for shares in self._planned])

    @cached_property
    def apart_lines(self) -> Lines:
        """The shape of a replica's share of the texts of its rows, where the model reads them apart."""
        assert self._first_lengths is not None
        first = self._first_lengths
        rest = self.rows.lengths - first + 1
        return self._choose_lines(
            [[np.concatenate([first[share], rest[share]]) for share in shares] for shares in self._planned]
        )

    def order(self, epoch: int) -> list[np.ndarray]:
        """The rows of each batch of an epoch (from 0), shuffled; the same for the same seed and epoch."""
        generator = np.random.default_rng([self.seed, epoch])
        batches = deal(self.rows.lengths, self.batch_size, generator)
        if self.replicas == 1:
            return batches
        return [np.concatenate(self._share_out(rows, generator)) for rows in batches]

    def all_rows(self) -> Iterator[Batch]:
        """All rows once, for evaluation."""
        for rows in self.order(_ALL_ROWS):
            yield self.make_batch(rows)

    def make_batch(self, rows: np.ndarray) -> Batch:
        """The batch of these rows, at most `batch_size` of them; the features are inputs of `models.network.packed`."""
        shares = [rows[i : i + self.slots] for i in range(0, self.padded_size, self.slots)]
        features = self._write([[self._row(row) for row in share] for share in shares], self.lines, self.slots)
        if self.needs.start_id is not None:
            texts = [[text for row in share for text in self._texts(row)] for share in shares]
            apart = self._write(texts, self.apart_lines, 2 * self.slots)
            features |= {APART + name: values for name, values in apart.items()}
        targets = np.zeros((self.padded_size, *self.rows.targets.shape[1:]), self.rows.targets.dtype)
        targets[: len(rows)] = self.rows.targets[rows]
        given = self.rows.base_logits
        base = np.zeros((self.padded_size, 1 if given is None else given.shape[1]), np.float32)
        if given is not None:
            base[: len(rows)] = given[rows]
        return Batch(features, targets, rows, int(self.rows.lengths[rows].sum()), base)

    def _write(self, shares: Sequence[Sequence[Text]], lines: Lines, slots: int) -> Features:
        return write_lines(shares, lines, slots=slots, pad_id=self.pad_id, gap=self.needs.gap)

    def _row(self, row: int) -> Text:
        place = slice(self.rows.offsets[row], self.rows.offsets[row + 1])
        segments = self.rows.segment_ids
        return self.rows.token_ids[place], 0 if segments is None else segments[place]

    def _texts(self, row: int) -> tuple[Text, Text]:
        """The two texts of a row, as if each were alone; as `models.network.text_pairs.SeparateTexts` makes them."""
        assert self._first_lengths is not None
        ids, first = self._row(row)[0], int(self._first_lengths[row])
        return (ids[:first], 0), (np.append(np.int32(self.needs.start_id or 0), ids[first:]), 0)

    @cached_property
    def _first_lengths(self) -> np.ndarray | None:
        """[N] int64, tokens of each row's first text, at least 1."""
        segments = self.rows.segment_ids
        if segments is None:
            return self.rows.lengths
        return np.maximum(np.add.reduceat(1 - np.asarray(segments, np.int64), self.rows.offsets[:-1]), 1)

    @cached_property
    def _planned(self) -> list[list[np.ndarray]]:
        """The shares of some batches of an epoch, which decide on the shapes."""
        batches = self.order(0)
        planned = batches[:: max(1, len(batches) // _PLANNED_BATCHES)]
        return [[rows[i : i + self.slots] for i in range(0, len(rows), self.slots)] for rows in planned]

    def _share_out(self, rows: np.ndarray, generator: np.random.Generator) -> list[np.ndarray]:
        return [rows[share] for share in deal(self.rows.lengths[rows], self.slots, generator)]

    def _choose_lines(self, lengths: list[list[np.ndarray]]) -> Lines:
        samples = [share for shares in lengths for share in shares]
        longest = max(int(self.rows.lengths.max()), max(int(share.max()) for share in samples))
        return choose_lines(samples, limit=longest, width=self.needs.width, gap=self.needs.gap)
