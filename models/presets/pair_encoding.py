"""How a preset reads two texts: decided from its description, without TensorFlow."""

from __future__ import annotations

from models.config import PresetConfig
from models.errors import PresetError
from models.presets.architecture import Architecture
from tflite.host.tokenizer import Tokenizer


def encodes_apart(config: PresetConfig, architecture: Architecture, tokenizer: Tokenizer) -> bool:
    """Whether the encoder of a task about two texts reads each of them by itself, too (`PresetConfig.pair_encoding`).

    Args:
        architecture, tokenizer: of the preset, from its folder or as stored with a model: both give the same answer.

    Raises:
        PresetError: it is asked to, but its tokenizer does not say which token belongs to which text.
    """
    if config.pair_encoding == "together":
        return False
    has_segments = tokenizer.pair_layout == "bert"
    if config.pair_encoding == "auto":
        return has_segments and architecture.pooling is not None
    if not has_segments:
        raise PresetError(
            f"model.pair_encoding is both, which preset {architecture.preset!r} cannot do",
            got=f"a {architecture.family} tokenizer, which does not mark where the second text begins",
            expected="a preset with segment ids: BERT, DistilBERT, ELECTRA, ALBERT or DeBERTa-v3",
            fix="set model.pair_encoding to together or leave it out, or choose another preset",
        )
    return True
