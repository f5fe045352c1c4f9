"""The families of pretrained encoders that can be used, and why the others cannot. Imports no TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from models.errors import PresetError

# Fields of `Architecture` to the keys of most of Hugging Face's config.json files.
_COMMON_KEYS = {
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "width": "hidden_size",
    "feedforward_width": "intermediate_size",
    "max_positions": "max_position_embeddings",
    "vocabulary_size": "vocab_size",
    "hidden_act": "hidden_act",
    "dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
}
_DISTIL_KEYS = {
    "num_layers": "n_layers",
    "num_heads": "n_heads",
    "width": "dim",
    "feedforward_width": "hidden_dim",
    "hidden_act": "activation",
    "dropout": "dropout",
    "attention_dropout": "attention_dropout",
}


@dataclass(frozen=True)
class Family:
    """The properties of a family.

    Attributes:
        title: its name for people.
        backbone: KerasHub's class.
        model_type: Hugging Face's name for it.
        tokenizer: its algorithm.
        vocabulary_file: Hugging Face's name of the vocabulary; byte pairs also have a merges.txt.
        tokenizer_classes: Hugging Face's tokenizers with this family's rules, without the ending "Fast".
        special_tokens: "start", "end", "pad" and "unknown", unless the folder says otherwise.
        keys: fields of `Architecture` to keys of Hugging Face's config.json.
        layer_norm_eps: if config.json has none.
        lowercase: if the folder does not specify it.
        positions_after_padding: Hugging Face's position table begins with unused rows, up to the id of the padding
            token.
    """

    title: str
    backbone: str
    model_type: str
    tokenizer: Literal["wordpiece", "sentencepiece", "byte_pair"] = "wordpiece"
    vocabulary_file: str = "vocab.txt"
    tokenizer_classes: tuple[str, ...] = ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer")
    special_tokens: Mapping[str, str] = field(
        default_factory=lambda: {"start": "[CLS]", "end": "[SEP]", "pad": "[PAD]", "unknown": "[UNK]"}
    )
    keys: Mapping[str, str] = field(default_factory=lambda: _COMMON_KEYS)
    layer_norm_eps: float = 1e-12
    lowercase: bool = True
    positions_after_padding: bool = False


FAMILIES: Mapping[str, Family] = {
    "bert": Family("BERT", "BertBackbone", "bert"),
    "distil_bert": Family("DistilBERT", "DistilBertBackbone", "distilbert", keys={**_COMMON_KEYS, **_DISTIL_KEYS}),
    "electra": Family("ELECTRA", "ElectraBackbone", "electra"),
    "albert": Family(
        "ALBERT",
        "AlbertBackbone",
        "albert",
        tokenizer="sentencepiece",
        vocabulary_file="spiece.model",
        tokenizer_classes=("AlbertTokenizer",),
        special_tokens={"start": "[CLS]", "end": "[SEP]", "pad": "<pad>", "unknown": "<unk>"},
    ),
    "deberta_v3": Family(
        "DeBERTa-v3",
        "DebertaV3Backbone",
        "deberta-v2",
        tokenizer="sentencepiece",
        vocabulary_file="spm.model",
        tokenizer_classes=("DebertaV2Tokenizer",),
        layer_norm_eps=1e-7,
        lowercase=False,
    ),
    "roberta": Family(
        "RoBERTa",
        "RobertaBackbone",
        "roberta",
        tokenizer="byte_pair",
        vocabulary_file="vocab.json",
        tokenizer_classes=("RobertaTokenizer",),
        special_tokens={"start": "<s>", "end": "</s>", "pad": "<pad>", "unknown": "<unk>"},
        lowercase=False,
        positions_after_padding=True,
    ),
}

_NO_BACKBONE = "its layers are not among those that KerasHub's encoders compute"
_OFFSET = "its SentencePiece ids are shifted by the checkpoint, which the served graph's tokenizer does not know"
_NOT_ENCODER = "it is not a bidirectional encoder of text"
_REASONS = {
    **dict.fromkeys(("longformer", "deberta", "modernbert", "big_bird", "mpnet", "roberta-prelayernorm"), _NO_BACKBONE),
    **dict.fromkeys(("xlm-roberta", "camembert", "xlmroberta"), _OFFSET),
    **dict.fromkeys(("bart", "gpt2", "gpt_neox", "opt", "llama", "mistral", "gemma", "qwen2", "bloom"), _NOT_ENCODER),
    **dict.fromkeys(("t5", "mt5", "gpt", "gpt-oss", "qwen", "phi", "falcon", "mixtral", "smollm"), _NOT_ENCODER),
}
_INSTEAD = "use a BERT, DistilBERT, ELECTRA, ALBERT, DeBERTa-v3 or RoBERTa checkpoint"


def family_of(preset: str, class_name: str) -> str:
    """The family of a Hugging Face `model_type`, or of the class of a KerasHub backbone.

    Raises:
        PresetError: the family cannot be used, and why.
    """
    for name, family in FAMILIES.items():
        if class_name in (family.model_type, family.backbone):
            return name
    title = class_name.removesuffix("Backbone")
    reason = _REASONS.get(title.lower(), "neither its layers nor its tokenizer are known here")
    raise PresetError(f"preset {preset!r} is a {title} checkpoint and cannot be used: {reason}", fix=_INSTEAD)


def family_named(name: str) -> str:
    """The family of `FAMILIES` that has this name, here, in KerasHub or in Hugging Face's `model_type`; "" if none."""
    for key, family in FAMILIES.items():
        names = (key, family.title, family.model_type, family.backbone, family.backbone.removesuffix("Backbone"))
        if _letters(name) in map(_letters, names):
            return key
    return ""


def useless_family(name: str) -> str:
    """The family that cannot be used, with a reason known here, whose name this is or begins with: "gpt2", "GPT-2",
    "llama", "Llama-3.1-8B"; "" if there is none."""
    known = {_letters(family): family for family in reversed(_REASONS)}
    words = re.findall("[a-z0-9]+", name.lower())
    for count in range(len(words), 0, -1):
        start = "".join(words[:count])
        # "llama3" is a Llama; but "t5" is not "t"
        if family := known.get(start) or known.get(start.rstrip("0123456789")):
            return family
    return ""


def _letters(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())
