"""Loads Hugging Face safetensors into KerasHub's backbones: one table of names per family.

KerasHub's own converters know four of the six families, require a pooler that many checkpoints lack, assume a fixed key
prefix, drop RoBERTa's segment embedding, and keep KerasHub's activation and epsilon instead of the checkpoint's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import keras
import keras_hub
import numpy as np
import safetensors

from models.errors import PresetError
from models.presets.architecture import Architecture
from models.presets.families import FAMILIES
from models.presets.preset import PresetInfo, position_offset

# (KerasHub's variable, by its path), (checkpoint's tensor)
Pairs = Iterator[tuple[str, str]]

_POSITIONS = "embeddings.position_embeddings.weight"
_SEGMENTS = "embeddings.token_type_embeddings.weight"
_PROBE = "embeddings.word_embeddings.weight"
# The pooler comes after the hidden states that the head reads, and many checkpoints have none.
_UNUSED = "pooled_dense/"


def build_backbone(info: Architecture) -> keras.Model:
    """KerasHub's backbone with a checkpoint's sizes, activation, epsilon and dropout, but not its weights."""
    backbone = getattr(keras_hub.models, FAMILIES[info.family].backbone)(**_arguments(info))
    for layer in backbone._flatten_layers():
        if isinstance(layer, keras.layers.LayerNormalization):
            layer.epsilon = info.layer_norm_eps
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = info.dropout
    for block in keras.tree.flatten(backbone.transformer_layers):
        block._feedforward_intermediate_dense.activation = _ACTIVATIONS[info.hidden_act or "gelu"]
        attention = block._self_attention_layer
        of_weights = attention._attn_dropout_layer if info.family == "deberta_v3" else attention._dropout_layer
        of_weights.rate = info.attention_dropout
    return backbone


def _gelu_tanh(x: Any) -> Any:
    return keras.activations.gelu(x, approximate=True)


_ACTIVATIONS: Mapping[str, Callable[[Any], Any]] = {
    "gelu": keras.activations.gelu,
    "gelu_tanh": _gelu_tanh,
    "relu": keras.activations.relu,
    "silu": keras.activations.silu,
}


def _arguments(info: Architecture) -> dict[str, Any]:
    config = info.config
    arguments = {
        "vocab_size" if info.family == "electra" else "vocabulary_size": info.vocabulary_size,
        "num_layers": info.num_layers,
        "num_heads": info.num_heads,
        "hidden_dim": info.width,
        "intermediate_dim": info.feedforward_width,
        # A dropout layer made with rate 0 has no generator; the individual rates are set afterwards.
        "dropout": max(info.dropout, info.attention_dropout),
        "max_sequence_length": info.max_positions,
    }
    if info.family in ("bert", "electra", "albert"):
        arguments["num_segments"] = config.get("type_vocab_size", 2)
    if info.family in ("electra", "albert"):
        arguments["embedding_dim"] = config.get("embedding_size", info.width)
    if info.family == "albert":
        arguments["num_groups"] = config.get("num_hidden_groups", 1)
        arguments["num_inner_repetitions"] = config.get("inner_group_num", 1)
    if info.family == "deberta_v3":
        arguments["bucket_size"] = config["position_buckets"]
        if config.get("max_relative_positions", -1) > 0:
            arguments["max_sequence_length"] = config["max_relative_positions"]
    return arguments


def load_weights(backbone: keras.Model, info: PresetInfo) -> None:
    """Loads the checkpoint's weights into a backbone of `build_backbone`.

    Raises:
        PresetError: a tensor is missing or has another shape, or a weight would keep its initial value.
    """
    # `weights` leaves out the state of random generators.
    variables = {variable.path: variable for variable in backbone.weights if not variable.path.startswith(_UNUSED)}
    pairs = dict(_PAIRS[info.family](backbone, info))
    with ExitStack() as stack:
        files = [stack.enter_context(safetensors.safe_open(file, framework="np")) for file in info.weights]
        tensors = {key: file for file in files for key in file.keys()}  # noqa: SIM118, a safetensors file is not a dict
        prefix = _prefix(tensors, info)
        for path, variable in variables.items():
            if path not in pairs:
                raise PresetError(f"preset {info.preset!r}: no tensor is known for {path}")
            name = _spelled(prefix + pairs[path], tensors)
            tensor = _tensor(name, tensors, info)
            if info.family == "roberta" and pairs[path] == _POSITIONS:
                tensor = _roberta_positions(tensor, _tensor(prefix + _SEGMENTS, tensors, info), info)
            variable.assign(_shaped(tensor, variable, info, name))


def _tensor(name: str, tensors: Mapping[str, Any], info: PresetInfo) -> np.ndarray:
    if name not in tensors:
        raise PresetError(
            f"weights of preset {info.preset!r} lack {name}",
            expected=f"all tensors of {info.num_layers} layers, as config.json says",
            fix="take config.json and weights from the same checkpoint",
        )
    tensor: np.ndarray = tensors[name].get_tensor(name)
    return tensor


def _roberta_positions(positions: np.ndarray, segments: np.ndarray, info: PresetInfo) -> np.ndarray:
    """The used positions, plus the first segment's embedding, for which KerasHub has no layer.

    RoBERTa has no segments, but transformers adds their first row to every token, and trains it.
    """
    first = position_offset(FAMILIES[info.family], info.config)
    added: np.ndarray = positions[first:].astype("float32") + segments[0].astype("float32")
    return added


def _prefix(tensors: Mapping[str, Any], info: PresetInfo) -> str:
    """The prefix of the encoder's tensors: "" in a bare encoder, "bert." or similar under a head."""
    found = [key.removesuffix(_PROBE) for key in tensors if key.endswith(_PROBE)]
    if not found:
        raise PresetError(
            f"weights of preset {info.preset!r} hold no {FAMILIES[info.family].title} encoder",
            got=", ".join(sorted(tensors)[:3]) or "no tensors",
            expected=f"a tensor named …{_PROBE}",
            fix="take config.json and weights from the same checkpoint",
        )
    return min(found, key=len)


