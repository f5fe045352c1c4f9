"""When two texts count as the same text: for splitting, and for the model.

The two need different rules, because they must err in different directions. A row's split depends on the coarsest
reading: case, accents, compatibility forms ("ﬁ", full width), white space and invisible characters are ignored. So no
tokenizer can read the same text in two splits, and a row stays in its split when the tokenizer changes. Different
texts that are wrongly taken for the same merely go to the same split.

Repetitions, overlaps and contradictions depend on how the configured tokenizer reads (`TextReading`): "US" and "us" are
one text for an uncased vocabulary and two for a cased one, and `data.dedupe` must not drop a text that the model can
distinguish. Texts that people cannot distinguish are the same for every tokenizer: Unicode's composed and decomposed
forms, full width, kinds of white space, and invisible characters.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from models.config import TokenizerConfig
from models.presets.preset import preset_tokenizer
from tflite.host.tokenizer import Tokenizer
from tflite.host.unicode_newer import FORMAT, IGNORED
from tflite.host.words import TranslationTable, fold, split_words, without_marks

_ZERO_WIDTH_SPACE = 0x200B
# The maximum length does not affect how texts are read, and every preset has this many positions.
_ANY_LENGTH = 4
# The number of words whose readings are cached, and the length of the longest: looking up every character is
# slow, and most words recur.
_CACHED_WORDS, _LONGEST_WORD = 2**16, 40
_ASCII_UNSEEN = bytes(point for point in range(128) if point <= 0x20 or point == 0x7F)


def _unseen(point: int) -> bool:
    """Whether a character is invisible, except for the space that it may take."""
    return point in IGNORED or point in FORMAT or unicodedata.category(chr(point)) in ("Cc", "Cf", "Zs", "Zl", "Zp")


def _spaced(point: int) -> str:
    """A space for white space, controls and U+200B (a space by name and use, and for WordPiece); nothing for other
    invisible characters."""
    if not _unseen(point) or chr(point) == "\0":  # NUL is left to the tokenizer: MediaPipe's texts end there
        return chr(point)
    spaces = point == _ZERO_WIDTH_SPACE or unicodedata.category(chr(point)) in ("Cc", "Zs", "Zl", "Zp")
    return " " if spaces else ""


def _coarse_character(point: int) -> str:
    """What is left of a character under any tokenizer's folding: no case, marks, compatibility forms or space."""
    # Folding may add marks again.
    bare = without_marks(fold(without_marks(chr(point), "NFKD")), "NFKD")
    # Iota is removed too: the subscript of "ᾳ" becomes a letter if case is folded first, and a mark if accents are.
    return "".join(character for character in bare if not _unseen(ord(character)) and character != "ι")


_COARSE = TranslationTable(_coarse_character)
_SPACED = TranslationTable(_spaced)


def split_key(*texts: str) -> int:
    """A 64-bit hash (unsigned) that decides the split: equal if any tokenizer reads the texts as the same.

    The exception is NUL, where a text ends for MediaPipe only.
    """
    return _hash(*map(_coarse, texts))


def split_keys(texts: Sequence[str]) -> np.ndarray:
    """`split_key` of each text, uint64 [texts]."""
    return _hashes(map(_coarse, texts))


def _coarse(text: str) -> bytes:
    if text.isascii():
        return text.encode().lower().translate(None, _ASCII_UNSEEN)
    return text.translate(_COARSE).encode()


def _hash(*parts: bytes) -> int:
    digest = hashlib.blake2b(parts[0], digest_size=8)
    for part in parts[1:]:
        digest.update(b"\n" + part)
    return int.from_bytes(digest.digest(), "little")


def _hashes(parts: Iterable[bytes]) -> np.ndarray:
    """The hash of each part, uint64 [parts]."""
    hash_of = hashlib.blake2b
    return np.frombuffer(b"".join(hash_of(part, digest_size=8).digest() for part in parts), "<u8")


@dataclass(frozen=True)
class TextReading:
    """How a tokenizer normalizes a text before it splits it into pieces.

    Attributes:
        family, lowercase, strip_accents, mediapipe_compatible: as in `tflite.host.tokenizer.Tokenizer`.
    """

    family: Literal["wordpiece", "sentencepiece", "byte_pair"] = "wordpiece"
    lowercase: bool = True
    strip_accents: bool = True
    mediapipe_compatible: bool = False

    @classmethod
    def of_tokenizer(cls, tokenizer: Tokenizer | TokenizerConfig) -> TextReading:
        """The reading of a tokenizer, or of the vocabulary that will be learned."""
        return cls(
            tokenizer.family if isinstance(tokenizer, Tokenizer) else "wordpiece",
            tokenizer.lowercase,
            tokenizer.strip_accents,
            tokenizer.mediapipe_compatible,
        )

    def read(self, text: str) -> str:
        """The normalized text, equal for all texts that are read as the same."""
        if self.family == "wordpiece" and self.mediapipe_compatible:
            text = text.partition("\0")[0]
        # All white space becomes a space, and no character combines with another across it, so words can be read alone.
        known = _word_readings(self)
        words = [known[word] for word in text.split()]
        return " ".join(words if "" not in words else filter(None, words))

    def _read(self, text: str) -> str:
        if not text.isascii():
            text = unicodedata.normalize("NFKC", text)
        text = text.translate(_SPACED)
        if self.family == "wordpiece":
            return " ".join(
                split_words(
                    text,
                    lowercase=self.lowercase,
                    strip_accents=self.strip_accents,
                    mediapipe_compatible=self.mediapipe_compatible,
                )
            )
        if self.strip_accents:
            text = without_marks(text, "NFKD")
        return " ".join((fold(text) if self.lowercase else text).split())

    def key(self, *texts: str) -> int:
        """A 64-bit hash (unsigned) of a text, or of a pair of texts."""
        return _hash(*(self.read(text).encode() for text in texts))

    def keys(self, *columns: Sequence[str]) -> np.ndarray:
        """The `key` of each text in a column, or of each pair in two columns, uint64 [rows]."""
        read = ([self.read(text).encode() for text in texts] for texts in columns)
        return _hashes(map(b"\n".join, zip(*read, strict=True)))


class _WordReadings(dict[str, str]):
    """Word to what is read, computed at its first occurrence."""

    def __init__(self, read: Callable[[str], str]) -> None:
        super().__init__()
        self._compute = read

    def __missing__(self, word: str) -> str:
        read = self._compute(word)
        if len(word) <= _LONGEST_WORD:
            if len(self) >= _CACHED_WORDS:
                self.clear()
            self[word] = read
        return read


@cache
def _word_readings(reading: TextReading) -> _WordReadings:
    return _WordReadings(reading._read)


def load_text_reading(tokenizer: TokenizerConfig, preset: str | None) -> TextReading:
    """The configured reading: the preset's, if there is a preset.

    Args:
        preset: `model.preset`; an absolute path if it is a folder.

    Raises:
        PresetError: the preset's vocabulary cannot be read.
    """
    if preset is None:
        return TextReading.of_tokenizer(tokenizer)
    compatible = tokenizer.mediapipe_compatible
    return TextReading.of_tokenizer(preset_tokenizer(preset, _ANY_LENGTH, mediapipe_compatible=compatible))


READING_KEYS = {"lowercase", "strip_accents", "mediapipe_compatible"}
"""The keys of `tokenizer` that affect a reading."""
