"""A pretrained encoder in memory: loaded, cut to its first layers, partly frozen or adapted with LoRA."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import keras_hub

from models.config import PresetConfig
from models.errors import PresetError
from models.network.encoder import token_inputs
from models.presets import hugging_face_weights
from models.presets.architecture import Architecture
from models.presets.families import FAMILIES
from models.presets.layer_surgery import replace_layers
from models.presets.preset import PresetInfo, check_layers, describe_preset

_LORA_LAYERS = ("query", "value")


def load_backbone(config: PresetConfig) -> keras.Model:
    """The encoder of a checkpoint with all its weights.

    Args:
        config: the checkpoint, the number of layers, and which of them are trained.

    Returns:
        A functional model from {"token_ids", "padding_mask", "segment_ids"}, int32 [B, L] each, to the tokens'
        states [B, L, width]. Frozen layers have `trainable` unset.

    Raises:
        PresetError: the checkpoint cannot be used (see `describe_preset`), its weights are incomplete, or it has fewer
            layers than configured.
    """
    info = describe_preset(config.preset)
    check_layers(config, info)
    with _without_random_values():
        backbone = _load(info)
    return _adapt(backbone, config, info)


def empty_backbone(config: PresetConfig, architecture: Architecture) -> keras.Model:
    """The same encoder with weights that are to be replaced, built without the checkpoint; see `load_backbone`."""
    with _without_random_values():
        backbone = _build(architecture)
    return _adapt(backbone, config, architecture)


def _adapt(backbone: keras.Model, config: PresetConfig, architecture: Architecture) -> keras.Model:
    replace_layers(backbone)
    inputs = {**token_inputs(), **backbone.input}
    ends = _layer_ends(backbone)
    last = (config.num_layers or architecture.num_layers) - 1
    model = keras.Model(inputs, ends[last], name=architecture.family)
    blocks = [layer for layer in keras.tree.flatten(backbone.transformer_layers) if layer in model.layers]
    _freeze(model, blocks, config)
    return model


def merge_lora(model: keras.Model) -> None:
    """Adds LoRA's updates to their kernels, in place. Outputs stay the same, and an export runs at full speed.

    The low-rank variables remain, so that weights saved before can still be restored by their order.
    """
    for layer in _adapted(model):
        layer._kernel.assign(layer.kernel)
    disable_lora(model)


def disable_lora(model: keras.Model) -> None:
    """Removes LoRA's updates from the computation after they were merged; its variables remain."""
    for layer in _adapted(model):
        layer.lora_enabled = False


def _adapted(model: keras.Model) -> list[keras.Layer]:
    return [layer for layer in model._flatten_layers() if getattr(layer, "lora_enabled", False)]


@contextlib.contextmanager
def _without_random_values() -> Iterator[None]:
    """Within the block, Keras's truncated normal gives 0: the weights that KerasHub's encoders would draw at random.

    To draw them takes half of the time in which an encoder is built, and a checkpoint replaces all that are used. Keras
    and KerasHub have no switch for it.
    """
    initializer: Any = keras.initializers.TruncatedNormal
    former = initializer.__call__
    initializer.__call__ = lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype)
    try:
        yield
    finally:
        initializer.__call__ = former


def _load(info: PresetInfo) -> keras.Model:
    if info.format == "hugging_face":
        backbone = hugging_face_weights.build_backbone(info)
        hugging_face_weights.load_weights(backbone, info)
        return backbone
    # Keras raises these for a file that does not fit its model.
    try:
        return keras_hub.models.Backbone.from_preset(str(info.folder))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PresetError(
            f"weights of preset {info.preset!r} cannot be loaded",
            got=str(error).splitlines()[0],
            expected="all weights of the model in config.json",
            fix="take config.json and weights from the same checkpoint",
        ) from error


def _build(architecture: Architecture) -> keras.Model:
    if architecture.format == "hugging_face":
        return hugging_face_weights.build_backbone(architecture)
    backbone = getattr(keras_hub.models, FAMILIES[architecture.family].backbone)
    return backbone.from_config(dict(architecture.config["config"]))


def _layer_ends(backbone: keras.Model) -> list[keras.KerasTensor]:
    """The states [B, L, width] after each Transformer layer. ALBERT calls its groups of layers several times."""
    groups = [keras.tree.flatten(group) for group in backbone.transformer_layers]
    calls = backbone.num_layers // len(groups)
    return [group[-1]._inbound_nodes[call].outputs[0] for group in groups for call in range(calls)]


def _freeze(model: keras.Model, blocks: list[keras.Layer], config: PresetConfig) -> None:
    """Unsets `trainable` as configured; with LoRA, everywhere except in its own matrices."""
    if config.lora_rank is not None:
        _enable_lora(model, config.lora_rank)
        return
    if config.freeze == "none":
        return
    frozen = {"embeddings": 0, "encoder": len(blocks)}.get(str(config.freeze), config.freeze)
    trained = blocks[int(frozen) :]
    for layer in model.layers:
        layer.trainable = layer in trained


def _enable_lora(model: keras.Model, rank: int) -> None:
    """LoRA (https://arxiv.org/abs/2106.09685) on the query and value projections, the paper's choice."""
    for layer in model.layers:
        layer.trainable = False
    for layer in model._flatten_layers():
        if layer.name in _LORA_LAYERS and isinstance(layer, keras.layers.EinsumDense):
            # Matrices that are created in a frozen layer would be frozen.
            layer.trainable = True
            layer.enable_lora(rank)
            layer.bias.trainable = False
