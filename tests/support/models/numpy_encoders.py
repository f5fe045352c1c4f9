"""Reference forward passes in numpy, written from the papers and the checkpoints' tensor names, float64 throughout.

Shapes: B texts, L tokens, D width, N heads. Every function returns the last hidden states [B, L, D].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import erf

Tensors = Mapping[str, np.ndarray]


def gelu(x):
    return x * 0.5 * (1.0 + erf(x / np.sqrt(2.0)))


def gelu_tanh(x):
    return 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS = {"gelu": gelu, "gelu_new": gelu_tanh, "relu": lambda x: np.maximum(x, 0.0)}


def states(tensors: Tensors, config: Mapping[str, Any], ids, mask, segments, activation=None) -> np.ndarray:
    """The states of a checkpoint by its `model_type`; `activation` replaces the one that its config names."""
    tensors = {name: tensor.astype("float64") for name, tensor in tensors.items()}
    named = config.get("hidden_act") or config["activation"]
    function = {
        "bert": _bert,
        "electra": _bert,
        "distilbert": _distilbert,
        "albert": _albert,
        "deberta-v2": _deberta,
        "roberta": _roberta,
    }[config["model_type"]]
    return function(tensors, config, ids, mask, segments, ACTIVATIONS[activation or named])


def _dense(x, tensors, name):
    return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]


def _norm(x, tensors, name, epsilon):
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
    return scaled * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]


def _softmax(scores, mask):
    scores = np.where(mask[:, None, None, :], scores, -np.inf)
    exponents = np.exp(scores - scores.max(-1, keepdims=True))
    return exponents / exponents.sum(-1, keepdims=True)


def _heads(x, heads):
    return x.reshape(*x.shape[:-1], heads, -1).swapaxes(-2, -3)


def _attend(weights, value):
    mixed = (weights @ value).swapaxes(1, 2)
    return mixed.reshape(*mixed.shape[:2], -1)


def _attention(x, mask, tensors, names, heads):
    query, key, value = (_heads(_dense(x, tensors, name), heads) for name in names)
    scores = query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1])
    return _attend(_softmax(scores, mask), value)


def _embeddings(tensors, ids, segments, epsilon, prefix="embeddings."):
    x = tensors[f"{prefix}word_embeddings.weight"][ids]
    if f"{prefix}position_embeddings.weight" in tensors:
        x = x + tensors[f"{prefix}position_embeddings.weight"][: ids.shape[1]]
    if f"{prefix}token_type_embeddings.weight" in tensors:
        x = x + tensors[f"{prefix}token_type_embeddings.weight"][segments]
    return _norm(x, tensors, f"{prefix}LayerNorm", epsilon)


def _roberta(tensors, config, ids, mask, segments, activation):
    """BERT whose positions count from behind the padding token's id, and whose tokens are all of one segment."""
    name = "embeddings.position_embeddings.weight"
    tensors = {**tensors, name: tensors[name][config["pad_token_id"] + 1 :]}
    return _bert(tensors, config, ids, mask, np.zeros_like(segments), activation)


def _bert(tensors, config, ids, mask, segments, activation):
    epsilon = config["layer_norm_eps"]
    x = _embeddings(tensors, ids, segments, epsilon)
    if "embeddings_project.weight" in tensors:
        x = _dense(x, tensors, "embeddings_project")
    for index in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{index}"
        names = [f"{layer}.attention.self.{part}" for part in ("query", "key", "value")]
        mixed = _attention(x, mask, tensors, names, config["num_attention_heads"])
        mixed = _dense(mixed, tensors, f"{layer}.attention.output.dense")
        x = _norm(x + mixed, tensors, f"{layer}.attention.output.LayerNorm", epsilon)
        wide = activation(_dense(x, tensors, f"{layer}.intermediate.dense"))
        x = _norm(x + _dense(wide, tensors, f"{layer}.output.dense"), tensors, f"{layer}.output.LayerNorm", epsilon)
    return x


