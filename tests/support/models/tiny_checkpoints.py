"""Tiny Hugging Face folders with random weights: two layers, eight wide, the real names of files, keys and tensors."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
from safetensors.numpy import save_file

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "film", "is", "good", "bad", "cafe", "##s", "."]
# RoBERTa's: the special tokens, bytes under GPT-2's names, what the merges give.
MERGES = ["t h", "th e", "g o", "go o", "goo d", "Ġ f", "i l", "Ġf il"]
BYTE_PAIRS = ["<s>", "<pad>", "</s>", "<unk>", *"theflmgodbacis.Ġ", *(m.replace(" ", "") for m in MERGES), "<mask>"]
_WIDTH, _WIDE, _POSITIONS, _EMBEDDING = 8, 16, 24, 4
_TABLE = 3000  # so large that only the vectors of used tokens are trained

_COMMON = {
    "hidden_size": _WIDTH,
    "intermediate_size": _WIDE,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "max_position_embeddings": _POSITIONS,
    "vocab_size": _TABLE,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "layer_norm_eps": 1e-12,
    "type_vocab_size": 2,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": {"model_type": "bert", **_COMMON},
    "electra": {"model_type": "electra", **_COMMON, "embedding_size": _EMBEDDING},
    "distilbert": {
        "model_type": "distilbert",
        "dim": _WIDTH,
        "hidden_dim": _WIDE,
        "n_heads": 2,
        "n_layers": 2,
        "max_position_embeddings": _POSITIONS,
        "vocab_size": _TABLE,
        "activation": "gelu",
        "dropout": 0.1,
        "attention_dropout": 0.1,
    },
    "albert": {
        "model_type": "albert",
        **_COMMON,
        "embedding_size": _EMBEDDING,
        "num_hidden_layers": 4,
        "num_hidden_groups": 2,
        "inner_group_num": 1,
        "hidden_act": "gelu_new",
        "hidden_dropout_prob": 0,
        "attention_probs_dropout_prob": 0,
    },
    "deberta-v2": {
        "model_type": "deberta-v2",
        **_COMMON,
        "layer_norm_eps": 1e-7,
        "type_vocab_size": 0,
        "position_buckets": 4,
        "relative_attention": True,
        "share_att_key": True,
        "position_biased_input": False,
        "norm_rel_ebd": "layer_norm",
        "pos_att_type": "p2c|c2p",
        "max_relative_positions": -1,
    },
    # The first two rows of its positions belong to no token.
    "roberta": {
        "model_type": "roberta",
        **_COMMON,
        "max_position_embeddings": _POSITIONS + 2,
        "layer_norm_eps": 1e-5,
        "type_vocab_size": 1,
        "pad_token_id": 1,
    },
}


def write(folder: Path, model_type: str, *, prefix: str = "", **changes: Any) -> tuple[dict, dict]:
    """Writes a checkpoint; returns its configuration and its tensors (without the prefix)."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {**CONFIGS[model_type], **changes}
    tensors = _tensors(config)
    save_file({prefix + name: tensor for name, tensor in tensors.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    if model_type == "albert":
        (folder / "spiece.model").write_bytes(pieces("<pad>", "<unk>", "[CLS]", "[SEP]"))
    elif model_type == "deberta-v2":
        (folder / "spm.model").write_bytes(pieces("[PAD]", "[CLS]", "[SEP]", "[UNK]"))
    elif model_type == "roberta":
        (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(BYTE_PAIRS)}))
        (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *MERGES]) + "\n")
    else:
        (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return config, tensors


def pieces(*special: str) -> bytes:
    """A SentencePiece model whose first ids are these four special tokens."""
    roles = {"pad": ("<pad>", "[PAD]"), "unk": ("<unk>", "[UNK]"), "bos": ("[CLS]",), "eos": ("[SEP]",)}
    ids = {role: next(i for i, token in enumerate(special) if token in names) for role, names in roles.items()}
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the film is good", "the film is bad", "cafe films"] * 4),
        model_writer=model,
        vocab_size=30,
        hard_vocab_limit=False,
        minloglevel=2,
        **{f"{role}_id": index for role, index in ids.items()},
        **{f"{role}_piece": special[index] for role, index in ids.items()},
    )
    return model.getvalue()


def _tensors(config: dict[str, Any]) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(7)
    layers = config.get("num_hidden_layers", config.get("n_layers"))
    embedding = config.get("embedding_size", _WIDTH)
    tensors: dict[str, np.ndarray] = {}

    def table(name: str, rows: int, width: int) -> None:
        tensors[f"{name}.weight"] = generator.normal(size=(rows, width)).astype("float32")

    def dense(name: str, inputs: int, outputs: int) -> None:
        tensors[f"{name}.weight"] = generator.normal(0, 0.5, (outputs, inputs)).astype("float32")
        tensors[f"{name}.bias"] = generator.normal(0, 0.5, outputs).astype("float32")

    def norm(name: str, width: int) -> None:
        tensors[f"{name}.weight"] = generator.normal(1, 0.2, width).astype("float32")
        tensors[f"{name}.bias"] = generator.normal(0, 0.2, width).astype("float32")

    def block(layer: str, names: list[str]) -> None:
        *projections, attention_norm, wide, narrow, output_norm = (f"{layer}.{name}" for name in names)
        for name in projections:
            dense(name, _WIDTH, _WIDTH)
        norm(attention_norm, _WIDTH)
        dense(wide, _WIDTH, _WIDE)
        dense(narrow, _WIDE, _WIDTH)
        norm(output_norm, _WIDTH)

    kind = config["model_type"]
    table("embeddings.word_embeddings", _TABLE, embedding)
    norm("embeddings.LayerNorm", embedding)
    if kind != "deberta-v2":
        table("embeddings.position_embeddings", config["max_position_embeddings"], embedding)
    if kind in ("bert", "electra", "albert", "roberta"):
        table("embeddings.token_type_embeddings", config["type_vocab_size"], embedding)
    if kind == "electra":
        dense("embeddings_project", embedding, _WIDTH)
    if kind == "albert":
        dense("encoder.embedding_hidden_mapping_in", embedding, _WIDTH)
        for group in range(config["num_hidden_groups"]):
            for inner in range(config["inner_group_num"]):
                block(f"encoder.albert_layer_groups.{group}.albert_layers.{inner}", _ALBERT)
    if kind == "deberta-v2":
        table("encoder.rel_embeddings", 2 * config["position_buckets"], _WIDTH)
        norm("encoder.LayerNorm", _WIDTH)
    for index in range(layers if kind != "albert" else 0):
        if kind == "distilbert":
            block(f"transformer.layer.{index}", _DISTIL)
        else:
            block(f"encoder.layer.{index}", _DEBERTA if kind == "deberta-v2" else _BERT)
    return tensors


_AFTER_ATTENTION = ["attention.output.dense", "attention.output.LayerNorm", "intermediate.dense", "output.dense"]
_BERT = [f"attention.self.{part}" for part in ("query", "key", "value")] + _AFTER_ATTENTION + ["output.LayerNorm"]
_DEBERTA = [name + ("_proj" if ".self." in name else "") for name in _BERT]
_DISTIL = [f"attention.{part}" for part in ("q_lin", "k_lin", "v_lin", "out_lin")]
_DISTIL += ["sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm"]
_ALBERT = [f"attention.{part}" for part in ("query", "key", "value", "dense", "LayerNorm")]
_ALBERT += ["ffn", "ffn_output", "full_layer_layer_norm"]
