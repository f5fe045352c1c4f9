"""From a configuration to a Keras model: encoder (from scratch or a preset), pooling, head."""

from __future__ import annotations

import math
import re

import keras

from models.config import EncoderConfig, PresetConfig
from models.errors import PresetError
from models.network.dropout import LeanDropout
from models.network.encoder import build_encoder
from models.network.pooling import Pooling
from models.network.surface import MOST_OUTPUTS, MOST_TOKEN_WEIGHTS, Surface
from models.network.text_pairs import ComparedTexts, SeparateTexts
from models.presets.architecture import Architecture
from models.presets.backbones import empty_backbone, load_backbone
from models.presets.pair_encoding import encodes_apart
from models.presets.preset import describe_preset
from models.presets.separate_pass import encode_separately
from tflite.host.tokenizer import Tokenizer

_HEAD_STDDEV = 0.02
# Names of the Transformer layers, here and in KerasHub; ALBERT's shared layers count once per group.
_LAYER = re.compile(r"(?:transformer_layer|disentangled_attention_encoder_layer|group)_(\d+)(?:_inner_layer_\d+)?/")
_AFTER_LAYERS = ("final_layer_norm/",)
_HEAD = ("logits/",)


def build_model(
    config: EncoderConfig | PresetConfig,
    *,
    tokenizer: Tokenizer,
    outputs: int,
    two_texts: bool = False,
    architecture: Architecture | None = None,
) -> keras.Model:
    """The model that is trained, exported and served.

    May be called in the scope of a `tf.distribute` strategy. `model.variables` has the same order for the same
    arguments, so that weights can be saved and restored by order.

    Args:
        config: section `model` of the configuration.
        tokenizer: decides the embedding's size and the longest input of an encoder from scratch.
        outputs: number of outputs, `LabelSpace.outputs`.
        two_texts: whether a row is a pair of texts (`task.text_pair`).
        architecture: of the preset. If given, the checkpoint is not read, and the encoder's weights are to be
            replaced.

    Returns:
        A functional model from {"token_ids", "padding_mask", "segment_ids"}, int32 [B, L] each (B and L free), to
        float32 logits [B, outputs], also under a mixed precision policy.

    Raises:
        PresetError: the preset cannot be used.
    """
    linear = _has_linear_part(config, outputs, tokenizer, two_texts)
    if isinstance(config, EncoderConfig):
        encoder = build_encoder(config, tokenizer, two_texts=two_texts and linear)
    else:
        encoder = load_backbone(config) if architecture is None else empty_backbone(config, architecture)
    pooling = resolve_pooling(config, architecture)
    pooled = Pooling(pooling, dtype="float32", name="pooling")(encoder.output, encoder.input["padding_mask"])
    if two_texts and _encodes_apart(config, tokenizer, architecture):
        apart = _compare(encoder, pooling, tokenizer)
        pooled = keras.layers.Concatenate(dtype="float32", name="together_and_apart")([pooled, apart])
    kept = LeanDropout(config.dropout, dtype="float32", name="head_dropout")(pooled)
    head = keras.layers.Dense(
        outputs,
        kernel_initializer=keras.initializers.TruncatedNormal(stddev=_HEAD_STDDEV),
        dtype="float32",
        name="logits",
    )
    logits = head(kept)
    if linear:
        surface = Surface(
            outputs, tokenizer.vocabulary_size, config.linear_rows, two_texts, dtype="float32", name="surface"
        )
        inputs = (encoder.input[name] for name in ("token_ids", "padding_mask", "segment_ids"))
        logits = keras.layers.Add(dtype="float32", name="wide_and_deep")([logits, surface(*inputs)])
    return keras.Model(encoder.input, logits, name="transom")


def _encodes_apart(
    config: EncoderConfig | PresetConfig, tokenizer: Tokenizer, architecture: Architecture | None
) -> bool:
    if not isinstance(config, PresetConfig):
        return False
    return encodes_apart(config, architecture or describe_preset(config.preset), tokenizer)


def _compare(encoder: keras.Model, pooling: str, tokenizer: Tokenizer) -> keras.KerasTensor:
    """What tells the two texts' own vectors apart, float32 [B, 2 width + 1]."""
    inputs = (encoder.input[name] for name in ("token_ids", "padding_mask", "segment_ids"))
    apart = SeparateTexts(tokenizer.start_id, dtype="int32", name="separate_texts")(*inputs)
    compared = ComparedTexts(pooling, dtype="float32", name="compared_texts")
    return compared(encode_separately(encoder, apart), apart["padding_mask"], apart["positions"], apart["texts"])


def _has_linear_part(config: EncoderConfig | PresetConfig, outputs: int, tokenizer: Tokenizer, two_texts: bool) -> bool:
    if two_texts and tokenizer.pair_layout != "bert":  # RoBERTa's does not tell which token belongs to which text
        return False
    small = outputs <= MOST_OUTPUTS and outputs * tokenizer.vocabulary_size <= MOST_TOKEN_WEIGHTS
    return config.linear_rows > 0 and small


def resolve_pooling(config: EncoderConfig | PresetConfig, architecture: Architecture | None = None) -> str:
    """The pooling mode; `auto` is looked up in the preset's architecture or folder, and gives "cls" or "mean".

    Raises:
        PresetError: the folder specifies neither.
    """
    if config.pooling != "auto":
        return config.pooling
    assert isinstance(config, PresetConfig)
    pooling = (architecture or describe_preset(config.preset)).pooling or "cls"
    if pooling not in ("cls", "mean"):
        raise PresetError(
            f"preset {config.preset!r} pools by {pooling!r}",
            expected="'cls' or 'mean'",
            fix="set model.pooling to one of them",
        )
    return pooling


def layer_depths(model: keras.Model) -> dict[str, int]:
    """The depth of each weight, for layer-wise learning rates.

    Returns:
        Path of each weight to its depth: 0 for embeddings, 1 to N for the N Transformer layers (a norm after the last
        one belongs to it), N + 1 for the head.
    """
    matches = {weight.path: _LAYER.match(weight.path) for weight in model.weights}
    last = max((int(match.group(1)) + 1 for match in matches.values() if match), default=0)
    depths = {}
    for path, match in matches.items():
        if match:
            depths[path] = int(match.group(1)) + 1
        elif path.startswith(_AFTER_LAYERS):
            depths[path] = last
        else:
            depths[path] = last + 1 if path.startswith(_HEAD) else 0
    return depths


def count_parameters(model: keras.Model) -> dict[str, int]:
    """Numbers of weights: "total", and "trainable" ones among them."""

    def count(weights: list[keras.Variable]) -> int:
        return sum(math.prod(weight.shape) for weight in weights)

    return {"total": count(model.weights), "trainable": count(model.trainable_weights)}
