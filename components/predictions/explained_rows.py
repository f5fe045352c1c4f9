"""Why the model answers so: how much each word of the listed rows speaks for its answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.evaluation.live.live_baseline import load_model
from models.saved.attributions import STEPS

SIGNATURE = "attributions"
MOST_ROWS, FEWEST_ROWS = 12, 2
_OPERATIONS = 4e11
"""Floating-point operations for the rows after the first two: a few seconds on two cores."""
_PER_PARAMETER = STEPS * 6.0  # a forward and a backward pass at each point
_MOST_WORDS = 300


def explain(rows: Sequence[dict[str, Any]], model: Path) -> None:
    """Adds `tokens` to the first of some wrong rows: for each of their texts, words with weights from -1 to 1.

    Args:
        rows: as `wrong_rows.WrongRows` lists them; changed in place.
        model: the SavedModel; one of an earlier version has no such signature, and nothing is added.
    """
    signatures = load_model(str(model)).signatures
    if SIGNATURE not in signatures:
        return
    attribute = signatures[SIGNATURE]
    parameters, done = sum(variable.shape.num_elements() for variable in attribute.variables), 0.0
    for number, row in enumerate(rows[:MOST_ROWS]):
        if number >= FEWEST_ROWS and done > _OPERATIONS:
            return
        texts = {"text": row["text"]} | ({} if row["text_pair"] is None else {"text_pair": row["text_pair"]})
        given = {name: tf.constant([text.encode("utf-8", "surrogatepass")]) for name, text in texts.items()}
        found = {name: value.numpy()[0] for name, value in attribute(**given).items()}
        done += _PER_PARAMETER * parameters * len(found["tokens"])
        row["tokens"] = weighted_words(found["tokens"], found["segment_ids"], found["attributions"], len(texts))


def weighted_words(
    tokens: Sequence[bytes], segments: Sequence[int], attributions: np.ndarray, texts: int
) -> list[list[list[Any]]]:
    """Of each text, its words with their weights: the sums over their tokens, the largest of all texts being 1 or -1.

    Args:
        tokens, segments, attributions: [L], as the model's signature gives them.
        texts: their number. Where segments do not tell them apart (RoBERTa), special tokens between them do.
    """
    by_text: list[list[tuple[bytes, float]]] = [[] for _ in range(texts)]
    place = 0
    for token, segment, weight in zip(tokens, segments, np.nan_to_num(attributions).tolist(), strict=True):
        if not token:  # special, or padding
            place = min(place + bool(by_text[place]), texts - 1)
            continue
        place = max(place, int(segment))
        by_text[place].append((token, weight))
    words = [list(_words(part)) for part in by_text]
    largest = max((abs(weight) for part in words for _, weight in part), default=0.0)
    scale = 1 / largest if largest and np.isfinite(largest) else 0.0
    return [[[word, round(weight * scale, 3)] for word, weight in part[:_MOST_WORDS]] for part in words]


def _words(tokens: Sequence[tuple[bytes, float]]) -> Iterator[tuple[str, float]]:
    """Joins tokens that continue a word, that is, do not begin with a space."""
    word, total = b"", 0.0
    for token, weight in tokens:
        if word and token.startswith(b" "):
            yield word.decode("utf-8", "replace"), total
            word, total = b"", 0.0
        word, total = word + (token if word else token.lstrip(b" ")), total + weight
    if word:
        yield word.decode("utf-8", "replace"), total