def _spelled(name: str, tensors: Mapping[str, Any]) -> str:
    """Checkpoints converted from TensorFlow call a norm's weight and bias gamma and beta."""
    if name in tensors or "LayerNorm" not in name:
        return name
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def _shaped(tensor: np.ndarray, variable: keras.Variable, info: PresetInfo, name: str) -> np.ndarray:
    """A tensor in its variable's shape: PyTorch's dense kernels are [out, in], and Keras's attention splits heads."""
    shape = tuple(variable.shape)
    kernel = variable.path.endswith("/kernel")
    if kernel:
        split = len(shape) - 1 if "/attention_output/" in variable.path else 1
        expected = (math.prod(shape[split:]), math.prod(shape[:split]))
    else:
        expected = (math.prod(shape),) if variable.path.endswith("/bias") else shape
    if tuple(tensor.shape) != expected:
        raise PresetError(
            f"tensor {name} of preset {info.preset!r} has another shape than config.json says",
            got=str(tuple(tensor.shape)),
            expected=str(expected),
            fix="take config.json and weights from the same checkpoint",
        )
    return np.reshape(tensor.T if kernel else tensor, shape).astype("float32", copy=False)


def _dense(keras_name: str, name: str) -> Pairs:
    yield f"{keras_name}/kernel", f"{name}.weight"
    yield f"{keras_name}/bias", f"{name}.bias"


def _norm(keras_name: str, name: str) -> Pairs:
    yield f"{keras_name}/gamma", f"{name}.weight"
    yield f"{keras_name}/beta", f"{name}.bias"


def _embeddings() -> Pairs:
    yield "token_embedding/embeddings", _PROBE
    yield "position_embedding/embeddings", _POSITIONS
    yield "segment_embedding/embeddings", _SEGMENTS
    yield from _norm("embeddings_layer_norm", "embeddings.LayerNorm")


