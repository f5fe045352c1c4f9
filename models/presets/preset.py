"""Describes a pretrained checkpoint from its files: no TensorFlow, no weights in memory.

`models/presets/backbones.py` loads the weights.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.config import PresetConfig
from models.errors import PresetError
from models.presets import preset_files, tokenizer_files
from models.presets.architecture import Architecture
from models.presets.families import FAMILIES, Family, family_of
from models.text import mediapipe_rules
from tflite.host.json_text import to_json
from tflite.host.tokenizer import Tokenizer

_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
# transformers' default for a RoBERTa whose config.json has no `pad_token_id`.
_PAD_ID = 1


@dataclass(frozen=True)
class PresetInfo(Architecture):
    """A checkpoint that can be used."""

    folder: Path  # of its files
    vocabulary: tokenizer_files.Vocabulary  # its tokenizer's file and switches
    weights: tuple[Path, ...]  # the weights' files

    def digest(self) -> str:
        """Digest of all that a model takes from the checkpoint, weights included; other files do not count.

        The files are read each time, at 0.7 GB/s: sizes and times prove nothing, because a copy keeps its times and a
        clock can be set back.

        Raises:
            PresetError: a file cannot be read.
        """
        parts = [dataclasses.replace(self, preset="").text()]
        for file in self.weights:
            try:
                with file.open("rb") as stream:
                    parts.append(hashlib.file_digest(stream, "sha256").hexdigest())
            except OSError as error:
                raise preset_files.damaged(self.preset, file, error) from error
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def describe_preset(preset: str) -> PresetInfo:
    """Reads a checkpoint's configuration and checks that its files are complete.

    A hub handle is downloaded first, by the hub's own client and into its cache.

    Args:
        preset: a folder or a hub handle, see `PresetConfig.preset`.

    Raises:
        PresetError: it is missing, incomplete, damaged, or of a family that cannot be used.
    """
    folder = preset_files.model_folder(preset, preset_files.locate(preset))
    config = preset_files.read_json(preset, folder / "config.json")
    if "class_name" in config:
        return _describe_keras_hub(preset, folder, config)
    if "model_type" in config:
        return _describe_hugging_face(preset, folder, config)
    raise PresetError(
        f"config.json of preset {preset!r}",
        got=f"keys {sorted(config)[:8]}",
        expected="'model_type' (Hugging Face) or 'class_name' (KerasHub)",
        fix="use a folder written by transformers' save_pretrained or KerasHub's save_to_preset",
    )


def preset_tokenizer(preset: str, max_length: int, *, mediapipe_compatible: bool = False) -> Tokenizer:
    """The checkpoint's own tokenizer.

    Args:
        preset: see `describe_preset`.
        max_length: tokens of one input, special tokens included.
        mediapipe_compatible: see `TokenizerConfig.mediapipe_compatible`.

    Raises:
        PresetError: see `describe_preset`; or inputs would be longer, or token ids larger, than the weights allow.
        ConfigError: `mediapipe_compatible` is set, but MediaPipe cannot use the checkpoint's vocabulary.
    """
    info = describe_preset(preset)
    if max_length > info.max_positions:
        raise PresetError(
            f"tokenizer.max_length is more than preset {preset!r} can read",
            got=str(max_length),
            expected=f"at most {info.max_positions}, the checkpoint's positions",
            fix=f"set tokenizer.max_length to {info.max_positions} or less",
        )
    tokenizer = tokenizer_files.read_tokenizer(info.preset, info.vocabulary, max_length)
    if tokenizer.vocabulary_size > info.vocabulary_size:
        raise PresetError(
            f"vocabulary {info.vocabulary.file.name} of preset {preset!r} does not belong to its weights",
            got=f"{tokenizer.vocabulary_size} tokens",
            expected=f"at most {info.vocabulary_size}, the rows of the embedding",
            fix="take vocabulary and weights from the same checkpoint",
        )
    return mediapipe_rules.make_compatible(tokenizer, f"preset {preset!r}") if mediapipe_compatible else tokenizer


def check_layers(config: PresetConfig, info: Architecture) -> None:
    """Checks that the checkpoint has the layers that the configuration keeps and freezes.

    Raises:
        PresetError: it has fewer.
    """
    if config.num_layers is not None and config.num_layers > info.num_layers:
        raise PresetError(
            f"model.num_layers is more than preset {info.preset!r} has",
            got=str(config.num_layers),
            expected=f"at most {info.num_layers}",
            fix="lower model.num_layers or leave it out",
        )
    kept = config.num_layers or info.num_layers
    if isinstance(config.freeze, int) and config.freeze > kept:
        raise PresetError(
            f"model.freeze is more than the layers kept of preset {info.preset!r}",
            got=str(config.freeze),
            expected=f"at most {kept}",
            fix="lower model.freeze, or freeze the whole encoder with 'encoder'",
        )
    if isinstance(config.freeze, int) and config.freeze and info.family == "albert":
        raise PresetError(
            f"model.freeze cannot count layers of preset {info.preset!r}: ALBERT's share their weights",
            got=str(config.freeze),
            expected="'none', 'embeddings' or 'encoder'",
        )


def _describe_hugging_face(preset: str, folder: Path, config: dict[str, Any]) -> PresetInfo:
    name = family_of(preset, str(config["model_type"]))
    family = FAMILIES[name]
    _check_variant(preset, name, config)
    values: dict[str, Any] = {field: config.get(key) for field, key in family.keys.items()}
    missing = [family.keys[field] for field, value in values.items() if value is None]
    if missing:
        raise PresetError(
            f"config.json of preset {preset!r} lacks {', '.join(missing)}", fix="take the checkpoint's own config.json"
        )
    _check_sizes(preset, family, values)
    values["max_positions"] -= position_offset(family, config)
    values["hidden_act"] = _activation(preset, values["hidden_act"])
    return PresetInfo(
        **values,
        preset=preset,
        folder=folder,
        format="hugging_face",
        family=name,
        layer_norm_eps=float(config.get("layer_norm_eps", family.layer_norm_eps)),
        vocabulary=tokenizer_files.find_hugging_face(preset, folder, family),
        weights=preset_files.safetensors_files(preset, folder),
        pooling=preset_files.sentence_pooling(preset, folder),
        config=config,
    )


def _check_sizes(preset: str, family: Family, values: Mapping[str, Any]) -> None:
    """Refuses sizes that are not whole numbers, and shares that are not numbers."""
    shares = ("dropout", "attention_dropout")
    for field, key in family.keys.items():
        if field == "hidden_act":
            continue
        value, kinds = values[field], (int, float) if field in shares else (int,)
        if isinstance(value, bool) or not isinstance(value, kinds) or (field not in shares and value < 1):
            raise PresetError(
                f"{key} in config.json of preset {preset!r}",
                got=repr(value)[:100],
                expected="a number" if field in shares else "a whole number of at least 1",
                fix="take the checkpoint's own config.json",
            )


def _describe_keras_hub(preset: str, folder: Path, config: dict[str, Any]) -> PresetInfo:
    name = family_of(preset, str(config["class_name"]))
    sizes = config.get("config", {})
    try:
        return PresetInfo(
            preset=preset,
            folder=folder,
            format="keras_hub",
            family=name,
            num_layers=sizes["num_layers"],
            num_heads=sizes["num_heads"],
            width=sizes["hidden_dim"],
            feedforward_width=sizes["intermediate_dim"],
            vocabulary_size=sizes["vocab_size" if name == "electra" else "vocabulary_size"],
            max_positions=sizes["max_sequence_length"],
            hidden_act=None,
            layer_norm_eps=None,
            dropout=sizes["dropout"],
            attention_dropout=sizes["dropout"],
            vocabulary=tokenizer_files.find_keras_hub(preset, folder, FAMILIES[name]),
            weights=preset_files.keras_weights(preset, folder),
            pooling=None,
            config=config,
        )
    except KeyError as error:
        raise PresetError(
            f"config.json of preset {preset!r} lacks {error}", fix="take the checkpoint's own config.json"
        ) from error


def position_offset(family: Family, config: Mapping[str, Any]) -> int:
    """Rows before that of the first token in Hugging Face's position table."""
    return int(config.get("pad_token_id", _PAD_ID)) + 1 if family.positions_after_padding else 0


