"""Batches of packed rows, in an order that depends only on the seed and the epoch.

Any batch of any epoch can be made without the ones before it, and the number of steps is known in advance. All batches
have one shape. Only where a few rows are so much longer than the others that their lines would be mostly padding do the
longest rows get batches of their own, of another shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from models.network.packed import APART, PackingNeeds
from models.training.batches import Batch, make_padded_batch
from models.training.packed.lines import LENGTH_MULTIPLE, Layout, Lines, Text, choose_lines, deal, lay_out, write_lines
from models.training.token_rows import TokenRows

_PLANNED_BATCHES = 64  # of a group decide on its shape,
_PLANNED_EPOCHS = 8  # of as many epochs where one has fewer
_PLANNING_SEED = 0
_TRIED_BATCHES = 8  # decide whether a group is worth its shape
_ALL_ROWS = 2**31 - 1  # stands for the epoch where all rows are passed once, for evaluation
_LONG_SHARES = (0.0, 0.01, 0.03, 0.1, 0.3)  # of the batches, at least one, that the longest rows may get
_FULL = 0.85  # share of tokens in a batch from which other shapes are not looked for
_SHAPE_COST = 5_000  # of one more compilation, in tokens of an epoch


@dataclass(frozen=True)
class Shape:
    """Of a replica's share of a batch: the lines of its rows, and those of their texts if the model reads two apart."""

    lines: Lines
    apart: Lines | None = None

    def cost(self, width: int) -> float:
        """See `Lines.cost`."""
        return self.lines.cost(width) if self.apart is None else self.lines.cost(width) + self.apart.cost(width)


