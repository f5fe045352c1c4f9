"""The operations that TF Serving registers, and those of a SavedModel that it lacks (standard library only).

`tf_serving_2.20.txt` lists the operations of the packages that TF Serving 2.20 is built from, TensorFlow 2.20.0 and
tensorflow-text 2.20.0, as returned by `TF_GetAllOpList`, without those that call Python. TF Serving also registers
those of TensorFlow Decision Forests, which no model of Transom uses.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

TARGET = "2.20"
"""The oldest supported version; later ones register at least as many."""


@cache
def registered(version: str = TARGET) -> frozenset[str]:
    """The names of the operations that a version of TF Serving registers."""
    return frozenset(Path(__file__).with_name(f"tf_serving_{version}.txt").read_text(encoding="ascii").split())


def missing(names: Iterable[str], version: str = TARGET) -> list[str]:
    """The operations that a version of TF Serving does not register, sorted."""
    return sorted(set(names) - registered(version))