def _block(block: str, layer: str, names: Mapping[str, str]) -> Pairs:
    attention = f"{block}/self_attention_layer"
    for part in ("query", "key", "value", "attention_output"):
        yield from _dense(f"{attention}/{part}", f"{layer}.{names[part]}")
    yield from _norm(f"{block}/self_attention_layer_norm", f"{layer}.{names['attention_norm']}")
    yield from _dense(f"{block}/feedforward_intermediate_dense", f"{layer}.{names['intermediate']}")
    yield from _dense(f"{block}/feedforward_output_dense", f"{layer}.{names['output']}")
    yield from _norm(f"{block}/feedforward_layer_norm", f"{layer}.{names['output_norm']}")


_BERT_NAMES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
    "output_norm": "output.LayerNorm",
}
_DISTIL_NAMES = {
    "query": "attention.q_lin",
    "key": "attention.k_lin",
    "value": "attention.v_lin",
    "attention_output": "attention.out_lin",
    "attention_norm": "sa_layer_norm",
    "intermediate": "ffn.lin1",
    "output": "ffn.lin2",
    "output_norm": "output_layer_norm",
}
_ALBERT_NAMES = {
    "query": "attention.query",
    "key": "attention.key",
    "value": "attention.value",
    "attention_output": "attention.dense",
    "attention_norm": "attention.LayerNorm",
    "intermediate": "ffn",
    "output": "ffn_output",
    "output_norm": "full_layer_layer_norm",
}
_DEBERTA_NAMES = _BERT_NAMES | {part: f"attention.self.{part}_proj" for part in ("query", "key", "value")}


def _bert(
    backbone: keras.Model,
    info: PresetInfo,
    tables: str = "",
    layers: str = "encoder.layer",
    names: Mapping[str, str] = _BERT_NAMES,
) -> Pairs:
    """The pairs of BERT and its like.

    Args:
        tables: path of the layer that holds the embedding tables, with a slash.
        layers, names: in the checkpoint, of the layers and their parts.
    """
    for variable, tensor in _embeddings():
        yield variable if "norm" in variable else f"{tables}{variable}", tensor
    yield from _dense("embeddings_projection", "embeddings_project")  # ELECTRA's, where widths differ
    for index in range(info.num_layers):
        yield from _block(f"transformer_layer_{index}", f"{layers}.{index}", names)


def _albert(backbone: keras.Model, info: PresetInfo) -> Pairs:
    yield from _embeddings()
    yield from _dense("embedding_projection", "encoder.embedding_hidden_mapping_in")
    for group in range(backbone.num_groups):
        for inner in range(backbone.num_inner_repetitions):
            layer = f"encoder.albert_layer_groups.{group}.albert_layers.{inner}"
            yield from _block(f"group_{group}_inner_layer_{inner}", layer, _ALBERT_NAMES)


def _deberta_v3(backbone: keras.Model, info: PresetInfo) -> Pairs:
    yield from _embeddings()
    yield "rel_embedding/rel_embedding", "encoder.rel_embeddings.weight"
    yield from _norm("rel_embedding/rel_embeddings_layer_norm", "encoder.LayerNorm")
    for index in range(info.num_layers):
        block = f"disentangled_attention_encoder_layer_{index}"
        yield from _block(block, f"encoder.layer.{index}", _DEBERTA_NAMES)


_PAIRS: Mapping[str, Callable[[keras.Model, PresetInfo], Pairs]] = {
    "bert": _bert,
    "distil_bert": partial(
        _bert, tables="token_and_position_embedding/", layers="transformer.layer", names=_DISTIL_NAMES
    ),
    "electra": _bert,
    "albert": _albert,
    "deberta_v3": _deberta_v3,
    "roberta": partial(_bert, tables="embeddings/"),
}
