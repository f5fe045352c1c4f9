from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.training.batches import Batches, choose_buckets, one_ahead
from models.training.token_rows import TokenRows


def _rows(lengths: list[int], *, segments: bool = False) -> TokenRows:
    ids = [[i + 1] * length for i, length in enumerate(lengths)]
    pair = [[0] * (n // 2) + [1] * (n - n // 2) for n in lengths] if segments else None
    return TokenRows.from_lists(ids, np.arange(len(lengths), dtype=np.int32), pair)


def _cost(lengths: np.ndarray, buckets: tuple[int, ...], shape_cost: int) -> int:
    padded = np.array(buckets)[np.searchsorted(buckets, lengths)].sum()
    return int(padded) + shape_cost * len(buckets)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=40), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_buckets_cost_as_little_as_the_best_of_all_choices(lengths: list[int], shape_cost: int) -> None:
    array = np.array(lengths)
    buckets = choose_buckets(array, limit=40, max_buckets=3, shape_cost=shape_cost)
    top = -(-max(lengths) // 8) * 8
    choices = [(*inner, top) for size in range(3) for inner in itertools.combinations(range(8, top, 8), size)]
    assert buckets[-1] == top
    assert len(buckets) <= 3
    assert _cost(array, buckets, shape_cost) == min(_cost(array, choice, shape_cost) for choice in choices)


def test_no_bucket_passes_the_limit_and_the_last_holds_the_eval_rows_too() -> None:
    assert choose_buckets(np.array([3, 9, 30]), limit=30, shape_cost=0) == (8, 16, 30)
    assert choose_buckets(np.array([3]), limit=64, longest=50, shape_cost=0) == (8, 56)


def test_many_rows_are_worth_more_compilations_than_few() -> None:
    lengths = np.random.default_rng(0).integers(4, 128, 400)
    few = choose_buckets(lengths, limit=128)
    many = choose_buckets(lengths, limit=128, epochs=1000)
    assert len(few) < len(many) == 6


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=50),
    batch_size=st.integers(1, 12),
    multiple=st.integers(1, 4),
    epoch=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_every_row_comes_once_an_epoch_and_all_batches_but_one_are_full(
    lengths: list[int], batch_size: int, multiple: int, epoch: int
) -> None:
    batches = Batches(_rows(lengths), (8, 16, 30), batch_size, pad_id=0, multiple=multiple, seed=3)
    order = batches.order(epoch)
    assert len(order) == len(batches)
    assert sorted(np.concatenate(order).tolist()) == list(range(len(lengths)))
    assert sorted(len(rows) for rows in order)[1:] == [batch_size] * (len(batches) - 1)
    for rows in order:
        batch = batches.make_batch(rows)
        ids, mask = batch.features["token_ids"], batch.features["padding_mask"]
        assert ids.shape == mask.shape == batch.features["segment_ids"].shape
        assert ids.shape[0] == batches.padded_size
        assert ids.shape[0] % multiple == 0
        assert ids.shape[1] in (8, 16, 30)
        assert mask.sum() == batch.tokens == sum(lengths[row] for row in rows)
        assert (ids[: len(rows)] == mask[: len(rows)] * (rows[:, None] + 1)).all()
        assert not ids[len(rows) :].any()
        assert batch.targets[: len(rows)].tolist() == rows.tolist()


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    rows = _rows(list(range(1, 31)) * 3)
    batches = Batches(rows, (8, 16, 32), 7, pad_id=0, seed=1)
    again, other = Batches(rows, (8, 16, 32), 7, pad_id=0, seed=1), Batches(rows, (8, 16, 32), 7, pad_id=0, seed=2)
    same = [np.array_equal(a, b) for a, b in zip(batches.order(4), again.order(4), strict=True)]
    assert all(same)
    assert [a.tolist() for a in batches.order(4)] != [a.tolist() for a in batches.order(5)]
    assert [a.tolist() for a in batches.order(4)] != [a.tolist() for a in other.order(4)]


def test_batches_hold_rows_of_like_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 64, 1000)
    batches = Batches(_rows(lengths.tolist()), (16, 32, 48, 64), 10, pad_id=0)
    padded = sum(batches.make_batch(rows).features["token_ids"].size for rows in batches.order(0))
    ideal = np.array([16, 32, 48, 64])[np.searchsorted([16, 32, 48, 64], lengths)].sum()
    assert padded <= ideal + 3 * 10 * 64 + 10 * 64  # a batch across each boundary, and the last one's empty rows


def test_evaluation_goes_by_length_and_segments_travel_along() -> None:
    batches = Batches(_rows([9, 3, 20, 4], segments=True), (8, 16, 24), 2, pad_id=7)
    seen = list(batches.by_length())
    assert [batch.rows.tolist() for batch in seen] == [[1, 3], [0, 2]]
    assert [batch.features["token_ids"].shape[1] for batch in seen] == [8, 24]
    assert seen[0].features["segment_ids"].tolist() == [[0, 1, 1, 0, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0, 0, 0]]
    assert (seen[0].features["token_ids"][0, 3:] == 7).all()


@pytest.mark.parametrize("longest", [8, 17])
def test_a_single_row_has_a_batch(longest: int) -> None:
    batches = Batches(_rows([longest]), (8, 24), 32, pad_id=0)
    assert [rows.tolist() for rows in batches.order(0)] == [[0]]


def test_a_batch_larger_than_the_table_is_padded_to_the_table(tiny: ModuleType) -> None:
    """Otherwise a batch_size of ten thousand would compute ten thousand rows for a table of ten."""
    batches = Batches(tiny.rows(10), (20,), 10_000, pad_id=0, multiple=4)
    made = batches.make_batch(batches.order(0)[0])
    assert len(batches) == 1
    assert len(made.rows) == 10
    assert made.features["token_ids"].shape == (12, 20)


def test_one_item_is_made_ahead_and_no_more() -> None:
    made, may_go_on = [], threading.Event()

    def items() -> Iterator[int]:
        for number in range(3):
            made.append(number)
            if number == 1:
                may_go_on.set()
            yield number

    ahead = one_ahead(items())
    assert next(ahead) == 0
    assert may_go_on.wait(10), "the second is made though nobody has asked for it"
    assert made == [0, 1]
    assert [*ahead] == [1, 2]


def test_an_error_ahead_is_raised_in_its_turn() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise ValueError("made up")

    ahead = one_ahead(items())
    assert next(ahead) == 0
    with pytest.raises(ValueError, match="made up"):
        next(ahead)
    assert [*one_ahead(iter(()))] == []
