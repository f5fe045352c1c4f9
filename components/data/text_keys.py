"""When two texts are the same text: for the sides of a split, and for the model.

There are two answers, because they must not err to the same side. A row's side of a split comes from the coarsest
reading: case, accents, compatibility forms ("ﬁ", full width), white space and what cannot be seen do not count. So no
tokenizer can read one text on both sides, and a row keeps its side when the tokenizer is changed. Texts that are taken
for one too often merely stand on the same side.

Repetitions, overlaps and contradictions are judged as the configured tokenizer reads (`TextReading`): "US" and "us"
are one text for an uncased vocabulary and two for a cased one, and `data.dedupe` must not drop what the model can tell
apart. What no person can tell apart is one text for every tokenizer: Unicode's composed and decomposed forms, full
width, kinds of white space, and characters that cannot be seen.

Imports no TensorFlow.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

from models.config import TokenizerConfig
from models.presets.preset import preset_tokenizer
from tflite.host.tokenizer import Tokenizer
from tflite.host.unicode_newer import FORMAT, IGNORED
from tflite.host.words import TranslationTable, fold, split_words, without_marks

_ZERO_WIDTH_SPACE = 0x200B
# Where texts are cut does not decide how they are read, and every preset has so many positions.
_ANY_LENGTH = 4
# Words of texts beyond ASCII whose readings are remembered, and characters of the longest one: a table for every
# character is slow, and most words come again.
_REMEMBERED, _LONGEST = 2**16, 40
_ASCII_UNSEEN = bytes(point for point in range(128) if point <= 0x20 or point == 0x7F)


def _unseen(point: int) -> bool:
    """Whether a character leaves no trace on the screen but room."""
    return point in IGNORED or point in FORMAT or unicodedata.category(chr(point)) in ("Cc", "Cf", "Zs", "Zl", "Zp")


def _spaced(point: int) -> str:
    """White space, controls and U+200B (a space by name and use, and WordPiece's) as a space; nothing for the rest of
    what cannot be seen."""
    if not _unseen(point) or chr(point) == "\0":  # NUL is left to the tokenizer: MediaPipe's text ends there
        return chr(point)
    spaces = point == _ZERO_WIDTH_SPACE or unicodedata.category(chr(point)) in ("Cc", "Zs", "Zl", "Zp")
    return " " if spaces else ""


def _coarse_character(point: int) -> str:
    """What is left of a character whatever a tokenizer folds: no case, marks, compatibility forms or room."""
    # What is folded may have marks again.
    bare = without_marks(fold(without_marks(chr(point), "NFKD")), "NFKD")
    # Iota goes too: the subscript of "ᾳ" is a letter where case is folded, and a mark where accents go first.
    return "".join(character for character in bare if not _unseen(ord(character)) and character != "ι")


_COARSE = TranslationTable(_coarse_character)
_SPACED = TranslationTable(_spaced)


def side_key(*texts: str) -> int:
    """64 bits (unsigned) that decide the side of a split: equal wherever any tokenizer reads the same texts.

    But for NUL, at which a text ends for MediaPipe alone.
    """
    return _hash(*map(_coarse, texts))


def _coarse(text: str) -> bytes:
    if text.isascii():
        return text.encode().lower().translate(None, _ASCII_UNSEEN)
    return text.translate(_COARSE).encode()


def _hash(*parts: bytes) -> int:
    digest = hashlib.blake2b(parts[0], digest_size=8)
    for part in parts[1:]:
        digest.update(b"\n" + part)
    return int.from_bytes(digest.digest(), "little")


@dataclass(frozen=True)
class TextReading:
    """What a tokenizer leaves of a text before it cuts it into pieces.

    Attributes:
        family, lowercase, strip_accents, mediapipe_compatible: as in `tflite.host.tokenizer.Tokenizer`.
    """

    family: Literal["wordpiece", "sentencepiece", "byte_pair"] = "wordpiece"
    lowercase: bool = True
    strip_accents: bool = True
    mediapipe_compatible: bool = False

    @classmethod
    def of(cls, tokenizer: Tokenizer | TokenizerConfig) -> TextReading:
        """The reading of a tokenizer, or of the vocabulary that will be learned."""
        return cls(
            tokenizer.family if isinstance(tokenizer, Tokenizer) else "wordpiece",
            tokenizer.lowercase,
            tokenizer.strip_accents,
            tokenizer.mediapipe_compatible,
        )

    def read(self, text: str) -> str:
        """The text in the spelling that stands for all that are read alike."""
        if self.family == "wordpiece" and self.mediapipe_compatible:
            text = text.partition("\0")[0]
        words = () if text.isascii() else text.split()
        if not words or max(map(len, words)) > _LONGEST:
            return self._read(text)
        # All white space becomes a space, over which no character joins another: each word can be read by itself.
        return " ".join(filter(None, map(_remembering(self), words)))

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
        """64 bits (unsigned) that stand for a text, or for a pair of texts."""
        return _hash(*(self.read(text).encode() for text in texts))


@cache
def _remembering(reading: TextReading) -> Callable[[str], str]:
    return lru_cache(_REMEMBERED)(reading._read)


def reading_of(tokenizer: TokenizerConfig, preset: str | None) -> TextReading:
    """The reading that a configuration asks for: its own, or the preset's.

    Args:
        preset: `model.preset`, with an absolute path where it is a folder.

    Raises:
        PresetError: the preset's vocabulary cannot be read.
    """
    if preset is None:
        return TextReading.of(tokenizer)
    compatible = tokenizer.mediapipe_compatible
    return TextReading.of(preset_tokenizer(preset, _ANY_LENGTH, mediapipe_compatible=compatible))


READING_KEYS = {"lowercase", "strip_accents", "mediapipe_compatible"}
"""What of `tokenizer` decides a reading."""
