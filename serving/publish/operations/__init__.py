"""Which operations a version of TF Serving registers, and which of a SavedModel's it lacks (standard library only).

`tf_serving_2.20.txt` lists the operations of the packages that TF Serving 2.20 is built from, TensorFlow 2.20.0 and
tensorflow-text 2.20.0, as `TF_GetAllOpList` gives them, less those that call Python. TF Serving registers those of
TensorFlow Decision Forests too, which no model here uses.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

TARGET = "2.20"
"""The oldest version that models are held against; later ones register at least as much."""


@cache
def registered(version: str = TARGET) -> frozenset[str]:
    """The names of the operations that a version of TF Serving registers."""
    return frozenset(Path(__file__).with_name(f"tf_serving_{version}.txt").read_text(encoding="ascii").split())


def missing(names: Iterable[str], version: str = TARGET) -> list[str]:
    """Those of the operations that a version of TF Serving does not register, sorted."""
    return sorted(set(names) - registered(version))
