"""A preset's files as part of the cache keys of the steps that read them.

Neither a path nor a hub handle (whose newest revision is fetched each time) identifies the files behind it. So the
graph is built with digests of the files, and a step stops if it finds other files.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.config import ModelConfig, PresetConfig, TokenizerConfig
from models.errors import PresetError
from models.presets.preset import PresetInfo, describe_preset, preset_tokenizer
from tflite.host.tokenizer import Tokenizer

UNKNOWN_DIGEST = "known where the step runs"
"""Instead of a digest: the files are on another machine. The step's cache must be off."""


@dataclass(frozen=True)
class PresetDigests:
    """Both are empty for a model without a preset.

    Attributes:
        tokenizer: of the vocabulary and everything else that defines the tokenizer.
        model: of the architecture and the weights, without what concerns only the tokenizer.
    """

    tokenizer: str = ""
    model: str = ""

    @classmethod
    def from_config(cls, model: ModelConfig, tokenizer: TokenizerConfig, *, runs_here: bool) -> PresetDigests:
        """The digests of a preset's files at this moment. `runs_here`: the steps will run on this machine.

        Raises:
            PresetError: the preset cannot be used.
        """
        if not isinstance(model, PresetConfig):
            return cls()
        if not runs_here:
            return cls(UNKNOWN_DIGEST, UNKNOWN_DIGEST)
        return cls(_tokenizer(model.preset, tokenizer).digest(), describe_preset(model.preset).digest())


def load_checked_tokenizer(preset: str, config: TokenizerConfig, digest: str) -> Tokenizer:
    """A preset's tokenizer, which must still have the digest with which the graph was built.

    Raises:
        PresetError: it has another, or the preset cannot be used.
    """
    tokenizer = _tokenizer(preset, config)
    _check_unchanged(preset, digest, tokenizer.digest())
    return tokenizer


def describe_checked_preset(model: ModelConfig, digest: str) -> PresetInfo | None:
    """The preset of a model, None if it has none; its files must still have the digest with which the graph was built.

    Raises:
        PresetError: they have another, or the preset cannot be used.
    """
    if not isinstance(model, PresetConfig):
        return None
    info = describe_preset(model.preset)
    if digest not in ("", UNKNOWN_DIGEST):
        _check_unchanged(model.preset, digest, info.digest())
    return info


def _tokenizer(preset: str, config: TokenizerConfig) -> Tokenizer:
    return preset_tokenizer(preset, config.max_length, mediapipe_compatible=config.mediapipe_compatible)


def _check_unchanged(preset: str, expected: str, digest: str) -> None:
    if expected not in ("", UNKNOWN_DIGEST, digest):
        raise PresetError(
            f"the files of preset {preset!r} changed while the pipeline ran",
            got="other files than at its start",
            expected="the same files until the model is trained",
            fix="run again: only the steps that read the preset are repeated",
        )
