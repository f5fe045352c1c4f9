"""The first steps of a training, as the training itself would take them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from models.training.batches import Batch
from models.training.loop import Loop
from models.training.loss import row_weights


def step_batches(loop: Loop, epochs: Iterable[int]) -> Iterator[list[Batch]]:
    """The batches of each optimizer step of these epochs, from 0."""
    size = loop.config.accumulate
    for epoch in epochs:
        order = loop.batches.order(epoch)
        for start in range(0, len(order), size):
            yield loop.make_batches(order[start : start + size])


def first_steps(loop: Loop, count: int) -> Iterator[list[Batch]]:
    """The batches of the first `count` steps; of all steps of the training, if there are fewer."""
    return itertools.islice(step_batches(loop, range(loop.epochs)), count)


def weights_of(loop: Loop, batches: Sequence[Batch]) -> list[np.ndarray]:
    """The weights of each batch's rows, for `models.training.frameworks.contract.TrainStep`."""
    return [row_weights(batch.targets, len(batch.rows), loop.task, loop.weights) for batch in batches]
