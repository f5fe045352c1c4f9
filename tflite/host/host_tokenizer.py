"""Turns text into token ids without TensorFlow: the same ids as `models.text.preprocessing`.

WordPiece and byte pairs need only the standard library; SentencePiece needs the package `sentencepiece`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import islice, pairwise
from typing import Any

from .errors import ModelError
from .text_rules import MAX_BYTE_PAIR_BYTES, MAX_WORDPIECE_BYTES, byte_characters, is_white_space
from .tokenizer import CONTINUATION, Tokenizer
from .words import TranslationTable, fold, split_words, valid_text, without_marks

_CACHED_WORDS = 2**16
# GPT-2's pattern over the character classes of `_class`; `s` to `l` are the letters of its contractions.
_BYTE_PAIR_WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[Lstrevmld]+| ?0+| ?[!']+|[ \t]+(?![^ \t])|[ \t]+")

Encoded = tuple[list[int], list[int]]


class HostTokenizer:
    """Turns a text, or a pair of texts, into token ids.

    Args:
        tokenizer: loaded by `Tokenizer.load` from a bundle or from `assets.extra`.

    Raises:
        ModelError: the vocabulary needs the package `sentencepiece`, which is not installed.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        functions = {"wordpiece": _wordpiece, "byte_pair": _byte_pair, "sentencepiece": _sentencepiece}
        self._tokenize = functions[tokenizer.family](tokenizer)

    def __call__(self, text: str | bytes, text_pair: str | bytes | None = None) -> Encoded:
        """The token ids and segment ids of one row, including special tokens, truncated to `max_length`.

        Tokens of a pair are taken in turn from the first and the second text.
        """
        tokenizer = self.tokenizer
        texts = [text] if text_pair is None else [text, text_pair]
        roberta = tokenizer.pair_layout == "roberta"
        ends = [2 if roberta and index < len(texts) - 1 else 1 for index in range(len(texts))]
        room = tokenizer.max_length - 1 - sum(ends)
        segments = [list(islice(self._tokenize(each), max(room, 0))) for each in texts]
        token_ids, segment_ids = [tokenizer.start_id], [0]
        for index, (segment, keep) in enumerate(zip(segments, _kept([len(s) for s in segments], room), strict=True)):
            part = segment[:keep] + [tokenizer.end_id] * ends[index]
            token_ids += part
            segment_ids += [0 if roberta else index] * len(part)
        return token_ids, segment_ids


def _kept(lengths: list[int], room: int) -> list[int]:
    """How many tokens of each segment fit in `room`: half of it each, plus what the other leaves free."""
    if len(lengths) == 1:
        return [min(lengths[0], room)]
    first, second = lengths
    return [min(first, max((room + 1) // 2, room - second)), min(second, max(room // 2, room - first))]


Tokenize = Callable[[str | bytes], Iterable[int]]


def _wordpiece(tokenizer: Tokenizer) -> Tokenize:
    ids = {token: index for index, token in enumerate(tokenizer.vocabulary)}
    longest = max(map(len, tokenizer.vocabulary), default=0)

    @lru_cache(maxsize=_CACHED_WORDS)
    def pieces(word: str) -> tuple[int, ...]:
        """Takes the longest matching piece repeatedly; a word that cannot be completed is unknown as a whole."""
        if len(word.encode("utf-8")) > MAX_WORDPIECE_BYTES:
            return (tokenizer.unknown_id,)
        token_ids: list[int] = []
        begin = 0
        while begin < len(word):
            prefix = CONTINUATION if begin else ""
            for end in range(min(len(word), begin + longest), begin, -1):
                index = ids.get(prefix + word[begin:end])
                if index is not None:
                    token_ids.append(index)
                    begin = end
                    break
            else:
                return (tokenizer.unknown_id,)
        return tuple(token_ids)

    def cut(text: str | bytes) -> Iterator[int]:
        words = split_words(
            text,
            lowercase=tokenizer.lowercase,
            strip_accents=tokenizer.strip_accents,
            mediapipe_compatible=tokenizer.mediapipe_compatible,
        )
        for word in words:
            yield from pieces(word)

    return cut


def _byte_pair(tokenizer: Tokenizer) -> Tokenize:
    names = byte_characters()
    ids = {token: index for index, token in enumerate(tokenizer.vocabulary)}
    ranks = {pair: rank for rank, pair in enumerate(tokenizer.merges)}
    none = len(ranks)

    @lru_cache(maxsize=_CACHED_WORDS)
    def pieces(word: bytes) -> tuple[int, ...]:
        """Joins all occurrences of the lowest-ranked pair, round by round."""
        parts = [names[byte] for byte in word]
        while len(parts) > 1:
            lowest = min(pairwise(parts), key=lambda pair: ranks.get(pair, none))
            if lowest not in ranks:
                break
            parts = _joined(parts, lowest)
        return tuple(ids.get(part, tokenizer.unknown_id) for part in parts)

    def cut(text: str | bytes) -> Iterator[int]:
        text = valid_text(text)
        if tokenizer.add_prefix_space and text and not text.startswith(" "):
            text = f" {text}"
        for match in _BYTE_PAIR_WORDS.finditer(text.translate(_CLASSES)):
            for part in _short_words(text[match.start() : match.end()]):
                yield from pieces(part)

    return cut


def _joined(parts: list[str], pair: tuple[str, str]) -> list[str]:
    """Joins every occurrence of the pair, from the left: "aaa" becomes "aa" and "a"."""
    joined: list[str] = []
    index = 0
    while index < len(parts):
        both = tuple(parts[index : index + 2]) == pair
        joined.append("".join(parts[index : index + 2]) if both else parts[index])
        index += 2 if both else 1
    return joined


def _short_words(word: str) -> Iterator[bytes]:
    """The bytes of a word, cut at the first character boundary at or after each multiple of the maximum length."""
    data, limit = word.encode("utf-8"), MAX_BYTE_PAIR_BYTES
    begin = 0
    while len(data) - begin > 0:
        end = min((begin // limit + 1) * limit, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:  # inside a character
            end += 1
        yield data[begin:end]
        begin = end


def _class(point: int) -> str:
    """The class of a character in GPT-2's pattern: a letter, a number, white space or another sign."""
    character = chr(point)
    if character in "'stmdrevl ":
        return character
    if is_white_space(point):
        return "\t"
    return {"L": "L", "N": "0"}.get(unicodedata.category(character)[0], "!")


_CLASSES = TranslationTable(_class)


def _sentencepiece(tokenizer: Tokenizer) -> Tokenize:
    try:
        import sentencepiece
    except ImportError as error:
        raise ModelError(
            "the vocabulary is a SentencePiece model",
            got="the package sentencepiece is not installed",
            expected="sentencepiece >= 0.2",
            fix="pip install sentencepiece",
        ) from error
    pieces: Any = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.sentencepiece_model)

    def cut(text: str | bytes) -> list[int]:
        text = valid_text(text)
        if tokenizer.strip_accents:
            text = without_marks(text, "NFKD")
        if tokenizer.lowercase:
            text = fold(text)
        token_ids: list[int] = pieces.encode(text)
        return token_ids

    return cut
