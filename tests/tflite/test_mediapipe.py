"""MediaPipe itself, in an environment of its own: the ids that it makes of a text, and the answers of real bundles."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import golden_text
import isolated
import numpy as np
import probe
import pytest
import tensorflow as tf

from models.preprocessing import Preprocessor
from models.tokenizer import Tokenizer
from tflite.bundle import HARD_TEXTS
from tflite.tokenization import HostTokenizer

pytestmark = pytest.mark.slow
ASK = Path(__file__).parent / "ask_mediapipe.py"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def ask(model: Path, texts: Sequence[str]) -> np.ndarray:
    """MediaPipe's scores of each text, [texts, labels] float64."""
    printed = isolated.run("mediapipe", [ASK, model], given="".join(f"{json.dumps(text)}\n" for text in texts))
    return np.array([json.loads(line) for line in printed.splitlines()])


def tokenizer(vocabulary: Sequence[str], max_length: int) -> Tokenizer:
    """A `mediapipe_compatible` one."""
    return Tokenizer(
        family="wordpiece",
        start_id=2,
        end_id=3,
        pad_id=0,
        unknown_id=1,
        vocabulary_size=len(vocabulary),
        vocabulary=tuple(vocabulary),
        strip_accents=False,
        mediapipe_compatible=True,
        max_length=max_length,
    )


def check_ids(model: Tokenizer, texts: Sequence[str], folder: Path) -> None:
    """MediaPipe, the graph and the host give the same ids, masks and segment ids."""
    probe.write(folder / "probe.tflite", model)
    revealed = ask(folder / "probe.tflite", texts).astype(np.int32).reshape(len(texts), 3, model.max_length)
    ids, masks, segments = revealed[:, 0], revealed[:, 1], revealed[:, 2]
    found = [row[:count].tolist() for row, count in zip(ids, masks.sum(axis=1), strict=True)]
    in_graph = Preprocessor(model)(tf.constant([text.encode() for text in texts]))["token_ids"].to_list()
    host = HostTokenizer(model)
    on_host = [host(text)[0] for text in texts]
    assert [row for row in zip(texts, found, in_graph, strict=True) if row[1] != row[2]][:3] == []
    assert [row for row in zip(texts, found, on_host, strict=True) if row[1] != row[2]][:3] == []
    assert not segments.any()
    assert not np.diff(masks, axis=1).max(initial=0) > 0
    assert not ids[masks == 0].any()


def test_hard_texts_become_the_same_ids(tmp_path: Path) -> None:
    golden = [row["bytes"] for row in golden_text.rows()]
    # A Python string is always Unicode, so what is not UTF-8 cannot be asked.
    texts = [*HARD_TEXTS, *(text.decode() for text in golden if text.decode(errors="ignore").encode() == text)]
    texts += ["Café CAFÉ ﬁlm Straße İstanbul ΟΔΟΣ", "film\0 good", "a\v b\x1c c\x85 d\u3000 e\u00a0f", "[SEP] [CLS]"]
    texts += [character * count for character in "xé好" for count in (33, 34, 49, 50, 51, 99, 100, 101, 5000)]
    vocabulary = (*golden_text.VOCABULARY, "É", "é", "##é", "\u00a0", "##\u00a0", "\u200b", "##\u200b")
    check_ids(tokenizer(tuple(dict.fromkeys(vocabulary)), 128), texts, tmp_path)


def test_every_character_becomes_the_same_ids(tmp_path: Path) -> None:
    """Each is its own token, at the beginning of a word and within one: nothing that is done to it stays hidden."""
    everything = (point for point in range(1, 0x110000) if not 0xD800 <= point <= 0xDFFF)
    # Of what no Unicode assigns, and of private use, a sample: it is most of all characters.
    points = [
        point for point in everything if unicodedata.category(chr(point)) not in ("Co", "Cn") or point % 7 == 0
        or (point < 0x20000 and unicodedata.category(chr(point)) == "Cn")
    ]  # fmt: skip
    characters = [chr(point) for point in points if chr(point) not in "\n\r"]
    vocabulary = [*SPECIAL, *characters, *(f"##{character}" for character in characters)]
    texts = [
        " ".join(f"A{chr(point)}b {chr(point)}" for point in points[begin : begin + 200])
        for begin in range(0, len(points), 200)
    ]
    check_ids(tokenizer(vocabulary, 1024), texts, tmp_path)
