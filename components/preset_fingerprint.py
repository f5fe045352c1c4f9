"""A preset's files as part of the cache keys of the steps that read them.

A path says nothing of what lies there, nor does a hub's handle, whose newest revision is fetched each time. So the
graph is told a digest of each, and a step that finds other files than the graph was told of stops.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.config import ModelConfig, PresetConfig, TokenizerConfig
from models.errors import PresetError
from models.presets.preset import PresetInfo, describe_preset, preset_tokenizer
from tflite.host.tokenizer import Tokenizer

UNKNOWN_HERE = "known where the step runs"
"""In place of a digest: another machine has the files. The step's cache must be off."""


@dataclass(frozen=True)
class Digests:
    """Both are empty for a model that is no preset's.

    Attributes:
        tokenizer: of the vocabulary and all else that makes the tokenizer.
        model: of the architecture and the weights; what concerns the tokenizer alone does not count.
    """

    tokenizer: str = ""
    model: str = ""

    @classmethod
    def of(cls, model: ModelConfig, tokenizer: TokenizerConfig, *, here: bool) -> Digests:
        """The digests of a preset's files as they are now; `here`: the steps will run on this machine.

        Raises:
            PresetError: the preset cannot be used.
        """
        if not isinstance(model, PresetConfig):
            return cls()
        if not here:
            return cls(UNKNOWN_HERE, UNKNOWN_HERE)
        return cls(_tokenizer(model.preset, tokenizer).digest(), describe_preset(model.preset).digest())


def tokenizer_told(preset: str, config: TokenizerConfig, told: str) -> Tokenizer:
    """A preset's tokenizer, which must be the one that the graph was told of.

    Raises:
        PresetError: it is another, or the preset cannot be used.
    """
    tokenizer = _tokenizer(preset, config)
    _compare(preset, told, tokenizer.digest())
    return tokenizer


def describe_told(model: ModelConfig, told: str) -> PresetInfo | None:
    """The preset of a model, None where it has none; its files must be those that the graph was told of.

    Raises:
        PresetError: they are others, or the preset cannot be used.
    """
    if not isinstance(model, PresetConfig):
        return None
    info = describe_preset(model.preset)
    _compare(model.preset, told, info.digest() if told not in ("", UNKNOWN_HERE) else told)
    return info


def _tokenizer(preset: str, config: TokenizerConfig) -> Tokenizer:
    return preset_tokenizer(preset, config.max_length, mediapipe_compatible=config.mediapipe_compatible)


def _compare(preset: str, told: str, found: str) -> None:
    if told not in ("", UNKNOWN_HERE, found):
        raise PresetError(
            f"the files of preset {preset!r} changed while the pipeline ran",
            got="other files than at its start",
            expected="the same files until the model is trained",
            fix="run again: the steps that read the preset are repeated, the others are not",
        )
