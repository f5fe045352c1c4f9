"""From a configuration to a Keras model: encoder, pooling, head."""

from __future__ import annotations

import re

import keras

from models.config import EncoderConfig, PresetConfig
from models.errors import PresetError
from models.network.dropout import LeanDropout
from models.network.encoder import build_encoder
from models.network.pooling import Pooling
from models.presets.architecture import Architecture
from models.presets.backbones import empty_backbone, load_backbone
from models.presets.preset import describe
from tflite.host.tokenizer import Tokenizer

_HEAD_STDDEV = 0.02
# Names of the Transformer layers, here and in KerasHub; ALBERT's shared layers count once a group.
_LAYER = re.compile(r"(?:transformer_layer|disentangled_attention_encoder_layer|group)_(\d+)(?:_inner_layer_\d+)?/")
_AFTER_LAYERS = ("final_layer_norm/",)
_HEAD = ("logits/",)


def build_model(
    config: EncoderConfig | PresetConfig,
    *,
    tokenizer: Tokenizer,
    outputs: int,
    architecture: Architecture | None = None,
) -> keras.Model:
    """The model that is trained, exported and served.

    It can be called in the scope of a `tf.distribute` strategy. `model.variables` has the same order in each call
    with the same arguments, so that weights can be saved and restored by order.

    Args:
        config: `model` of the configuration.
        tokenizer: whose ids the model reads: size of the embedding, longest input, of an encoder from scratch.
        outputs: size of the answer, `LabelSpace.outputs`.
        architecture: of the preset. Where it is given, the checkpoint is not looked at, and the weights are random.

    Returns:
        A functional model from {"token_ids", "padding_mask", "segment_ids"}, int32 [B, L] each (B and L free), to
        float32 logits [B, outputs], under a mixed precision policy too.

    Raises:
        PresetError: the preset cannot be used.
    """
    if isinstance(config, EncoderConfig):
        encoder = build_encoder(config, tokenizer)
    else:
        encoder = load_backbone(config) if architecture is None else empty_backbone(config, architecture)
    pool = Pooling(resolve_pooling(config, architecture), dtype="float32", name="pooling")
    pooled = pool(encoder.output, encoder.input["padding_mask"])
    kept = LeanDropout(config.dropout, dtype="float32", name="head_dropout")(pooled)
    head = keras.layers.Dense(
        outputs,
        kernel_initializer=keras.initializers.TruncatedNormal(stddev=_HEAD_STDDEV),
        dtype="float32",
        name="logits",
    )
    return keras.Model(encoder.input, head(kept), name="transom")


def resolve_pooling(config: EncoderConfig | PresetConfig, architecture: Architecture | None = None) -> str:
    """ "cls" or "mean", after `auto` is looked up in the preset's architecture, or else in its folder.

    Raises:
        PresetError: the folder says something that is neither.
    """
    if config.pooling != "auto":
        return config.pooling
    assert isinstance(config, PresetConfig)
    said = (architecture or describe(config.preset)).pooling or "cls"
    if said not in ("cls", "mean"):
        raise PresetError(
            f"preset {config.preset!r} pools by {said!r}",
            expected="'cls' or 'mean'",
            fix="set model.pooling to one of them",
        )
    return said


def layer_depths(model: keras.Model) -> dict[str, int]:
    """How deep each weight lies, for learning rates by layer.

    Returns:
        The path of each weight of `model` to its depth: 0 for embeddings, 1 to N for the N Transformer layers (a norm
        after the last belongs to it), N + 1 for the head.
    """
    found = {weight.path: _LAYER.match(weight.path) for weight in model.weights}
    last = max((int(match.group(1)) + 1 for match in found.values() if match), default=0)
    depths = {}
    for path, match in found.items():
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
        return sum(weight.value.shape.num_elements() for weight in weights)

    return {"total": count(model.weights), "trainable": count(model.trainable_weights)}
