"""SavedModels that one evaluation asks several times: loading one takes a second, and its first call another."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import tensorflow as tf
import tensorflow_text  # noqa: F401  (registers operations that the models need)


@lru_cache(maxsize=2)  # the candidate and the live model
def load_model(folder: str) -> Any:
    """The SavedModel in a folder; it stays in memory until `load_model.cache_clear()`."""
    return tf.saved_model.load(folder)
