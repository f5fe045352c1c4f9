"""What runs give: the bytes of their outputs, as far as shapes tell, or runs before have shown."""

from __future__ import annotations

import enum
import math
from collections.abc import Hashable, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from serving.server.calls.servable import Servable
from serving.server.run.feeds import Feeds, kind_of, rows_of
from serving.wire import dtypes

_LARGE_BYTES = 2**24
_MOST_KINDS = 1024
"""Of runs of one model that something is known of: callers choose among the outputs, so that there could be many."""

K = TypeVar("K")
V = TypeVar("V")


class Size(enum.Enum):
    """Of a run.

    Attributes:
        SMALL: small ones must not wait for it.
        NEW: its outputs may be of any size, and none of its kind has run yet.
        LARGE: it takes so long, or so much memory, that small ones must not wait for it.
    """

    SMALL = 0
    NEW = 1
    LARGE = 2


class _Known:
    """Of one servable.

    Attributes:
        shapes: what the shapes of outputs tell: the least bytes for a row, and whether that is all of it.
        gave: the most bytes for a row that runs of a kind gave, where shapes did not tell, or told less.
    """

    __slots__ = ("gave", "shapes")

    def __init__(self) -> None:
        self.shapes: dict[frozenset[str], tuple[int, bool]] = {}
        self.gave: dict[Hashable, float] = {}


class AnswerSizes:
    """Of one process; in any thread."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Servable, _Known] = WeakKeyDictionary()

    def size(self, servable: Servable, feeds: Feeds, fetches: Sequence[str]) -> Size:
        """The size of a run by what it gives."""
        known = self._of(servable)
        least, told = _told(known, servable, fetches)
        rows = rows_of(feeds)
        if least * rows > _LARGE_BYTES:
            return Size.LARGE
        if told and not known.gave:
            return Size.SMALL
        given = known.gave.get(kind_of(feeds, fetches))
        if given is None:
            return Size.SMALL if told else Size.NEW
        return Size.LARGE if given * rows > _LARGE_BYTES else Size.SMALL

    def of_row(self, servable: Servable, feeds: Feeds, fetches: Sequence[str]) -> float:
        """The bytes that such a run gives for a row, as far as that is known."""
        known = self._of(servable)
        least, _ = _told(known, servable, fetches)
        return max(least, known.gave.get(kind_of(feeds, fetches), 0)) if known.gave else least

    def note(self, servable: Servable, feeds: Feeds, fetches: Sequence[str], outputs: Sequence[np.ndarray]) -> None:
        """Takes note of what a run gave, where that tells more than the shapes."""
        given = sum([array.nbytes for array in outputs])
        known = self._of(servable)
        if given > _LARGE_BYTES or (given and not _told(known, servable, fetches)[1]):
            kind, of_row = kind_of(feeds, fetches), given / rows_of(feeds)
            if of_row > known.gave.get(kind, 0):
                note(known.gave, kind, of_row)

    def _of(self, servable: Servable) -> _Known:
        known = self._known.get(servable)
        return self._known.setdefault(servable, _Known()) if known is None else known


def _told(known: _Known, servable: Servable, fetches: Sequence[str]) -> tuple[int, bool]:
    key = frozenset(fetches)
    told = known.shapes.get(key)
    if told is None:
        infos: dict[str, Any] = {}
        for signature in servable.signatures.values():
            infos |= {info.name: info for info in signature.definition.outputs.values()}
        shapes = [_of_shape(infos[name]) for name in key if name in infos]
        told = sum([least for least, _ in shapes]), all(whole for _, whole in shapes)
        note(known.shapes, key, told)
    return told


def _of_shape(info: Any) -> tuple[int, bool]:
    """The least bytes for a row of an output by its `TensorInfo`, and whether that is all of it."""
    shape, dtype = info.tensor_shape, dtypes.NUMPY.get(info.dtype)
    sizes = [dim.size for dim in shape.dim[1:]]
    whole = not shape.unknown_rank and all(size >= 0 for size in sizes)
    return (dtype.itemsize * math.prod([size for size in sizes if size >= 0]) if dtype else 0), whole


def note(known: dict[K, V], key: K, value: V) -> None:
    """Takes note of something; what is known of too many is forgotten, and learnt anew."""
    if len(known) >= _MOST_KINDS and key not in known:
        known.clear()
    known[key] = value