def _activation(preset: str, name: object) -> str:
    if name not in _ACTIVATIONS:
        raise PresetError(
            f"hidden_act in config.json of preset {preset!r}",
            got=repr(name),
            expected=", ".join(sorted(_ACTIVATIONS)),
            fix="use another checkpoint",
        )
    return _ACTIVATIONS[str(name)]


# Values that config.json must have, if it has the keys, for KerasHub's architecture to be the checkpoint's.
_VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "bert": {"position_embedding_type": "absolute"},
    "electra": {"position_embedding_type": "absolute"},
    "albert": {"position_embedding_type": "absolute"},
    "roberta": {"position_embedding_type": "absolute"},
    "deberta_v3": {
        "relative_attention": True,
        "share_att_key": True,
        "position_biased_input": False,
        "norm_rel_ebd": "layer_norm",
        "type_vocab_size": 0,
        "conv_kernel_size": 0,
    },
}
# Required keys, because transformers' defaults for them differ.
_REQUIRED = {"deberta_v3": ("relative_attention", "share_att_key", "position_biased_input", "position_buckets")}


def _check_variant(preset: str, family: str, config: dict[str, Any]) -> None:
    """Refuses variants of a family that compute something else."""
    expected = _VARIANTS.get(family, {})
    wrong = {key: config[key] for key, value in expected.items() if key in config and config[key] != value}
    wrong |= {key: "nothing" for key in _REQUIRED.get(family, ()) if key not in config}
    if family == "deberta_v3":
        kinds = config.get("pos_att_type", ())
        if set(kinds.split("|") if isinstance(kinds, str) else kinds) != {"c2p", "p2c"}:
            wrong["pos_att_type"] = kinds
    if wrong:
        got = ", ".join(f"{key} {value!r}" for key, value in sorted(wrong.items()))
        raise PresetError(
            f"preset {preset!r} is a variant of {FAMILIES[family].title} that KerasHub's layers do not compute",
            got=f"{got} in config.json",
            expected=to_json(dict(expected), ascii=True),
            fix="use a checkpoint of the plain architecture",
        )
