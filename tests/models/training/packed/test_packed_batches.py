from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from models.network.packed import APART, PackingNeeds
from models.training.packed.lines import Lines
from models.training.packed.packed_batches import PackedBatches, Shape
from models.training.token_rows import TokenRows


def rows(lengths: Sequence[int]) -> TokenRows:
    """Row i consists of the token i + 1; its second text is what comes after the first two tokens."""
    ids = [[i + 1] * length for i, length in enumerate(lengths)]
    segments = [[int(place >= 2) for place in range(length)] for length in lengths]
    return TokenRows.from_lists(ids, np.arange(len(lengths), dtype=np.int32), segments)


@pytest.mark.parametrize("replicas", [1, 2, 3])
@pytest.mark.parametrize("start_id", [None, 90])
def test_a_batch_has_the_rows_their_targets_and_each_replica_its_share(replicas: int, start_id: int | None) -> None:
    lengths = np.random.default_rng(0).integers(2, 20, 41).tolist()
    needs = PackingNeeds(width=8, gap=1, start_id=start_id)
    batches = PackedBatches(rows(lengths), batch_size=8, pad_id=0, needs=needs, replicas=replicas, seed=3)
    seen = []
    for number, chosen in enumerate(batches.order(0)):
        (batch,) = batches.make_batches(chosen)
        assert batch.targets[: len(chosen)].tolist() == chosen.tolist()
        assert len(batch.targets) == batches.padded_size
        lines = batch.features["rows"].reshape(replicas, -1)
        ids = batch.features["token_ids"].reshape(replicas, -1)
        starts = batch.features["starts"].reshape(replicas, -1)
        for place, row in enumerate(chosen):
            share, slot = divmod(place, batches.slots)
            own = lines[share] == slot + 1
            assert own.sum() == lengths[row]
            assert (ids[share][own] == row + 1).all()
            assert np.flatnonzero(own)[0] == starts[share, slot]
        if start_id is not None:
            texts = batch.features[APART + "rows"].reshape(replicas, -1)
            tokens = batch.features[APART + "token_ids"].reshape(replicas, -1)
            for place, row in enumerate(chosen):
                share, slot = divmod(place, batches.slots)
                first, second = (tokens[share][texts[share] == 2 * slot + k] for k in (1, 2))
                assert first.tolist() == [row + 1] * min(2, lengths[row])
                assert second.tolist() == [90] + [row + 1] * (lengths[row] - len(first))
        seen += chosen.tolist()
        assert number < len(batches)
    assert sorted(seen) == list(range(41))


def test_the_order_depends_on_the_seed_and_the_epoch_alone() -> None:
    needs, table = PackingNeeds(width=8), rows([5] * 50)
    one, again, other = (PackedBatches(table, 8, 0, needs, seed=seed).order(2) for seed in (1, 1, 2))
    assert [b.tolist() for b in one] == [b.tolist() for b in again] != [b.tolist() for b in other]
    assert [b.tolist() for b in PackedBatches(table, 8, 0, needs, seed=1).order(3)] != [b.tolist() for b in one]


def test_the_shapes_are_those_of_any_seed_and_fit_nearly_all_batches() -> None:
    lengths = np.random.default_rng(0).lognormal(3, 0.5, 3000).astype(int).clip(3, 128)
    table, needs = rows(lengths), PackingNeeds(width=128)
    first = PackedBatches(table, 32, 0, needs)
    for seed in (1, 2, 3):
        other = PackedBatches(table, 32, 0, needs, seed=seed)
        assert (other.shapes, other.long_batches) == (first.shapes, first.long_batches)
        parts = [len(other.make_batches(batch)) for epoch in range(3) for batch in other.order(epoch)]
        assert sum(parts) <= 1.02 * len(parts)


def test_a_single_row_fits_two_replicas() -> None:
    batches = PackedBatches(rows([4]), batch_size=8, pad_id=0, needs=PackingNeeds(width=8), replicas=2)
    (batch,) = list(batches.all_rows())
    assert batch.features["rows"].max() == 1
    assert len(batch.targets) == 2


