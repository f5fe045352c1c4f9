"""Two texts that are also encoded apart: what each means by itself, and how far the two meanings differ.

Reading both texts together, as BERT does, lets every token look at the other text. Encoding each by itself and
comparing the two vectors (Sentence-BERT, https://arxiv.org/abs/1908.10084) is what sentence encoders are pretrained
for. Each costs one pass over the row's tokens.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from models.network.pooling import masked_mean
from models.network.surface_features import cosine


class SeparateTexts(keras.layers.Layer):
    """Gives the second text a start token and positions of its own, as if each text were alone.

    Both remain in one row, which is one token longer. `attention` keeps them apart.

    Args:
        start_id: of the token before a text.
    """

    def __init__(self, start_id: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start_id = start_id

    def call(self, token_ids: Any, padding_mask: Any, segment_ids: Any) -> dict[str, Any]:
        """Int32 [B, L] each (segment 1 is the second text), to int32 values by name.

        Returns:
            [B, L + 1]: `token_ids`; `padding_mask`; `positions`, in the token's own text, at most L - 1; `texts`, 0
            or 1. And `attention` [B, L + 1, L + 1], 1 where two tokens are of the same text and the key is not padding.
        """
        # [B, 1], tokens of the first text. A row of padding alone has none; with one, no position exceeds L - 1.
        first = ops.maximum(ops.sum(padding_mask * (1 - segment_ids), axis=1, keepdims=True), 1)
        index = ops.expand_dims(ops.arange(ops.shape(token_ids)[1] + 1, dtype="int32"), 0)  # [1, L + 1]
        texts = ops.cast(index >= first, "int32")
        start = ops.cast(ops.equal(index, first), "int32")
        # Tokens of the second text move up by one, without a gather: LiteRT's is slow for rows of different indices.
        stay, moved = ([[0, 0], [0, 1]], [[0, 0], [1, 0]])

        def move(values: Any, start_value: int) -> Any:
            return ops.pad(values, stay) * (1 - texts) + ops.pad(values, moved) * (texts - start) + start_value * start

        mask = move(padding_mask, 1)
        same = ops.equal(ops.expand_dims(texts, 2), ops.expand_dims(texts, 1))
        return {
            "token_ids": move(token_ids, self.start_id),
            "padding_mask": mask,
            "positions": index - texts * first,
            "texts": texts,
            "attention": ops.cast(same, "int32") * ops.expand_dims(mask, 1),
        }


class ComparedTexts(keras.layers.Layer):
    """What tells two texts' vectors apart: their difference, their product, and their cosine.

    Args:
        mode: how a text's tokens become its vector: "cls" (its start token) or "mean".
    """

    def __init__(self, mode: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mode = mode

    def call(self, states: Any, padding_mask: Any, positions: Any, texts: Any) -> Any:
        """States [B, L, D] and int32 [B, L] of `SeparateTexts`, to float32 [B, 2 D + 1]."""
        mask = ops.cast(padding_mask, "float32")
        if self.mode == "cls":
            mask = mask * ops.cast(ops.equal(positions, 0), "float32")
        second = ops.cast(texts, "float32")
        states = ops.cast(states, "float32")
        return compare(*(masked_mean(states, ops.expand_dims(mask * of, 2)) for of in (1.0 - second, second)))

    def compute_output_spec(self, states: keras.KerasTensor, *_: Any) -> keras.KerasTensor:
        """Float32 under every policy: the head is computed in float32."""
        return keras.KerasTensor((states.shape[0], 2 * states.shape[-1] + 1), dtype="float32")


def compare(left: Any, right: Any) -> Any:
    """What tells two texts' vectors apart, float32 [B, D] each, to [B, 2 D + 1]."""
    alike = ops.expand_dims(cosine(left, right), 1)
    return ops.concatenate([ops.abs(left - right), left * right, alike], axis=1)
