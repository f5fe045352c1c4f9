"""Weights for the linear model of a tiny encoder, as large as fitted ones."""

from __future__ import annotations

import keras
import numpy as np


def fill_surface(model: keras.Model, seed: int = 0) -> None:
    """Gives the layer `surface` random weights; a model without one stays as it is."""
    layer = next((layer for layer in model.layers if layer.name == "surface"), None)
    if layer is None:
        return
    generator = np.random.default_rng(seed)
    size = layer.vocabulary + layer.pairs
    count = 2 * size if layer.two_texts else size
    idf = generator.uniform(0.5, 2.0, size)
    layer.set_weights_of_rows(generator.normal(0, 0.5, (count, layer.outputs)), idf)
    if layer.two_texts:
        idf[:5] = 0.0  # special tokens
        layer.idf.assign(idf)
        layer.numbers.assign(generator.integers(0, 2, layer.vocabulary))
        vectors = generator.normal(size=layer.spelling.shape)
        layer.spelling.assign(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        layer.dense.assign(generator.normal(0, 0.3, layer.dense.shape))
    layer.bias.assign(generator.normal(0, 0.3, layer.bias.shape))
