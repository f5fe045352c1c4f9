"""A tokenizer as data: its vocabulary and its switches, on disk and in memory. No TensorFlow.

`models/preprocessing.py` turns it into operations of a graph; `models/vocabulary.py` learns one;
`models/presets.py` takes one from a pretrained checkpoint.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

FILE_NAME = "tokenizer.json"
VOCABULARY_FILES = {"wordpiece": "vocab.txt", "sentencepiece": "sentencepiece.model"}


@dataclass(frozen=True)
class Tokenizer:
    """All that decides which token ids a text becomes.

    Attributes:
        family: the algorithm.
        vocabulary: `wordpiece`: the tokens, in the order of their ids; empty otherwise.
        sentencepiece_model: `sentencepiece`: the serialized model; empty otherwise.
        start_id, end_id, pad_id, unknown_id: ids of the special tokens.
        vocabulary_size: rows that the embedding table needs.
        lowercase, strip_accents: normalization before the text is cut.
        max_length: tokens of one input, special tokens included.
        pair_layout: `bert`: [start] a [end] b [end], segment ids 0 and 1.
    """

    family: Literal["wordpiece", "sentencepiece"]
    start_id: int
    end_id: int
    pad_id: int
    unknown_id: int
    vocabulary_size: int
    vocabulary: tuple[str, ...] = ()
    sentencepiece_model: bytes = b""
    lowercase: bool = True
    strip_accents: bool = True
    max_length: int = 128
    pair_layout: Literal["bert"] = "bert"

    def save(self, directory: Path | str) -> None:
        """Writes `tokenizer.json` and the vocabulary's own file."""
        switches = {k: v for k, v in asdict(self).items() if k not in ("vocabulary", "sentencepiece_model")}
        folder = Path(directory)
        (folder / FILE_NAME).write_text(json.dumps(switches, indent=1) + "\n", encoding="utf-8")
        target = folder / VOCABULARY_FILES[self.family]
        if self.family == "wordpiece":
            target.write_text("".join(f"{token}\n" for token in self.vocabulary), encoding="utf-8", newline="\n")
        else:
            target.write_bytes(self.sentencepiece_model)

    @classmethod
    def load(cls, directory: Path | str) -> Tokenizer:
        """Reads what `save` wrote."""
        folder = Path(directory)
        switches = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
        source = folder / VOCABULARY_FILES[switches["family"]]
        if switches["family"] == "wordpiece":
            return cls(**switches, vocabulary=tuple(source.read_bytes().decode("utf-8").split("\n")[:-1]))
        return cls(**switches, sentencepiece_model=source.read_bytes())
