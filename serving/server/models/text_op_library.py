"""Registers the operations of tensorflow_text, without its Python package, which imports Keras."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import tensorflow as tf


def register_text_ops() -> bool:
    """Loads all operation libraries of the installed package; repeated calls change nothing.

    Returns:
        Whether the package is installed.
    """
    spec = importlib.util.find_spec("tensorflow_text")
    if spec is None or spec.origin is None:
        return False
    for library in sorted((Path(spec.origin).parent / "python" / "ops").glob("*.so")):
        tf.load_op_library(str(library))
    return True
