"""What a token stands for, as text: joined, the tokens of a text give the text again, as the tokenizer has read it."""

from __future__ import annotations

import sentencepiece

from tflite.host.text_rules import byte_characters
from tflite.host.tokenizer import CONTINUATION, Tokenizer

_WORD_BEGINS = "▁"
"""SentencePiece's space."""


def token_texts(tokenizer: Tokenizer) -> list[bytes]:
    """By token id: its text in UTF-8 with a space where a word begins, b"" for special tokens.

    A byte pair's token may be a part of a character: only joined ones are certainly UTF-8.
    """
    texts = {"wordpiece": _wordpiece, "byte_pair": _byte_pair, "sentencepiece": _sentencepiece}[tokenizer.family](
        tokenizer
    )
    for special in (tokenizer.pad_id, tokenizer.start_id, tokenizer.end_id):
        texts[special] = b""
    return texts


def _wordpiece(tokenizer: Tokenizer) -> list[bytes]:
    whole, rest = (f" {token}".encode() for token in tokenizer.vocabulary), len(CONTINUATION) + 1
    return [text[rest:] if text.startswith(f" {CONTINUATION}".encode()) else text for text in whole]


def _byte_pair(tokenizer: Tokenizer) -> list[bytes]:
    bytes_of = {character: byte for byte, character in enumerate(byte_characters())}
    # Special tokens may be written with other characters.
    return [bytes(bytes_of.get(character, ord("?")) for character in token) for token in tokenizer.vocabulary]


def _sentencepiece(tokenizer: Tokenizer) -> list[bytes]:
    pieces = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.sentencepiece_model)
    texts = [pieces.id_to_piece(index).replace(_WORD_BEGINS, " ").encode() for index in range(pieces.get_piece_size())]
    return texts + [b""] * (tokenizer.vocabulary_size - len(texts))
