"""Concatenates the arrays of several requests into those of one run, and splits its outputs.

Source: `MergeInputTensors` and `SplitOutputTensors` in tensorflow_serving/batching/batching_session.cc, and
batching_util.cc next to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from serving.errors import Code, StatusError, invalid_argument

_MAX_PADDED_RANK = 6


def join(feeds: Sequence[Mapping[str, np.ndarray]], pad: bool) -> dict[str, np.ndarray]:
    """The arrays of several requests, concatenated along their first dimension.

    With `pad`, the other dimensions are padded to the largest size, with each array's first value.

    Raises:
        StatusError: INVALID_ARGUMENT, an array cannot be padded.
    """
    if len(feeds) == 1:
        return dict(feeds[0])
    joined = {}
    for name in feeds[0]:
        arrays = [one[name] for one in feeds]
        if pad and len({array.shape[1:] for array in arrays}) > 1:
            sizes = tuple(np.max([array.shape[1:] for array in arrays], axis=0))
            arrays = [_padded(array, sizes) for array in arrays]
        joined[name] = np.concatenate(arrays)
    return joined


def _padded(array: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    if array.ndim > _MAX_PADDED_RANK:
        raise invalid_argument("Only tensors with rank from 1 to 6 can be padded.")
    if array.shape[1:] == sizes:
        return array
    if array.size == 0:
        raise invalid_argument("Got empty tensor in batch of non-empty tensors.")
    padded = np.empty((array.shape[0], *sizes), array.dtype)
    padded[...] = array.flat[0]
    padded[tuple(slice(size) for size in array.shape)] = array
    return padded


def pad_rows(feeds: Mapping[str, np.ndarray], rows: int) -> dict[str, np.ndarray]:
    """Adds copies of the first row, which is known to be valid."""
    return {name: np.concatenate([array, np.repeat(array[:1], rows, axis=0)]) for name, array in feeds.items()}


def split(outputs: Sequence[np.ndarray], rows: Sequence[int], padding: int) -> list[list[np.ndarray]]:
    """The outputs of each request, by the number of its rows; the last `padding` rows are dropped.

    Raises:
        StatusError: FAILED_PRECONDITION, an output does not have the rows of the batch.
    """
    for output in outputs:
        if np.ndim(output) == 0:
            raise StatusError(Code.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
        if output.shape[0] != sum(rows) + padding:
            raise StatusError(
                Code.FAILED_PRECONDITION,
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the "
                "input tensors",
            )
    stops = np.cumsum(rows).tolist()
    return [[output[stop - size : stop] for output in outputs] for size, stop in zip(rows, stops, strict=True)]
