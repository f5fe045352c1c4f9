"""Models on Hugging Face's hub that people name without "hf://", so that an error can say what to write instead."""

from __future__ import annotations

from collections.abc import Mapping

HANDLES: tuple[str, ...] = (
    "sentence-transformers/all-MiniLM-L6-v2",
    "sentence-transformers/all-MiniLM-L12-v2",
    "sentence-transformers/paraphrase-MiniLM-L6-v2",
    "sentence-transformers/all-distilroberta-v1",
    "google-bert/bert-base-uncased",
    "google-bert/bert-base-cased",
    "google-bert/bert-large-uncased",
    "google-bert/bert-large-cased",
    "google-bert/bert-base-multilingual-cased",
    "google-bert/bert-base-multilingual-uncased",
    "google-bert/bert-base-german-cased",
    "google-bert/bert-base-chinese",
    "distilbert/distilbert-base-uncased",
    "distilbert/distilbert-base-cased",
    "distilbert/distilbert-base-multilingual-cased",
    "distilbert/distilroberta-base",
    "FacebookAI/roberta-base",
    "FacebookAI/roberta-large",
    "albert/albert-base-v2",
    "albert/albert-base-v1",
    "albert/albert-large-v2",
    "albert/albert-xlarge-v2",
    "microsoft/deberta-v3-xsmall",
    "microsoft/deberta-v3-small",
    "microsoft/deberta-v3-base",
    "microsoft/deberta-v3-large",
    "microsoft/mdeberta-v3-base",
    "google/electra-small-discriminator",
    "google/electra-base-discriminator",
    "google/electra-large-discriminator",
    "BAAI/bge-small-en-v1.5",
    "BAAI/bge-base-en-v1.5",
    "intfloat/e5-small-v2",
    "intfloat/e5-base-v2",
    "thenlper/gte-small",
    "thenlper/gte-base",
)
"""Models of families that can be used, with their organisations. Of those whose names begin alike, the first that is a
"base" stands for all."""

WITHOUT_SAFETENSORS: Mapping[str, str] = {
    "microsoft/deberta-v3-xsmall": "deberta_v3_extra_small_en",
    "microsoft/deberta-v3-small": "deberta_v3_small_en",
    "microsoft/deberta-v3-base": "deberta_v3_base_en",
    "microsoft/deberta-v3-large": "deberta_v3_large_en",
    "microsoft/mdeberta-v3-base": "deberta_v3_base_multi",
    "google/electra-small-discriminator": "electra_small_discriminator_uncased_en",
    "google/electra-base-discriminator": "electra_base_discriminator_uncased_en",
    "google/electra-large-discriminator": "electra_large_discriminator_uncased_en",
}
"""Those whose weights on the hub are pickles, to KerasHub's copy. https://github.com/keras-team/keras-hub/issues/2125"""

_SHIFTED = "its SentencePiece ids are shifted, as XLM-RoBERTa's, which the served graph's tokenizer does not know"
_MPNET, _MODERN = "KerasHub has no MPNet encoder", "KerasHub has no ModernBERT encoder"
UNUSABLE: Mapping[str, str] = {
    "FacebookAI/xlm-roberta-base": _SHIFTED,
    "FacebookAI/xlm-roberta-large": _SHIFTED,
    "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2": _SHIFTED,
    "intfloat/multilingual-e5-small": _SHIFTED,
    "intfloat/multilingual-e5-base": _SHIFTED,
    "BAAI/bge-m3": _SHIFTED,
    "almanach/camembert-base": _SHIFTED,
    "sentence-transformers/all-mpnet-base-v2": _MPNET,
    "sentence-transformers/paraphrase-multilingual-mpnet-base-v2": _SHIFTED,
    "microsoft/mpnet-base": _MPNET,
    "microsoft/deberta-base": "it is a DeBERTa of version 1, and KerasHub has only version 3",
    "answerdotai/ModernBERT-base": _MODERN,
    "answerdotai/ModernBERT-large": _MODERN,
}
"""Models that cannot be used, to the reason."""
