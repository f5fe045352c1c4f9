"""The layer that turns a row's features into logits."""

from __future__ import annotations

import keras


def find_head(model: keras.Model) -> keras.layers.Dense:
    """The model's last dense layer; a linear model's logits may be added after it."""
    return next(layer for layer in reversed(model.layers) if isinstance(layer, keras.layers.Dense))
