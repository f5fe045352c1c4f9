"""Turns rows into batches of few static shapes, in an order that depends only on the seed and the epoch.

The rows of an epoch are shuffled, sorted by length bucket and cut into batches of exactly `batch_size` rows; the
batches are then shuffled. All batches but one are full. So the number of steps is known in advance, and any batch of
any epoch can be made without the ones before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from models.training.token_rows import TokenRows

Item = TypeVar("Item")
Features = dict[str, np.ndarray]


@dataclass(frozen=True)
class Batch:
    """One forward pass over all replicas."""

    features: Features  # `token_ids`, `padding_mask`, `segment_ids`, each [B, L] int32
    targets: np.ndarray  # [B] or [B, C], the rows' own dtype
    rows: np.ndarray  # [b] int64, the rows' indices; b < B if the batch is padded with empty rows at its end
    tokens: int  # real tokens, without padding
    base_logits: np.ndarray  # [B, C] float32, added to the model's in training; [B, 1] zeros if there are none


def make_padded_batch(features: Features, table: TokenRows, rows: np.ndarray, size: int) -> Batch:
    """The batch of these rows of a table, whose targets and base logits are padded with zeros to `size` rows."""
    targets = np.zeros((size, *table.targets.shape[1:]), table.targets.dtype)
    targets[: len(rows)] = table.targets[rows]
    given = table.base_logits
    base = np.zeros((size, 1 if given is None else given.shape[1]), np.float32)
    if given is not None:
        base[: len(rows)] = given[rows]
    return Batch(features, targets, rows, int(table.lengths[rows].sum()), base)


def standardized(batch: Batch, mean: float, std: float) -> Batch:
    """The batch with the targets of a regression in standard deviations from their mean, float32."""
    return replace(batch, targets=((batch.targets - mean) / std).astype(np.float32))


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items; a thread makes the next one while the caller works with the last."""
    with ThreadPoolExecutor(1, "input") as pool:
        following = pool.submit(next, items, None)
        while (item := following.result()) is not None:
            following = pool.submit(next, items, None)
            yield item


def choose_buckets(
    lengths: np.ndarray,
    *,
    limit: int,
    longest: int | None = None,
    max_buckets: int = 6,
    multiple: int = 8,
    epochs: int = 1,
    shape_cost: int = 20_000,
) -> tuple[int, ...]:
    """Chooses the static lengths of lowest cost: padded tokens of all epochs, and one compilation per length.

    Args:
        lengths: [N], tokens of each row.
        limit: longest allowed bucket (the model may have no positions beyond it).
        longest: the last bucket holds at least this many tokens. Default: the longest row's.
        max_buckets: at most this many lengths.
        multiple: lengths are multiples of this, except the last one if `limit` is lower.
        epochs: passes over the rows.
        shape_cost: what one more compilation costs, in tokens of training (5 to 10 s for MiniLM-L6 on two cores).

    Returns:
        Lengths in ascending order; every row fits the last one.
    """
    longest = max(int(lengths.max()), longest or 0)
    counts = np.bincount(
        np.minimum(-(-lengths // multiple), -(-longest // multiple)), minlength=-(-longest // multiple) + 1
    )
    below = np.cumsum(counts)  # rows of at most i * multiple tokens
    sizes = len(counts)
    # best[used, i]: lowest cost of the rows of at most i * multiple tokens in `used` buckets. Dynamic programming.
    best = np.full((max_buckets + 1, sizes), np.inf)
    previous = np.zeros((max_buckets + 1, sizes), np.int64)
    best[0, 0] = 0.0
    for used in range(1, max_buckets + 1):
        for i in range(1, sizes):
            costs = best[used - 1, :i] + (below[i] - below[:i]) * float(i * multiple * epochs) + shape_cost
            previous[used, i] = int(np.argmin(costs))
            best[used, i] = costs[previous[used, i]]
    used, i = int(np.argmin(best[:, sizes - 1])), sizes - 1
    chosen: list[int] = []
    while i > 0:
        chosen.append(min(i * multiple, limit))
        used, i = used - 1, int(previous[used, i])
    return tuple(sorted(set(chosen)))


@dataclass(frozen=True)
class Batches:
    """The batches of every epoch."""

    rows: TokenRows
    buckets: Sequence[int]  # static lengths, ascending; every row fits the last one
    batch_size: int  # rows of one batch
    pad_id: int  # token id of the padding
    multiple: int = 1  # a batch is padded with empty rows to a multiple of this (the replicas)
    seed: int = 0  # for the order

    def __len__(self) -> int:
        return math.ceil(len(self.rows) / self.batch_size)

    @property
    def padded_size(self) -> int:
        """Rows of every batch, empty ones included. A table smaller than a batch gives smaller batches."""
        return math.ceil(min(self.batch_size, len(self.rows)) / self.multiple) * self.multiple

    def order(self, epoch: int) -> list[np.ndarray]:
        """The rows of each batch of an epoch (from 0), shuffled; the same for the same seed and epoch."""
        generator = np.random.default_rng([self.seed, epoch])
        shuffled = generator.permutation(len(self.rows))
        bucket = np.searchsorted(self.buckets, self.rows.lengths[shuffled])
        cut = self._cut(shuffled[np.argsort(bucket, kind="stable")])
        return [cut[i] for i in generator.permutation(len(cut))]

    def by_length(self) -> Iterator[Batch]:
        """All rows once, shortest first, for evaluation."""
        for rows in self._cut(np.argsort(self.rows.lengths, kind="stable")):
            yield self.make_batch(rows)

    def make_batch(self, rows: np.ndarray) -> Batch:
        """The padded batch of these rows, at most `batch_size` of them."""
        starts, ends = self.rows.offsets[rows], self.rows.offsets[rows + 1]
        lengths = ends - starts
        length = int(self.buckets[int(np.searchsorted(self.buckets, lengths.max()))])
        mask = np.zeros((self.padded_size, length), bool)
        mask[: len(rows)] = np.arange(length) < lengths[:, None]
        positions = (starts[:, None] + np.arange(length))[mask[: len(rows)]]
        segments = self.rows.segment_ids
        token_ids = np.full(mask.shape, self.pad_id, np.int32)
        token_ids[mask] = self.rows.token_ids[positions]
        segment_ids = np.zeros(mask.shape, np.int32)
        if segments is not None:
            segment_ids[mask] = segments[positions]
        features = {"token_ids": token_ids, "padding_mask": mask.astype(np.int32), "segment_ids": segment_ids}
        return make_padded_batch(features, self.rows, rows, self.padded_size)

    def _cut(self, ordered: np.ndarray) -> list[np.ndarray]:
        return [ordered[i : i + self.batch_size] for i in range(0, len(ordered), self.batch_size)]
