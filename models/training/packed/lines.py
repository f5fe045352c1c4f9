"""Packs rows into lines of one static shape, so that next to nothing that is computed is padding.

Several rows share a line, one after the other (Krell et al. 2021, https://arxiv.org/abs/2107.02027). A model that reads
them must keep them apart: see `models.network.packed`. The rows of an epoch are dealt to its steps so that all steps
have nearly the same number of tokens, which one shape then fits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_MULTIPLE = 8  # of a line's length
_LONGEST_SHARED_LINE = 512  # rows longer than this get a line each
_SAMPLES = 64  # batches that decide on the shape
_ATTENTION_COST = 0.5  # of a key per unit of width, in multiples of what the other layers cost a token


@dataclass(frozen=True)
class Lines:
    """The shape of a batch: lines of equal length."""

    count: int
    length: int  # tokens


def deal(lengths: np.ndarray, batch_size: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Deals rows to batches at random, each with as many rows and tokens as any other, up to a few.

    Rows of similar length are spread over all batches: each batch gets one of the longest, one of the next longest, and
    so on. Batches differ by at most one row.

    Args:
        lengths: [N], tokens of each row.
        batch_size: most rows of a batch.

    Returns:
        Indices of the rows of each batch, int64, in random order.
    """
    batches = math.ceil(len(lengths) / batch_size)
    shuffled = generator.permutation(len(lengths))
    by_length = shuffled[np.argsort(-lengths[shuffled], kind="stable")]
    turns = math.ceil(len(lengths) / batches)
    # Row i of each turn goes to batch `seats[turn, i]`; the last turn may be short, and then seats stay empty.
    seats = generator.permuted(np.tile(np.arange(batches), (turns, 1)), axis=1).reshape(-1)[: len(lengths)]
    ordered = by_length[np.argsort(seats, kind="stable")]
    ends = np.cumsum(np.bincount(seats, minlength=batches))
    return [generator.permutation(rows) for rows in np.split(ordered, ends[:-1])]


def lay_out(lengths: np.ndarray, length: int, gap: int = 0) -> tuple[np.ndarray, int]:
    """Puts rows into lines: the longest first, each into the first line that has room (first-fit decreasing).

    Args:
        lengths: [n], tokens of each row, at most `length` each.
        length: of a line.
        gap: tokens of padding between two rows of a line.

    Returns:
        Int64 [n], the index of each row's first token in the lines written one after the other; and the number of
        lines.
    """
    starts = np.zeros(len(lengths), np.int64)
    used: list[int] = []  # of each line
    for row in np.argsort(-lengths, kind="stable"):
        need = int(lengths[row])
        line = next((i for i, filled in enumerate(used) if filled + need <= length), len(used))
        if line == len(used):
            used.append(0)
        starts[row] = line * length + used[line]
        used[line] += need + gap
    return starts, len(used)


def choose_lines(samples: Sequence[np.ndarray], *, limit: int, width: int, gap: int = 0) -> Lines:
    """The shape of lowest cost that holds each of these batches.

    Args:
        samples: lengths [n] of the rows of some batches; at most 64 are looked at.
        limit: a line is at least this long: the longest row of all.
        width: of the model. A token costs the more the longer its line is compared with this.
        gap: see `lay_out`.
    """
    shortest = -(-limit // _MULTIPLE) * _MULTIPLE
    candidates = range(shortest, max(2 * min(shortest, _LONGEST_SHARED_LINE // 2), shortest) + 1, _MULTIPLE)
    samples = samples[:: max(1, len(samples) // _SAMPLES)]
    best, least = Lines(1, shortest), math.inf
    for length in candidates:
        count = max(lay_out(lengths, length, gap)[1] for lengths in samples)
        cost = count * length * (1.0 + _ATTENTION_COST * length / width)
        if cost < least:
            best, least = Lines(count, length), cost
    return best


Text = tuple[np.ndarray, "np.ndarray | int"]
"""Token ids [n], and segment ids: [n], or one for all."""


def write_lines(
    shares: Sequence[Sequence[Text]], lines: Lines, *, slots: int, pad_id: int, gap: int = 0
) -> dict[str, np.ndarray]:
    """The inputs of `models.network.packed`.

    Args:
        shares: the texts of each replica, whose lines follow one another.
        lines: the shape of a share. One that needs more lines gets twice as many, or three times, as all others do.
        slots: texts of every share, empty ones included.
        pad_id: token id of the padding.
        gap: see `lay_out`.
    """
    laid = [lay_out(np.array([len(ids) for ids, _ in texts], np.int64), lines.length, gap) for texts in shares]
    count = lines.count * max(1, *(math.ceil(needed / lines.count) for _, needed in laid))
    size = count * lines.length
    flat = {name: np.zeros(len(shares) * size, np.int32) for name in ("segment_ids", "positions", "rows")}
    flat["token_ids"] = np.full(len(shares) * size, pad_id, np.int32)
    starts = np.zeros((len(shares), slots), np.int32)
    for share, (texts, (begins, _)) in enumerate(zip(shares, laid, strict=True)):
        starts[share, : len(texts)] = begins
        for number, ((ids, segments), begin) in enumerate(zip(texts, begins, strict=True), start=1):
            place = slice(share * size + begin, share * size + begin + len(ids))
            flat["token_ids"][place], flat["segment_ids"][place] = ids, segments
            flat["positions"][place], flat["rows"][place] = np.arange(len(ids)), number
    flat["padding_mask"] = (flat["rows"] > 0).astype(np.int32)
    features = {name: values.reshape(len(shares) * count, lines.length) for name, values in flat.items()}
    return features | {"starts": starts.reshape(-1)}