def _check(batches: PackedBatches) -> list[int]:
    """The computed tokens of each step of an epoch, all of whose rows are seen once."""
    seen, computed = [], []
    for chosen in batches.order(0):
        parts = batches.make_batches(chosen)
        seen += [row for part in parts for row in part.rows.tolist()]
        computed.append(sum(part.features["token_ids"].size for part in parts))
    assert sorted(seen) == list(range(len(batches.rows)))
    assert len(computed) == len(batches)
    return computed


@pytest.mark.parametrize("replicas", [1, 2])
def test_few_long_rows_do_not_make_all_batches_long(replicas: int) -> None:
    lengths = [*np.random.default_rng(0).integers(5, 25, 3000), 900, 1000]
    needs = PackingNeeds(width=32)
    batches = PackedBatches(rows(np.random.default_rng(1).permutation(lengths)), 32, 0, needs, replicas, seed=3)
    assert batches.long_batches == 1
    assert len(batches.shapes) == 2
    computed = _check(batches)
    assert sum(computed) < 1.6 * sum(lengths)
    assert sorted(computed)[-2] < 800 * replicas


@pytest.mark.parametrize("batch_size", [8, 16, 32])
@pytest.mark.parametrize("sigma", [0.3, 0.6, 1.0])
def test_any_number_of_devices_trains_on_the_same_batches(sigma: float, batch_size: int) -> None:
    lengths = np.clip(np.random.default_rng(0).lognormal(2.7, sigma, 1000).astype(int), 2, 512).tolist()
    alone = PackedBatches(rows(lengths), batch_size, 0, PackingNeeds(width=384), seed=3)
    for devices in (
        {"multiple": 8},
        {"multiple": 3},
        {"replicas": 2},
        {"replicas": 4},
        {"replicas": 8},
        {"replicas": 2, "length_multiple": 4},
    ):
        together = replace(alone, **devices)
        assert together.long_batches == alone.long_batches
        for epoch in (0, 1):
            for one, other in zip(alone.order(epoch), together.order(epoch), strict=True):
                assert sorted(one) == sorted(other)
                assert sum(len(part.rows) for part in together.make_batches(other)) == len(other)


@pytest.mark.parametrize("multiple", [1, 4])
def test_lines_and_those_of_texts_apart_never_have_the_same_size(multiple: int) -> None:
    ids = [[1] * 8 for _ in range(64)]  # without a second text, which is then the start token alone
    table = TokenRows.from_lists(ids, np.zeros(64, np.int32), [[0] * 7 + [1] for _ in ids])
    batches = PackedBatches(table, 16, 0, PackingNeeds(width=8, start_id=90), multiple=multiple)
    plain = PackedBatches(table, 16, 0, PackingNeeds(width=8), multiple=multiple)
    for shape in batches.shapes:
        assert shape.lines == plain.shapes[0].lines
        assert shape.apart is not None
        assert shape.apart.count * shape.apart.length != shape.lines.count * shape.lines.length
        assert shape.apart.count % multiple == 0


@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_the_longer_the_tail_the_more_shapes_but_little_padding(sigma: float) -> None:
    lengths = np.clip(np.random.default_rng(0).lognormal(3, sigma, 4000).astype(int), 2, 512).tolist()
    batches = PackedBatches(rows(lengths), 32, 0, PackingNeeds(width=128), seed=3)
    assert len(batches.shapes) == (1 if sigma < 1 else 2)
    assert sum(_check(batches)) < 1.3 * sum(lengths)


def test_a_batch_that_fits_no_shape_is_passed_in_parts() -> None:
    lengths = [8] * 30 + [9] * 2
    batches = PackedBatches(rows(lengths), 8, 0, PackingNeeds(width=8), seed=3)
    shape = batches.shapes[0].lines
    tight = replace(batches)
    tight.__dict__["shapes"] = [Shape(Lines(shape.count // 2, shape.length))]
    parts = tight.make_batches(np.arange(8))
    assert [row for part in parts for row in part.rows] == list(range(8))
    assert len(parts) > 1
    assert {part.features["token_ids"].shape for part in parts} == {(shape.count // 2, shape.length)}
    assert all(len(part.targets) == 8 for part in parts)
