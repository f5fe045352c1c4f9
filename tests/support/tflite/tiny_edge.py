"""A tiny Transformer with weights as large as trained ones, and rows for it, for the tests of `tflite`."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import golden_text
import keras
import numpy as np
from surface_weights import fill_surface

from models.build import build_model
from models.config import EncoderConfig
from models.network.token_features import MIN_PAIR_COUNT
from tflite.convert.keras_to_tflite import convert
from tflite.host.labels import LabelSpace
from tflite.host.manifest import Manifest

LENGTHS = (8, 16)
LABELS = LabelSpace(labels=("bad", "good", "so so"), counts=(3, 2, 1), rows=6, temperatures=(1.6,))
NUMBER = LabelSpace(mean=50.0, std=7.0)
SEVERAL = replace(LABELS, temperatures=(0.7, 1.0, 2.0))
TASKS = {"single_label": LABELS, "multi_label": SEVERAL, "regression": NUMBER}


def manifest(task: str = "single_label", lengths: tuple[int, ...] = LENGTHS, **more: Any) -> Manifest:
    """The manifest of the tiny model of a task."""
    given = {
        "name": "tiny",
        "pairs": False,
        "pad_id": 0,
        "threshold": 0.5,
        "label_separator": "|",
        "variant": "float32",
    }
    return Manifest(task=task, lengths=lengths, **{**given, **more})


@cache
def model(task: str = "single_label", seed: int = 3) -> keras.Model:
    """Two layers, 16 wide, over the golden texts' vocabulary; weights as large as trained ones."""
    keras.utils.set_random_seed(seed)
    config = EncoderConfig(num_layers=2, width=16, num_heads=2, bigrams=64, linear_rows=5)
    tokenizer = golden_text.tokenizer(max_length=max(LENGTHS))
    made = build_model(config, tokenizer=tokenizer, outputs=TASKS[task].outputs)
    generator = np.random.default_rng(seed)
    for weight in made.weights:
        if weight.trainable:
            weight.assign(weight + generator.normal(0, 0.2, weight.shape))
    fill_surface(made)
    ids = np.concatenate([row["token_ids"][0] for row in rows(max(LENGTHS))])
    made.get_layer("bigrams").adapt(np.tile(ids, MIN_PAIR_COUNT), np.arange(MIN_PAIR_COUNT) * len(ids))
    return made


@cache
def content(task: str = "single_label", lengths: tuple[int, ...] = LENGTHS) -> bytes:
    """The model of a task as a float32 file."""
    return convert(model(task), manifest(task, lengths), TASKS[task])


def rows(length: int, count: int = 20) -> list[dict[str, np.ndarray]]:
    """Inputs of a signature, int32 [1, `length`] each: texts of 2 to `length` tokens."""
    generator = np.random.default_rng(length)
    made = []
    for size in generator.integers(2, length + 1, count):
        mask = (np.arange(length) < size).astype(np.int32)
        ids = generator.integers(5, len(golden_text.VOCABULARY), length).astype(np.int32) * mask
        made.append({"token_ids": ids[None], "padding_mask": mask[None], "segment_ids": 0 * ids[None]})
    return made
