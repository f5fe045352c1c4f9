"""Learned vocabularies: counts, size, determinism, and that the training text is read without unknown tokens."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from models.config import TokenizerConfig
from models.errors import DataError
from models.text.preprocessing import Preprocessor
from models.text.vocabulary_training import SPECIAL_TOKENS, count_words, learn_wordpiece
from tflite.host.tokenizer import Tokenizer
from tflite.host.words import split_words

SMALL = TokenizerConfig(vocabulary_size=64)
TEXTS = ["The films were good, the film was bad.", "Bad film! Good films...", "un film très bon; 好电影", "b\x00c café"]


def test_counts_words_as_the_tokenizer_splits_them() -> None:
    counts = count_words([*TEXTS, b"caf\xe9"], SMALL)
    assert counts["film"] == 3
    assert counts["films"] == counts["good"] == counts["bad"] == counts["the"] == 2
    assert counts["."] == 4
    assert (counts["好"], counts["cafe"], counts["caf\ufffd"], counts["b"], counts["tres"]) == (1, 1, 1, 1, 1)
    assert "" not in counts


def test_counts_heed_the_switches_and_take_tensors() -> None:
    cased = TokenizerConfig(lowercase=False, strip_accents=False)
    assert count_words(["The très The"], cased) == {"The": 2, "très": 1}
    assert count_words([], cased) == {}


def test_counts_and_learns_as_mediapipe_splits() -> None:
    config = TokenizerConfig(vocabulary_size=64, mediapipe_compatible=True)
    counts = count_words(["Ünï Café\u200b CAFÉ \x11 a\x11", "b\0c"], config)
    assert counts == {"Ünï": 1, "café\u200b": 1, "cafÉ": 1, "\x11": 1, "a\x11": 1, "b": 1}
    learned = learn_wordpiece(counts, config)
    assert learned.mediapipe_compatible
    assert not any("\x11" in token for token in learned.vocabulary)  # tensorflow_text would crash
    ids = Preprocessor(learned)(tf.constant(["a\x11 \x11 Ünï"]))["token_ids"].to_list()[0]
    assert ids[1:3] == [1, 1]
    assert 1 not in ids[3:]


def test_a_tokenizer_is_saved_with_it_and_read_without(tmp_path: Path) -> None:
    learned = learn_wordpiece({"a": 9}, TokenizerConfig(vocabulary_size=64, mediapipe_compatible=True))
    learned.save(tmp_path)
    assert Tokenizer.load(tmp_path) == learned
    file = tmp_path / "tokenizer.json"
    older = {key: value for key, value in json.loads(file.read_text()).items() if key != "mediapipe_compatible"}
    file.write_text(json.dumps(older))
    assert not Tokenizer.load(tmp_path).mediapipe_compatible


def test_counts_of_batches_add_up() -> None:
    assert count_words(TEXTS[:2], SMALL) + count_words(TEXTS[2:], SMALL) == count_words(TEXTS, SMALL)


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text(max_size=20) | st.sampled_from(["a  b", "e\u0301 \u0301e", "a\x0bb\tc", "x\0y z", " "])),
    switches=st.fixed_dictionaries(
        {key: st.booleans() for key in ("lowercase", "strip_accents", "mediapipe_compatible")}
    ),
)
def test_any_texts_have_the_counts_of_their_words(texts: list[str], switches: dict[str, bool]) -> None:
    encoded = [text.encode("utf-8", errors="replace") for text in texts]
    expected = Counter(word for text in encoded for word in split_words(text, **switches))
    config = TokenizerConfig.model_construct(**{**TokenizerConfig().model_dump(), **switches})
    assert count_words([*encoded, *encoded], config) == {word: 2 * count for word, count in expected.items()}


def test_learns_special_tokens_then_characters_then_pieces() -> None:
    learned = learn_wordpiece(count_words(TEXTS * 3, SMALL), TokenizerConfig(vocabulary_size=200, max_length=16))
    assert learned.vocabulary[:5] == SPECIAL_TOKENS
    ids = (learned.pad_id, learned.unknown_id, learned.start_id, learned.end_id)
    assert [learned.vocabulary[index] for index in ids] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    assert learned.vocabulary_size == len(learned.vocabulary) == len(set(learned.vocabulary))
    assert learned.max_length == 16
    assert {"film", "good", "bad", "the", "好", "##s", "."} <= set(learned.vocabulary)
    assert 1 not in Preprocessor(learned)(tf.constant(TEXTS))["token_ids"].flat_values.numpy()


@pytest.mark.parametrize(("words", "kept"), [(50_000, 5), (29_999, 2), (300, 1)])
def test_a_piece_must_occur_the_more_often_the_longer_the_text_is(words: int, kept: int) -> None:
    counts = {"seldom": kept - 1, "often": kept, "x": words - 2 * kept + 1}
    learned = learn_wordpiece(counts, TokenizerConfig(vocabulary_size=200))
    assert "often" in learned.vocabulary
    assert not [token for token in learned.vocabulary[5:] if len(token.removeprefix("##")) > 1 and token in "seldom"]


@settings(max_examples=40, deadline=None)
@given(texts=st.lists(st.text(max_size=40), min_size=1), size=st.integers(32, 90))
def test_any_text_gives_a_vocabulary_within_the_size(texts: list[str], size: int) -> None:
    config = TokenizerConfig(vocabulary_size=size)
    counts = count_words([text.encode("utf-8", errors="replace") for text in texts], config)
    if not counts:
        with pytest.raises(DataError, match="no words"):
            learn_wordpiece(counts, config)
        return
    learned = learn_wordpiece(counts, config)
    assert len(set(learned.vocabulary)) == learned.vocabulary_size <= size
    assert all(token == token.strip() != "" for token in learned.vocabulary)
    assert learn_wordpiece(dict(reversed(list(counts.items()))), config) == learned


def test_the_most_frequent_characters_stay_where_not_all_fit() -> None:
    counts = {chr(0x4E00 + rank): 1000 - rank for rank in range(500)}
    learned = learn_wordpiece(counts, TokenizerConfig(vocabulary_size=100))
    assert learned.vocabulary[5:] == tuple(chr(0x4E00 + rank) for rank in range(95))


def test_words_that_the_learner_cannot_hold_do_not_stop_it(tmp_path: Path) -> None:
    counts = {"a" * 101: 5, "a\u00a0b": 5, "\u2581x": 5, "y\u2585": 5, "##": 2, "good": 9, "🙂🙂": 5, "gone": 0}
    learned = learn_wordpiece(counts, TokenizerConfig(vocabulary_size=100))
    assert {"good", "🙂🙂", "##x", "\u2581"} <= set(learned.vocabulary)
    assert not {"o\u00a0b", "##\u00a0"} & set(learned.vocabulary)
    learned.save(tmp_path)
    assert Tokenizer.load(tmp_path) == learned


@pytest.mark.slow
def test_another_process_learns_the_same() -> None:
    script = (
        "import hashlib\nfrom models.config import TokenizerConfig\n"
        "from models.text.vocabulary_training import learn_wordpiece\n"
        "counts = {f'{a}{b}{c}': 1 + (i * 7) % 5 for i, (a, b, c) in enumerate("
        "(a, b, c) for a in 'abcdefgh' for b in 'ijklmnop' for c in ('', 'qu', 'rst', 'uvwx'))}\n"
        "learned = learn_wordpiece(counts, TokenizerConfig(vocabulary_size=120))\n"
        "print(hashlib.sha256(repr(learned).encode()).hexdigest())"
    )
    root = Path(__file__).parents[3]
    runs = [
        subprocess.run([sys.executable, "-c", script], cwd=root, env={"PYTHONHASHSEED": seed}, capture_output=True)
        for seed in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout != b"", runs[0].stderr.decode()[-500:]


@pytest.mark.data
@pytest.mark.parametrize(("name", "most_unknown"), [("sst2", 1e-4), ("chnsenticorp", 1e-4)])
def test_few_words_of_real_text_are_unknown(datasets: Path, name: str, most_unknown: float) -> None:
    with (datasets / name / "train.csv").open(encoding="utf-8", newline="") as table:
        texts = [row["text"] for row in csv.DictReader(table)]
    config = TokenizerConfig()
    counts: Counter[str] = Counter()
    for begin in range(0, len(texts), 512):
        counts.update(count_words(texts[begin : begin + 512], config))
    learned = learn_wordpiece(counts, config)
    assert learned.vocabulary_size <= config.vocabulary_size
    ids = Preprocessor(learned)(tf.constant(texts))["token_ids"].flat_values.numpy()
    assert (ids == learned.unknown_id).mean() <= most_unknown
