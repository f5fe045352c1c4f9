"""The families of pretrained encoders that can be used, and why the others cannot. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from models.errors import PresetError

# The field's names for a configuration's sizes, as most of Hugging Face's config.json files have them.
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
    """What tells one family from another.

    Attributes:
        title: its name for a reader.
        backbone: KerasHub's class.
        model_type: Hugging Face's name for it.
        tokenizer: the algorithm of its vocabulary.
        vocabulary_file: Hugging Face's name of the vocabulary.
        tokenizer_classes: Hugging Face's tokenizers with this family's rules, less their ending "Fast".
        special_tokens: "start", "end", "pad" and "unknown", unless the folder says otherwise.
        keys: our names of the sizes to the names in Hugging Face's config.json.
        layer_norm_eps: where config.json gives none.
        lowercase: what the tokenizer does where the folder does not say.
    """

    title: str
    backbone: str
    model_type: str
    tokenizer: Literal["wordpiece", "sentencepiece"] = "wordpiece"
    vocabulary_file: str = "vocab.txt"
    tokenizer_classes: tuple[str, ...] = ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer")
    special_tokens: Mapping[str, str] = field(
        default_factory=lambda: {"start": "[CLS]", "end": "[SEP]", "pad": "[PAD]", "unknown": "[UNK]"}
    )
    keys: Mapping[str, str] = field(default_factory=lambda: _COMMON_KEYS)
    layer_norm_eps: float = 1e-12
    lowercase: bool = True


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
}

_BYTE_PAIRS = (
    "its byte-level BPE tokenizer looks tokens up in a hash table, which cannot be a constant of the served graph"
)
_OFFSET = "its SentencePiece ids are shifted by the checkpoint, which the served graph's tokenizer does not know"
_NOT_ENCODER = "it is not a bidirectional encoder of text"
_REASONS = {
    **dict.fromkeys(("roberta", "bart", "longformer", "deberta", "modernbert", "bigbird"), _BYTE_PAIRS),
    **dict.fromkeys(("xlm-roberta", "camembert", "xlmroberta"), _OFFSET),
    **dict.fromkeys(("gpt2", "gpt_neox", "opt", "llama", "mistral", "gemma", "qwen2", "bloom", "t5"), _NOT_ENCODER),
}
_INSTEAD = "use a BERT, DistilBERT, ELECTRA, ALBERT or DeBERTa-v3 checkpoint"


def by_model_type(preset: str, model_type: str) -> str:
    """The family of a Hugging Face `model_type`.

    Raises:
        PresetError: the family cannot be used; says why.
    """
    for name, family in FAMILIES.items():
        if family.model_type == model_type:
            return name
    raise _refusal(preset, model_type)


def by_backbone(preset: str, class_name: str) -> str:
    """The family of a KerasHub backbone's class name.

    Raises:
        PresetError: the family cannot be used; says why.
    """
    for name, family in FAMILIES.items():
        if family.backbone == class_name:
            return name
    raise _refusal(preset, class_name.removesuffix("Backbone"))


def _refusal(preset: str, name: str) -> PresetError:
    reason = _REASONS.get(name.lower(), "no tokenizer for it can be a constant of the served graph here")
    return PresetError(f"preset {preset!r} is a {name} checkpoint and cannot be used: {reason}", fix=_INSTEAD)
