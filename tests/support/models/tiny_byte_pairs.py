"""Byte-level byte pairs in plain Python: a small vocabulary learned from the golden texts, and GPT-2's `encoder.py`."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import accumulate, groupby, pairwise

import golden_text
import regex

from models.text.byte_pair_ops import WORDS
from tflite.host.text_rules import MAX_BYTE_PAIR_BYTES, byte_characters
from tflite.host.tokenizer import Tokenizer

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
_TEXTS = (
    "The film was good, the films weren't bad; they'll say it's so-so and I'd've left: 1930s, 10,000 times!!!! ====",
    "the theatre then there other another gathering together weather hahaha bananas aaaa",
)


def words_of(text: str) -> list[str]:
    """The words that GPT-2's pattern finds, the long ones cut, each in GPT-2's names of its bytes."""
    names = byte_characters()
    words = [part for word in regex.findall(WORDS, text) for part in _cut(word)]
    return ["".join(names[byte] for byte in word.encode("utf-8")) for word in words]


def _cut(word: str) -> list[str]:
    ends = accumulate(len(character.encode("utf-8")) for character in word)
    begins = zip([0, *ends], word, strict=False)
    return ["".join(c for _, c in part) for _, part in groupby(begins, key=lambda pair: pair[0] // MAX_BYTE_PAIR_BYTES)]


@cache
def tokenizer(merges: int = 160, max_length: int = golden_text.MAX_LENGTH, **switches: bool) -> Tokenizer:
    """A tokenizer as RoBERTa's, with its order of ids: special tokens, bytes, merges, the mask."""
    learned = _learn(merges)
    vocabulary = (*SPECIAL, *byte_characters(), *(left + right for left, right in learned), "<mask>")
    return Tokenizer(
        family="byte_pair",
        start_id=0,
        pad_id=1,
        end_id=2,
        unknown_id=3,
        vocabulary_size=len(vocabulary),
        vocabulary=vocabulary,
        merges=learned,
        lowercase=False,
        strip_accents=False,
        max_length=max_length,
        pair_layout="roberta",
        **switches,
    )


def reference(text: str, tokenizer: Tokenizer) -> list[int]:
    """The ids of a text, without special ones, as `encoder.py` computes them."""
    ids = {token: index for index, token in enumerate(tokenizer.vocabulary)}
    ranks = {pair: rank for rank, pair in enumerate(tokenizer.merges)}
    return [ids.get(part, tokenizer.unknown_id) for word in words_of(text) for part in _split(list(word), ranks)]


def _split(parts: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    while True:
        pair = min(pairwise(parts), key=lambda pair: ranks.get(pair, len(ranks)), default=None)
        if pair not in ranks:
            return parts
        parts = _join(parts, pair)


def _join(parts: list[str], pair: tuple[str, str]) -> list[str]:
    """Joins every occurrence of a pair, from the left."""
    joined: list[str] = []
    index = 0
    while index < len(parts):
        found = tuple(parts[index : index + 2]) == pair
        joined.append("".join(pair) if found else parts[index])
        index += 2 if found else 1
    return joined


@cache
def _learn(merges: int) -> tuple[tuple[str, str], ...]:
    golden = [row["bytes"].decode("utf-8", errors="replace")[:60] for row in golden_text.rows()]
    words = [list(word) for text in [*_TEXTS * 3, *golden] for word in words_of(text)]
    learned = []
    for _ in range(merges):
        counts = Counter(pair for word in words for pair in pairwise(word))
        best = max(counts, key=lambda pair: (counts[pair], pair))
        learned.append(best)
        words = [_join(word, best) for word in words]
    return tuple(learned)
