"""A pretrained encoder without its weights, as data: enough to build it without the checkpoint.

Every exported model of a preset carries it, so that it can be restored on a machine without the checkpoint.
Imports no TensorFlow.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tflite.host.json_text import to_json

ARCHITECTURE_FILE = "architecture.json"
"""In a model's `assets.extra`."""


@dataclass(frozen=True)
class Architecture:
    """A pretrained encoder without its weights.

    Attributes:
        preset: the checkpoint, as the user named it.
        format: of its files.
        family: a key of `models.presets.families.FAMILIES`.
        num_layers, num_heads, width, feedforward_width, vocabulary_size: its sizes.
        max_positions: tokens of the longest possible input.
        hidden_act: "gelu" (exact), "gelu_tanh" (its approximation), "relu" or "silu"; None: KerasHub's own.
        layer_norm_eps: None: KerasHub's own.
        dropout, attention_dropout: shares of activations dropped in training.
        pooling: from a sentence-transformers folder, else None.
        config: content of config.json.
    """

    preset: str
    format: Literal["keras_hub", "hugging_face"]
    family: str
    num_layers: int
    num_heads: int
    width: int
    feedforward_width: int
    vocabulary_size: int
    max_positions: int
    hidden_act: str | None
    layer_norm_eps: float | None
    dropout: float
    attention_dropout: float
    pooling: str | None
    config: Mapping[str, Any]

    def text(self) -> str:
        """The file's content: JSON, the same for equal architectures."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(Architecture)}
        return to_json(values, indent=1, sort_keys=True) + "\n"

    @classmethod
    def load(cls, directory: Path) -> Architecture | None:
        """Reads the file in a folder; None if there is none.

        Raises:
            ValueError: the file is damaged.
        """
        file = directory / ARCHITECTURE_FILE
        if not file.is_file():
            return None
        values = json.loads(file.read_text(encoding="utf-8"))
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"{ARCHITECTURE_FILE}: {error}") from error
