"""A tokenizer as data: its vocabulary and its options, on disk and in memory. No TensorFlow.

`models/text/preprocessing.py` turns it into graph operations, `models/text/vocabulary_training.py` learns one, and
`models/presets/preset.py` reads one from a pretrained checkpoint.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from .json_text import to_json

TOKENIZER_FILE = "tokenizer.json"
VOCABULARY_FILES = {"wordpiece": "vocab.txt", "sentencepiece": "sentencepiece.model", "byte_pair": "vocab.json"}
MERGES_FILE = "merges.txt"
CONTINUATION = "##"
"""WordPiece's prefix of a token that continues a word."""
# Beginning of the first line of every merges.txt since GPT-2's.
_MERGES_HEADER = "#version:"


@dataclass(frozen=True)
class Tokenizer:
    """All that decides the token ids of a text.

    Attributes:
        family: the algorithm.
        vocabulary: `wordpiece` and `byte_pair`: the tokens, in the order of their ids; empty otherwise.
        merges: `byte_pair`: the pairs of tokens to join, in order of priority; empty otherwise.
        sentencepiece_model: `sentencepiece`: the serialized model; empty otherwise.
        start_id, end_id, pad_id, unknown_id: ids of the special tokens.
        vocabulary_size: rows that the embedding table needs.
        lowercase, strip_accents: normalization before splitting; both False for `byte_pair`.
        add_prefix_space: `byte_pair`: put a space before a text that does not begin with one.
        max_length: tokens of one input, special tokens included.
        mediapipe_compatible: `wordpiece`: split words as MediaPipe does; `lowercase` then affects only ASCII.
        pair_layout: `bert`: [start] a [end] b [end], segment ids 0 and 1; `roberta`: [start] a [end] [end] b [end],
            segment ids all 0.
    """

    family: Literal["wordpiece", "sentencepiece", "byte_pair"]
    start_id: int
    end_id: int
    pad_id: int
    unknown_id: int
    vocabulary_size: int
    vocabulary: tuple[str, ...] = ()
    merges: tuple[tuple[str, str], ...] = ()
    sentencepiece_model: bytes = b""
    lowercase: bool = True
    strip_accents: bool = True
    add_prefix_space: bool = False
    mediapipe_compatible: bool = False
    max_length: int = 128
    pair_layout: Literal["bert", "roberta"] = "bert"

    @property
    def continues(self) -> tuple[bool, ...]:
        """`wordpiece`: by token id, whether the token continues a word that another one began."""
        return tuple(token.startswith(CONTINUATION) for token in self.vocabulary)

    @property
    def special_ids(self) -> tuple[int, ...]:
        """Ids of the tokens that stand for no text, and of the unknown token; ascending."""
        return tuple(sorted({self.pad_id, self.unknown_id, self.start_id, self.end_id}))

    def digest(self) -> str:
        """Digest of all that decides the token ids of a text."""
        values = {**asdict(self), "sentencepiece_model": hashlib.sha256(self.sentencepiece_model).hexdigest()}
        return hashlib.sha256(to_json(values, sort_keys=True, ascii=True).encode()).hexdigest()[:32]

    def save(self, directory: Path | str) -> None:
        data = ("vocabulary", "merges", "sentencepiece_model")
        options = {k: v for k, v in asdict(self).items() if k not in data}
        folder = Path(directory)
        (folder / TOKENIZER_FILE).write_text(to_json(options, indent=1) + "\n", encoding="utf-8")
        target = folder / VOCABULARY_FILES[self.family]
        if self.family == "wordpiece":
            target.write_text("".join(f"{token}\n" for token in self.vocabulary), encoding="utf-8", newline="\n")
        elif self.family == "byte_pair":
            ids = {token: index for index, token in enumerate(self.vocabulary)}
            target.write_text(to_json(ids), encoding="utf-8")
            lines = "".join(f"{left} {right}\n" for left, right in self.merges)
            (folder / MERGES_FILE).write_text(f"{_MERGES_HEADER} 0.2\n{lines}", encoding="utf-8", newline="\n")
        else:
            target.write_bytes(self.sentencepiece_model)

    @classmethod
    def load(cls, directory: Path | str) -> Tokenizer:
        folder = Path(directory)
        options = json.loads((folder / TOKENIZER_FILE).read_text(encoding="utf-8"))
        source = folder / VOCABULARY_FILES[options["family"]]
        if options["family"] == "wordpiece":
            return cls(**options, vocabulary=tuple(source.read_bytes().decode("utf-8").split("\n")[:-1]))
        if options["family"] == "byte_pair":
            ids = json.loads(source.read_text(encoding="utf-8"))
            merges = parse_merges((folder / MERGES_FILE).read_text(encoding="utf-8"))
            return cls(**options, vocabulary=tuple(sorted(ids, key=ids.__getitem__)), merges=merges)
        return cls(**options, sentencepiece_model=source.read_bytes())


def parse_merges(text: str) -> tuple[tuple[str, str], ...]:
    """The pairs of a merges.txt.

    Raises:
        ValueError: a line, named in the message, does not consist of two tokens.
    """
    lines = text.split("\n")
    if lines[0].startswith(_MERGES_HEADER):
        lines[0] = ""
    merges = []
    for number, line in enumerate(lines, start=1):
        parts = line.split()
        if len(parts) not in (0, 2):
            raise ValueError(f"line {number}: {line[:40]!r}")
        if parts:
            merges.append((parts[0], parts[1]))
    return tuple(merges)
