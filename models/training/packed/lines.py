"""Packs rows into lines of one static shape, so that next to nothing that is computed is padding.

Several rows share a line, one after the other (Krell et al. 2021, https://arxiv.org/abs/2107.02027). A model that reads
them must keep them apart: see `models.network.packed`. The rows of an epoch are dealt to its steps so that all steps
have nearly the same number of tokens, which one shape then fits.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

LENGTH_MULTIPLE = 8
"""Of a line's length: what matrix units of accelerators want."""
_MOST_EXCHANGES = 20  # of a batch
_TRIES = 16  # to put rows into so many lines
_LONGEST_SHARED_LINE = 512  # a line is longer than this only where a row is
_ATTENTION_COST = 0.5  # of a key per unit of width, in multiples of what the other layers cost a token


@dataclass(frozen=True)
class Lines:
    """The shape of a batch: lines of equal length."""

    count: int
    length: int  # tokens

    def cost(self, width: int) -> float:
        """Of a pass, in tokens. A token costs the more the longer its line is compared with the model's width."""
        return self.count * self.length * (1.0 + _ATTENTION_COST * self.length / width)


def deal(lengths: np.ndarray, batch_size: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Deals rows to batches at random, each with as many rows as any other, up to one, and nearly as many tokens.

    Rows of similar length are spread over all batches: each batch gets one of the longest, one of the next longest, and
    so on. Then the batches with most and fewest tokens exchange rows for as long as that evens them out.

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
    # Column b has the rows of batch b. The last turn may be short, and then places in it stay empty.
    rows = np.full(turns * batches, -1)
    rows[: len(by_length)] = by_length
    rows = generator.permuted(rows.reshape(turns, batches), axis=1)
    _even_out(rows, np.where(rows >= 0, lengths[rows], 0))
    return [generator.permutation(batch[batch >= 0]) for batch in rows.T]


def _even_out(rows: np.ndarray, lengths: np.ndarray) -> None:
    """Exchanges rows between batches, in place; both are [turns, batches], with a length of 0 in empty places."""
    tokens = lengths.sum(axis=0)
    for _ in range(_MOST_EXCHANGES * len(tokens)):
        most, fewest = int(tokens.argmax()), int(tokens.argmin())
        gap = tokens[most] - tokens[fewest]
        given = np.subtract.outer(lengths[:, most], lengths[:, fewest])  # by the first batch, in exchange
        given[(lengths[:, most] == 0)[:, None] | (lengths[:, fewest] == 0)] = 0
        i, j = np.unravel_index(np.abs(given - gap / 2).argmin(), given.shape)
        moved = given[i, j]
        if not 0 < moved < gap:
            return
        for table in (rows, lengths):
            table[i, most], table[j, fewest] = table[j, fewest], table[i, most]
        tokens[most] -= moved
        tokens[fewest] += moved


@dataclass(frozen=True)
class Layout:
    """Where rows are in their lines.

    Attributes:
        starts: int64 [n], the index of each row's first token in the lines written one after the other.
        count: lines that they take.
    """

    starts: np.ndarray
    count: int


def lay_out(lengths: np.ndarray, length: int, gap: int = 0, wanted: int | None = None) -> Layout:
    """Puts rows into lines: the longest first, each into the first line that has room (first-fit decreasing).

    If that takes more lines than wanted, each line gets the longest row that is left and those that fill it best
    ("minimum bin slack": Gupta and Ho 1999, https://doi.org/10.1080/095372899233082); and if it still does, the same
    for other orders of the rows.

    Args:
        lengths: [n], tokens of each row, at most `length` each.
        length: of a line.
        gap: tokens of padding between two rows of a line.
        wanted: lines from which fewer are not looked for; None: as many as there are tokens for, without other orders.
    """
    layout = _first_fit(lengths, length, gap)
    least = math.ceil((int(lengths.sum()) + gap * len(lengths)) / (length + gap))
    tries, wanted = (1, least) if wanted is None else (_TRIES, wanted)
    if layout.count <= wanted or wanted < least:
        return layout
    for order in itertools.islice(_orders(lengths, length), tries):
        layout = min(layout, _best_filled(lengths, length, gap, order), key=lambda found: found.count)
        if layout.count <= wanted:
            break
    return layout


def _orders(lengths: np.ndarray, length: int) -> Iterator[np.ndarray]:
    """The rows, the longest first, and then about so."""
    yield np.argsort(-lengths, kind="stable")
    source = np.random.default_rng(0)
    while True:
        yield np.argsort(-(lengths + source.normal(0, length / 16, len(lengths))), kind="stable")


def _first_fit(lengths: np.ndarray, length: int, gap: int) -> Layout:
    starts, count = np.zeros(len(lengths), np.int64), 0
    room = np.full(len(lengths), length, np.int64)  # of each line, also of those that are not begun
    for row in np.argsort(-lengths, kind="stable"):
        line = int(np.argmax(room[: count + 1] >= lengths[row]))
        count = max(count, line + 1)
        starts[row] = (line + 1) * length - room[line]
        room[line] -= lengths[row] + gap
    return Layout(starts, count)


def _best_filled(lengths: np.ndarray, length: int, gap: int, order: np.ndarray) -> Layout:
    starts, count = np.zeros(len(lengths), np.int64), 0
    left, sizes = order.tolist(), (lengths + gap).tolist()
    while left:
        first = left.pop(0)
        room = length + gap - sizes[first]
        sums = [1]  # bit s of sums[k]: whether some of the first k rows take exactly s tokens
        for row in left:
            sums.append((sums[-1] | sums[-1] << sizes[row]) & ((1 << room + 1) - 1))
        filled, chosen = sums[-1].bit_length() - 1, {first}
        for k in range(len(left), 0, -1):
            if not sums[k - 1] >> filled & 1:
                chosen.add(left[k - 1])
                filled -= sizes[left[k - 1]]
        place = count * length
        for row in chosen:
            starts[row] = place
            place += sizes[row]
        left = [row for row in left if row not in chosen]
        count += 1
    return Layout(starts, count)


def choose_lines(
    samples: Sequence[np.ndarray],
    *,
    limit: int,
    width: int,
    gap: int = 0,
    multiple: int = 1,
    length_multiple: int = LENGTH_MULTIPLE,
) -> Lines:
    """The shape of lowest cost that holds each of these batches.

    Args:
        samples: lengths [n] of the rows of some batches.
        limit: a line is at least this long: the longest row of all.
        width: see `Lines.cost`.
        gap: see `lay_out`.
        multiple: of the number of lines.
        length_multiple: of their length.
    """
    shortest = -(-limit // length_multiple) * length_multiple
    candidates = range(shortest, max(2 * min(shortest, _LONGEST_SHARED_LINE // 2), shortest) + 1, length_multiple)
    tokens = max((int(lengths.sum()) for lengths in samples), default=0)
    best = Lines(2**31, shortest)
    for length in candidates:
        least = Lines(max(1, math.ceil(tokens / length)), length)
        if least.cost(width) < best.cost(width):
            count = max(1, *(lay_out(lengths, length, gap).count for lengths in samples))
            lines = Lines(-(-count // multiple) * multiple, length)
            best = min(best, lines, key=lambda lines: lines.cost(width))
    return best


Text = tuple[np.ndarray, "np.ndarray | int"]
"""Token ids [n], and segment ids: [n], or one for all."""


def write_lines(
    shares: Sequence[Sequence[Text]], laid: Sequence[Layout], lines: Lines, *, slots: int, pad_id: int
) -> dict[str, np.ndarray]:
    """The inputs of `models.network.packed`.

    Args:
        shares: the texts of each replica, whose lines follow one another.
        laid: their layouts, of at most `lines.count` lines each.
        lines: the shape of a share.
        slots: texts of every share, empty ones included.
        pad_id: token id of the padding.
    """
    size = lines.count * lines.length
    flat = {name: np.zeros(len(shares) * size, np.int32) for name in ("segment_ids", "positions", "rows")}
    flat["token_ids"] = np.full(len(shares) * size, pad_id, np.int32)
    starts = np.zeros((len(shares), slots), np.int32)
    for share, (texts, layout) in enumerate(zip(shares, laid, strict=True)):
        starts[share, : len(texts)] = layout.starts
        for number, ((ids, segments), begin) in enumerate(zip(texts, layout.starts, strict=True), start=1):
            place = slice(share * size + begin, share * size + begin + len(ids))
            flat["token_ids"][place], flat["segment_ids"][place] = ids, segments
            flat["positions"][place], flat["rows"][place] = np.arange(len(ids)), number
    flat["padding_mask"] = (flat["rows"] > 0).astype(np.int32)
    features = {name: values.reshape(-1, lines.length) for name, values in flat.items()}
    return features | {"starts": starts.reshape(-1)}
