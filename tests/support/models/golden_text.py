"""The texts of `tests/golden/hard_strings.jsonl`: every tokenizer must give the ids stored with them.

A line has a `name` and one of `text`, `hex` (bytes that no JSON string can hold) and `repeat` ([text, times]); then
`token_ids` (lowercase, accents stripped) and `cased_token_ids` (neither), at most `MAX_LENGTH` of them, as reviewed.
`UPDATE_GOLDEN=1` rewrites the ids; a person reads the difference.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tflite.host.tokenizer import Tokenizer

FILE = Path(__file__).parents[2] / "golden" / "hard_strings.jsonl"
MAX_LENGTH = 32
# fmt: off
VOCABULARY = (
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]",
    "the", "film", "films", "was", "good", "bad", "un", "##good", "##ly",
    "cafe", "café", "caf", "##e", "na", "##ive", "naive", "strasse", "straße", "istanbul", "ο", "##δ", "##ο", "##σ",
    "fi", "##lm", "a", "b", "##a", "##b", "c", "1", "2", "##2", "½", "x", "##x",
    ".", "...", "…", ",", "!", "?", "'", '"', "-", "#", "@", "[", "]", "$", "pad", "sep", "cls", "unk", "mask",
    "好", "电", "影", "不", "한", "##국", "ア", "##イ", "ฟ", "##้", "हि", "ह", "##ि", "و", "##ا",
    "😀", "❤", "👍", "👩", "🚀", "e", "Good", "FILM", "THE", "É", "\ufffd",
)
# fmt: on


def tokenizer(*, lowercase: bool = True, strip_accents: bool = True, max_length: int = MAX_LENGTH) -> Tokenizer:
    """A WordPiece tokenizer of the small vocabulary."""
    return Tokenizer(
        family="wordpiece",
        start_id=2,
        end_id=3,
        pad_id=0,
        unknown_id=1,
        vocabulary_size=len(VOCABULARY),
        vocabulary=VOCABULARY,
        lowercase=lowercase,
        strip_accents=strip_accents,
        max_length=max_length,
    )


def rows() -> list[dict[str, Any]]:
    """The lines of the file, each with its `bytes` too."""
    found = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    for row in found:
        row["bytes"] = _bytes(row)
    return found


def rewrite(name_to_ids: dict[str, dict[str, list[int]]]) -> None:
    """Rewrites the file with these ids (name to `token_ids` and `cased_token_ids`)."""
    kept = [{k: row[k] for k in ("name", "text", "hex", "repeat") if k in row} for row in rows()]
    lines = [json.dumps({**row, **name_to_ids[row["name"]]}) for row in kept]
    FILE.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _bytes(row: dict[str, Any]) -> bytes:
    if "hex" in row:
        return bytes.fromhex(row["hex"])
    if "repeat" in row:
        text, times = row["repeat"]
        return str(text * times).encode("utf-8")
    return str(row["text"]).encode("utf-8")
