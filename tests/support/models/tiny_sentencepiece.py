"""SentencePiece vocabularies of the golden texts, with the special tokens of a family."""

from __future__ import annotations

import io
from typing import Any

import golden_text
import sentencepiece

from tflite.host.tokenizer import Tokenizer

ALBERT = {"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3}
ALBERT |= {"pad_piece": "<pad>", "unk_piece": "<unk>", "bos_piece": "[CLS]", "eos_piece": "[SEP]"}
ALBERT |= {"user_defined_symbols": "[MASK]"}
DEBERTA = {"pad_id": 0, "bos_id": 1, "eos_id": 2, "unk_id": 3}
DEBERTA |= {"pad_piece": "[PAD]", "bos_piece": "[CLS]", "eos_piece": "[SEP]", "unk_piece": "[UNK]"}


def sentencepiece_tokenizer(model_type: str, special: dict[str, Any]) -> Tokenizer:
    """A vocabulary of the golden texts, with the special tokens of a family."""
    texts = ["good film bad cafe the", *(row["text"] for row in golden_text.rows() if row.get("text", "").strip())]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text.replace("\x00", " ") for text in texts * 3]),
        model_writer=model,
        model_type=model_type,
        vocab_size=220,
        hard_vocab_limit=False,
        minloglevel=2,
        **special,
    )
    size = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()).get_piece_size()
    ids = {name: special[key] for name, key in (("start_id", "bos_id"), ("end_id", "eos_id"), ("pad_id", "pad_id"))}
    return Tokenizer(
        family="sentencepiece",
        unknown_id=special["unk_id"],
        vocabulary_size=size,
        sentencepiece_model=model.getvalue(),
        lowercase=False,
        strip_accents=False,
        max_length=24,
        **ids,
    )
