"""MediaPipe itself, in an isolated environment: its token ids for a text, and its predictions with real bundles."""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import golden_text
import isolated
import keras
import numpy as np
import probe
import pytest
import tensorflow as tf
import tiny_edge as tiny

from models.build import build_model
from models.config import EncoderConfig, TaskConfig, TokenizerConfig
from models.saved.restore import RestoredModel
from models.text import mediapipe_rules
from models.text.preprocessing import Preprocessor
from models.text.vocabulary_training import count_words, learn_wordpiece
from tflite.bundle.bundle_folder import HARD_TEXTS, write_bundle
from tflite.bundle.mediapipe_metadata import FileDescription
from tflite.convert.keras_to_tflite import convert
from tflite.host.edge_classifier import EdgeClassifier
from tflite.host.host_tokenizer import HostTokenizer
from tflite.host.tokenizer import Tokenizer

pytestmark = pytest.mark.slow
QUERY = Path(__file__).parents[2] / "support" / "tflite" / "query_mediapipe.py"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def query(model: Path, texts: Sequence[str]) -> np.ndarray:
    """MediaPipe's scores of each text, [texts, labels] float64."""
    printed = isolated.run("mediapipe", [QUERY, model], given="".join(f"{json.dumps(text)}\n" for text in texts))
    return np.array([json.loads(line) for line in printed.splitlines()])


def tokenizer(vocabulary: Sequence[str], max_length: int) -> Tokenizer:
    """A `mediapipe_compatible` tokenizer."""
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
    """Checks that MediaPipe, the graph and the host give the same ids, masks and segment ids."""
    probe.write(folder / "probe.tflite", model)
    revealed = query(folder / "probe.tflite", texts).astype(np.int32).reshape(len(texts), 3, model.max_length)
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
    # Without texts that are not UTF-8: a Python string is always Unicode.
    texts = [*HARD_TEXTS, *(text.decode() for text in golden if text.decode(errors="ignore").encode() == text)]
    texts += ["Café CAFÉ ﬁlm Straße İstanbul ΟΔΟΣ", "film\0 good", "a\v b\x1c c\x85 d\u3000 e\u00a0f", "[SEP] [CLS]"]
    texts += [character * count for character in "xé好" for count in (33, 34, 49, 50, 51, 99, 100, 101, 5000)]
    vocabulary = (*golden_text.VOCABULARY, "É", "é", "##é", "\u00a0", "##\u00a0", "\u200b", "##\u200b")
    check_ids(tokenizer(tuple(dict.fromkeys(vocabulary)), 128), texts, tmp_path)


def _points() -> list[int]:
    """Every assigned character, and a sample of the others, which are the majority."""
    assigned = [point for point in range(1, 0x110000) if unicodedata.category(chr(point)) not in ("Cs", "Co", "Cn")]
    later = [point for point in range(0x20000) if unicodedata.category(chr(point)) == "Cn"]
    return sorted({*assigned, *later, *range(0xE000, 0xF900, 7), *range(0x31350, 0x110000, 97)})


# Characters of one vocabulary, which is made in seconds.
CHUNK = 40_000


@pytest.mark.parametrize("chunk", range(0, len(_points()), CHUNK))
def test_every_character_becomes_the_same_ids(chunk: int, tmp_path: Path) -> None:
    """Each character is a token, at the beginning of a word and within it, so that any change of it shows."""
    points = _points()[chunk : chunk + CHUNK]
    characters = [chr(point) for point in points if chr(point) not in f"\n\r{mediapipe_rules.FORBIDDEN}"]
    vocabulary = dict.fromkeys([*SPECIAL, *"ab", "##b", *characters, *(f"##{character}" for character in characters)])
    texts = [
        " ".join(f"A{chr(point)}b {chr(point)}" for point in points[begin : begin + 200])
        for begin in range(0, len(points), 200)
    ]
    check_ids(tokenizer(tuple(vocabulary), 1024), texts, tmp_path)


def _texts(file: Path) -> list[str]:
    with file.open(encoding="utf-8", newline="") as stream:
        return [row["text"] for row in csv.DictReader(stream)]


@pytest.mark.data
@pytest.mark.parametrize("name", ["sst2", "trec6", "te_emotion", "banking77", "atis"])
@pytest.mark.parametrize("compatible", [True, False])
def test_real_rows_get_the_served_models_labels(name: str, compatible: bool, datasets: Path, tmp_path: Path) -> None:
    """Random weights over a learned vocabulary: any difference in tokens can change the label."""
    config = TokenizerConfig(vocabulary_size=2000, max_length=64, mediapipe_compatible=compatible)
    learned = learn_wordpiece(count_words(_texts(datasets / name / "train.csv"), config), config)
    keras.utils.set_random_seed(3)
    model = build_model(EncoderConfig(num_layers=1, width=16, num_heads=2, bigrams=0), tokenizer=learned, outputs=3)
    for weight in model.trainable_weights:
        weight.assign(weight + np.random.default_rng(3).normal(0, 0.3, weight.shape))
    texts = _texts(datasets / name / "test.csv")
    keras_model = RestoredModel(model, learned, tiny.LABELS, TaskConfig())
    encoded = [text.encode() for text in texts]
    bias = next(weight for weight in model.trainable_weights if weight.shape == (3,))
    # Otherwise all texts would get the same label.
    bias.assign_sub(np.log(keras_model.predict(encoded)["probabilities"]).mean(axis=0))

    manifest = tiny.manifest(lengths=(64,))
    content = convert(model, manifest, tiny.LABELS)
    write_bundle(tmp_path / "b", content, manifest, tokenizer=learned, labels=tiny.LABELS, about=FileDescription(name))

    mediapipe_scores = query(tmp_path / "b" / "model.tflite", texts)
    served = keras_model.predict(encoded)
    labels = np.array([label.decode() for label in served["label"].tolist()])
    assert len(set(labels)) > 1
    agreement = np.mean(np.array(tiny.LABELS.labels)[mediapipe_scores.argmax(axis=1)] == labels)
    assert agreement >= 0.99
    predictions = EdgeClassifier(tmp_path / "b").predict(texts)
    scores = np.array([[each.probabilities[label] for label in tiny.LABELS.labels] for each in predictions])
    differing = (np.abs(scores - mediapipe_scores).max(axis=1) > 1e-4).sum()
    assert differing == 0 or not compatible
    assert differing <= 0.03 * len(texts)
