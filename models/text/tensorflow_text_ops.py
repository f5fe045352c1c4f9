"""The operations of tensorflow_text that exported models use, without its Python package, which imports Keras."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import tensorflow as tf

from models.errors import ModelError

_LIBRARIES = ("fast_sentencepiece_tokenizer", "fast_wordpiece_tokenizer", "normalize_ops", "regex_split_ops")


def register_text_ops() -> None:
    """Loads the libraries of operations. Safe to repeat, before and after `import tensorflow_text`.

    Raises:
        ModelError: tensorflow_text is not installed.
    """
    spec = importlib.util.find_spec("tensorflow_text")
    if spec is None or spec.origin is None:
        raise ModelError(
            "the models' operations are missing",
            got="no package tensorflow_text",
            expected="tensorflow_text, of the same version as TensorFlow",
            fix="install tensorflow-text",
        )
    for name in _LIBRARIES:
        tf.load_op_library(str(Path(spec.origin).parent / "python" / "ops" / f"_{name}.so"))