@dataclass(frozen=True)
class PackedBatches:
    """The batches of every epoch."""

    rows: TokenRows
    batch_size: int  # most rows of a batch
    pad_id: int  # token id of the padding
    needs: PackingNeeds  # of the model
    replicas: int = 1  # each gets lines of its own
    multiple: int = 1  # their number is a multiple of this
    length_multiple: int = LENGTH_MULTIPLE  # and their length of this
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

    @cached_property
    def shapes(self) -> list[Shape]:
        """What a batch may look like, the cheapest first: one shape, or two where the longest rows have their own.

        The seed does not decide it, so that nothing has to be compiled for another one.
        """
        if self.seed != _PLANNING_SEED:
            return replace(self, seed=_PLANNING_SEED).shapes
        epochs = min(_PLANNED_EPOCHS, math.ceil(_PLANNED_BATCHES / len(self)))
        groups = zip(*(self._groups(epoch) for epoch in range(epochs)), strict=True)
        shapes = {self._plan([rows for part in group for rows in part]) for group in groups}
        return sorted(shapes, key=lambda shape: shape.cost(self.needs.width))

    @cached_property
    def long_batches(self) -> int:
        """Batches of an epoch that the longest rows have for themselves.

        Neither the seed nor the number of replicas decides it, so that every number of them trains on the same batches.
        """
        deciding: dict[str, Any] = {
            "seed": _PLANNING_SEED,
            "replicas": 1,
            "multiple": 1,
            "length_multiple": LENGTH_MULTIPLE,
        }
        if any(getattr(self, name) != value for name, value in deciding.items()):
            return replace(self, **deciding).long_batches
        shape, count, width = self._plan(self._deal(self._by_length(0), 0), _TRIED_BATCHES), len(self), self.needs.width
        tokens = float(self.rows.lengths.mean()) * len(self.rows) / count
        if count == 1 or tokens / (shape.lines.count * shape.lines.length) >= _FULL:
            return 0
        best, least = 0, count * shape.cost(width)
        for share in _LONG_SHARES:
            long = max(1, round(share * count))
            groups = self._groups(0, long)
            shapes = [self._plan(group, _TRIED_BATCHES) for group in groups]
            cost = sum(len(group) * one.cost(width) for group, one in zip(groups, shapes, strict=True)) + _SHAPE_COST
            if long < count and cost < least:
                best, least = long, cost
        return best

    def order(self, epoch: int) -> list[np.ndarray]:
        """The rows of each batch of an epoch (from 0), shuffled; the same for the same seed and epoch."""
        batches = [rows for group in self._groups(epoch) for rows in group]
        if self.long_batches:
            generator = np.random.default_rng([self.seed, epoch, len(batches)])
            batches = [batches[place] for place in generator.permutation(len(batches))]
        return batches

    def all_rows(self) -> Iterator[Batch]:
        """All rows once, for evaluation."""
        for rows in self.order(_ALL_ROWS):
            yield from self.make_batches(rows)

    def make_batches(self, rows: np.ndarray) -> list[Batch]:
        """The batch of these rows, at most `batch_size` of them; two or more if they do not fit any of `shapes`.

        The features are inputs of `models.network.packed`.
        """
        parts = self._shares(rows)
        shares = [[self._row(row) for row in share] for share in parts]
        apart = [[text for row in share for text in self._texts(row)] for share in parts]
        for shape in self.shapes:
            laid = _lay_out(shares, shape.lines, self.needs.gap)
            laid_apart = _lay_out(apart, shape.apart, self.needs.gap) if shape.apart is not None else []
            if laid is None or laid_apart is None:
                continue
            features = write_lines(shares, laid, shape.lines, slots=self.slots, pad_id=self.pad_id)
            if shape.apart is not None:
                texts = write_lines(apart, laid_apart, shape.apart, slots=2 * self.slots, pad_id=self.pad_id)
                features |= {APART + name: values for name, values in texts.items()}
            return [make_padded_batch(features, self.rows, rows, self.padded_size)]
        return [*self.make_batches(rows[: len(rows) // 2]), *self.make_batches(rows[len(rows) // 2 :])]

    def _by_length(self, epoch: int) -> np.ndarray:
        """The rows of an epoch, the longest first, in random order where they are of equal length."""
        shuffled = np.random.default_rng([self.seed, epoch]).permutation(len(self.rows))
        by_length: np.ndarray = shuffled[np.argsort(-self.rows.lengths[shuffled], kind="stable")]
        return by_length

    def _groups(self, epoch: int, long: int | None = None) -> list[list[np.ndarray]]:
        """The batches of the longest rows, if they have any for themselves, and those of the others."""
        cut = self.batch_size * (self.long_batches if long is None else long)
        by_length = self._by_length(epoch)
        return [self._deal(rows, epoch) for rows in (by_length[:cut], by_length[cut:]) if len(rows)]

    def _deal(self, rows: np.ndarray, epoch: int) -> list[np.ndarray]:
        generator = np.random.default_rng([self.seed, epoch, 1])
        batches = [rows[places] for places in deal(self.rows.lengths[rows], self.batch_size, generator)]
        return batches if self.replicas == 1 else [self._share_out(rows, generator) for rows in batches]

    def _share_out(self, rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        shares = deal(self.rows.lengths[rows], self.slots, generator)
        places: np.ndarray = np.concatenate(sorted(shares, key=len, reverse=True))
        return np.asarray(rows[places])

    def _shares(self, rows: np.ndarray) -> list[np.ndarray]:
        return [rows[i : i + self.slots] for i in range(0, self.padded_size, self.slots)]

    def _plan(self, batches: Sequence[np.ndarray], most: int = _PLANNED_BATCHES) -> Shape:
        """The shape of lowest cost for these batches, going by some of them."""
        planned = batches[:: math.ceil(len(batches) / most)]
        shares = [share for rows in planned for share in self._shares(rows) if len(share)]
        lengths, first = self.rows.lengths, self._first_lengths
        limit = max(int(lengths[rows].max()) for rows in batches)
        lines = choose_lines([lengths[share] for share in shares], limit=limit, **self._line_options)
        if first is None:
            return Shape(lines)
        texts = [np.concatenate([first[share], lengths[share] - first[share] + 1]) for share in shares]
        limit = max(int(np.maximum(first[rows], lengths[rows] - first[rows] + 1).max()) for rows in batches)
        apart = choose_lines(texts, limit=limit, **self._line_options)
        # With one size they might share programs that XLA compiled, and run them at once: see `models.network.fused`.
        while apart.count * apart.length == lines.count * lines.length:
            apart = replace(apart, count=apart.count + self.multiple)
        return Shape(lines, apart)

    @property
    def _line_options(self) -> dict[str, int]:
        multiples = {"multiple": self.multiple, "length_multiple": self.length_multiple}
        return {"width": self.needs.width, "gap": self.needs.gap, **multiples}

    def _row(self, row: int) -> Text:
        place = slice(self.rows.offsets[row], self.rows.offsets[row + 1])
        segments = self.rows.segment_ids
        return self.rows.token_ids[place], 0 if segments is None else segments[place]

    def _texts(self, row: int) -> list[Text]:
        """The two texts of a row, as if each were alone, if the model reads them apart; as
        `models.network.text_pairs.SeparateTexts` makes them."""
        if self._first_lengths is None:
            return []
        ids, first = self._row(row)[0], int(self._first_lengths[row])
        return [(ids[:first], 0), (np.append(np.int32(self.needs.start_id or 0), ids[first:]), 0)]

    @cached_property
    def _first_lengths(self) -> np.ndarray | None:
        """[N] int64, tokens of each row's first text, at least 1; None where no two texts are read apart."""
        segments = self.rows.segment_ids
        if self.needs.start_id is None:
            return None
        if segments is None:
            return self.rows.lengths
        second = np.add.reduceat(segments, self.rows.offsets[:-1], dtype=np.int64)
        first: np.ndarray = np.maximum(self.rows.lengths - second, 1)
        return first


def _lay_out(shares: Sequence[Sequence[Text]], lines: Lines, gap: int) -> list[Layout] | None:
    """The layout of each share; None if one does not fit."""
    laid = []
    for texts in shares:
        lengths = np.array([len(ids) for ids, _ in texts], np.int64)
        if len(lengths) and lengths.max() > lines.length:
            return None
        layout = lay_out(lengths, lines.length, gap, wanted=lines.count)
        if layout.count > lines.count:
            return None
        laid.append(layout)
    return laid