def _distilbert(tensors, config, ids, mask, segments, activation):
    x = _embeddings(tensors, ids, segments, 1e-12)
    for index in range(config["n_layers"]):
        layer = f"transformer.layer.{index}"
        names = [f"{layer}.attention.{part}" for part in ("q_lin", "k_lin", "v_lin")]
        mixed = _dense(_attention(x, mask, tensors, names, config["n_heads"]), tensors, f"{layer}.attention.out_lin")
        x = _norm(x + mixed, tensors, f"{layer}.sa_layer_norm", 1e-12)
        wide = activation(_dense(x, tensors, f"{layer}.ffn.lin1"))
        x = _norm(x + _dense(wide, tensors, f"{layer}.ffn.lin2"), tensors, f"{layer}.output_layer_norm", 1e-12)
    return x


def _albert(tensors, config, ids, mask, segments, activation):
    epsilon = config["layer_norm_eps"]
    x = _dense(_embeddings(tensors, ids, segments, epsilon), tensors, "encoder.embedding_hidden_mapping_in")
    for index in range(config["num_hidden_layers"]):
        group = index * config["num_hidden_groups"] // config["num_hidden_layers"]
        for inner in range(config["inner_group_num"]):
            layer = f"encoder.albert_layer_groups.{group}.albert_layers.{inner}"
            names = [f"{layer}.attention.{part}" for part in ("query", "key", "value")]
            mixed = _attention(x, mask, tensors, names, config["num_attention_heads"])
            x = _norm(
                x + _dense(mixed, tensors, f"{layer}.attention.dense"), tensors, f"{layer}.attention.LayerNorm", epsilon
            )
            wide = _dense(activation(_dense(x, tensors, f"{layer}.ffn")), tensors, f"{layer}.ffn_output")
            x = _norm(x + wide, tensors, f"{layer}.full_layer_layer_norm", epsilon)
    return x


def _log_buckets(distance, buckets, positions):
    """DeBERTa's relative positions (https://arxiv.org/abs/2006.03654): exact when near, logarithmic when far."""
    middle = buckets // 2
    near = np.abs(distance) < middle
    far = np.maximum(np.abs(distance), middle)
    logarithmic = np.ceil(np.log(far / middle) / np.log((positions - 1) / middle) * (middle - 1)) + middle
    return np.where(near, distance, logarithmic * np.sign(distance)).astype(int)


def _deberta(tensors, config, ids, mask, segments, activation):
    epsilon, heads, span = config["layer_norm_eps"], config["num_attention_heads"], config["position_buckets"]
    x = _embeddings(tensors, ids, segments, epsilon)
    relative = _norm(tensors["encoder.rel_embeddings.weight"], tensors, "encoder.LayerNorm", epsilon)
    steps = np.arange(ids.shape[1])
    distance = _log_buckets(steps[:, None] - steps[None, :], span, config["max_position_embeddings"])
    place = np.clip(distance + span, 0, 2 * span - 1)
    for index in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{index}"
        parts = [f"{layer}.attention.self.{part}_proj" for part in ("query", "key", "value")]
        query, key, value = (_heads(_dense(x, tensors, part), heads) for part in parts)
        place_query, place_key = (_heads(_dense(relative, tensors, part), heads) for part in parts[:2])
        scores = query @ key.swapaxes(-1, -2)
        # Content to position, query i to the place of j; position to content, key j to the place of i.
        scores = scores + np.einsum("bnih,nijh->bnij", query, place_key[:, place])
        scores = scores + np.einsum("bnjh,nijh->bnij", key, place_query[:, place])
        mixed = _attend(_softmax(scores / np.sqrt(3 * query.shape[-1]), mask), value)
        mixed = _dense(mixed, tensors, f"{layer}.attention.output.dense")
        x = _norm(x + mixed, tensors, f"{layer}.attention.output.LayerNorm", epsilon)
        wide = activation(_dense(x, tensors, f"{layer}.intermediate.dense"))
        x = _norm(x + _dense(wide, tensors, f"{layer}.output.dense"), tensors, f"{layer}.output.LayerNorm", epsilon)
    return x
