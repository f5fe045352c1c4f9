"""The bytes of runs' outputs, as far as they are known from shapes or from earlier runs."""

from __future__ import annotations

import enum
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from serving.server.calls.servable import Servable
from serving.server.run.feed_sizes import Feeds, kind_of, rows_of
from serving.wire import dtypes

_LARGE_BYTES = 2**24
_MOST_KINDS = 1024
"""Kinds of runs remembered per model: callers choose among the outputs, so there could be many."""

K = TypeVar("K")
V = TypeVar("V")


class RunSize(enum.Enum):
    """The size of a run.

    Attributes:
        SMALL: short; must not wait for other sizes.
        NEW: its outputs may have any size, and no run like it has ended yet.
        LARGE: takes so long, or so much memory, that small runs must not wait for it.
    """

    SMALL = 0
    NEW = 1
    LARGE = 2


@dataclass(slots=True)
class _KnownSizes:
    """The known output sizes of one servable.

    Attributes:
        by_shape: from the shapes of outputs: the minimum bytes per row, and whether that is exact.
        observed: the maximum bytes per row in runs of a kind, where shapes do not determine them or promise less.
    """

    by_shape: dict[frozenset[str], tuple[int, bool]] = field(default_factory=dict)
    observed: dict[Hashable, float] = field(default_factory=dict)


class OutputSizes:
    """The known output sizes of all servables of this process. Thread-safe."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Servable, _KnownSizes] = WeakKeyDictionary()

    def size(self, servable: Servable, feeds: Feeds, fetches: Sequence[str]) -> RunSize:
        """The size of a run by its outputs."""
        known = self._of(servable)
        least, exact = _size_by_shape(known, servable, fetches)
        rows = rows_of(feeds)
        if least * rows > _LARGE_BYTES:
            return RunSize.LARGE
        if exact and not known.observed:
            return RunSize.SMALL
        given = known.observed.get(kind_of(feeds, fetches))
        if given is None:
            return RunSize.SMALL if exact else RunSize.NEW
        return RunSize.LARGE if given * rows > _LARGE_BYTES else RunSize.SMALL

    def of_row(self, servable: Servable, feeds: Feeds, fetches: Sequence[str]) -> float:
        """The output bytes per row of such a run, as far as known."""
        known = self._of(servable)
        least, _ = _size_by_shape(known, servable, fetches)
        return max(least, known.observed.get(kind_of(feeds, fetches), 0)) if known.observed else least

    def note(self, servable: Servable, feeds: Feeds, fetches: Sequence[str], outputs: Sequence[np.ndarray]) -> None:
        """Records the output size of a run if it says more than the shapes."""
        given = sum([array.nbytes for array in outputs])
        known = self._of(servable)
        if given > _LARGE_BYTES or (given and not _size_by_shape(known, servable, fetches)[1]):
            kind, of_row = kind_of(feeds, fetches), given / rows_of(feeds)
            if of_row > known.observed.get(kind, 0):
                remember(known.observed, kind, of_row)

    def _of(self, servable: Servable) -> _KnownSizes:
        known = self._known.get(servable)
        return self._known.setdefault(servable, _KnownSizes()) if known is None else known


def _size_by_shape(known: _KnownSizes, servable: Servable, fetches: Sequence[str]) -> tuple[int, bool]:
    key = frozenset(fetches)
    size = known.by_shape.get(key)
    if size is None:
        infos: dict[str, Any] = {}
        for signature in servable.signatures.values():
            infos |= {info.name: info for info in signature.definition.outputs.values()}
        shapes = [_row_size(infos[name]) for name in key if name in infos]
        size = sum([least for least, _ in shapes]), all(exact for _, exact in shapes)
        remember(known.by_shape, key, size)
    return size


def _row_size(info: Any) -> tuple[int, bool]:
    """The minimum bytes per row of an output by its `TensorInfo`, and whether that is exact."""
    shape, dtype = info.tensor_shape, dtypes.NUMPY.get(info.dtype)
    sizes = [dim.size for dim in shape.dim[1:]]
    exact = not shape.unknown_rank and all(size >= 0 for size in sizes)
    return (dtype.itemsize * math.prod([size for size in sizes if size >= 0]) if dtype else 0), exact


def remember(known: dict[K, V], key: K, value: V) -> None:
    """Sets a value; with too many of them, all are forgotten first and learnt again."""
    if len(known) >= _MOST_KINDS and key not in known:
        known.clear()
    known[key] = value
