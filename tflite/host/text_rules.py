"""Rules of tokenization, as data shared by the graph (`models.text`) and this folder. Standard library only."""

from __future__ import annotations

from functools import cache

# The blocks of BERT's tokenization.py.
CJK_BLOCKS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
"""First and last character of each block; each of their characters is a word."""
MEDIAPIPE_SPACE = "\t\n\f\r "
"""White space for MediaPipe's BertTokenizer: RE2's ``\\s``."""
MEDIAPIPE_PUNCTUATION = (
    *(0x1B4E, 0x1B4F, 0x1B7F, 0x10D6E, 0x10ED0, 0x113D4, 0x113D5, 0x113D7, 0x113D8),
    *(0x11BE1, 0x16D6D, 0x16D6E, 0x16D6F, 0x1E5FF),
)
"""Punctuation in MediaPipe 1.2.3, whose RE2 has a newer Unicode, but not in TensorFlow 2.21."""
MAX_WORDPIECE_BYTES = 100
"""A longer word is one unknown token, as in `tf_text.FastWordpieceTokenizer` and MediaPipe's BertTokenizer."""
MAX_BYTE_PAIR_BYTES = 256
"""Byte pairs: a longer word (no English one is) is split after this many bytes, before the next whole character."""


def is_white_space(point: int) -> bool:
    """Unicode's White_Space; Python also counts the separators U+001C to U+001F."""
    return chr(point).isspace() and not 0x1C <= point <= 0x1F


@cache
def byte_characters() -> tuple[str, ...]:
    """GPT-2's character for each of the 256 bytes: itself if visible in Latin-1, else one from U+0100 on."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in visible]
    names = dict(zip(visible, map(chr, visible), strict=True)) | {b: chr(256 + n) for n, b in enumerate(hidden)}
    return tuple(names[byte] for byte in range(256))
