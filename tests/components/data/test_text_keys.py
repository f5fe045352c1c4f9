"""When two texts count as the same."""

from __future__ import annotations

import json
import sys
import unicodedata
from pathlib import Path

import pytest
import tiny_checkpoints
from hypothesis import given
from hypothesis import strategies as st

from components.data.text_keys import TextReading, load_text_reading, split_key
from models.config import TokenizerConfig
from tflite.host.words import split_words

FLAGS = [(lowercase, strip) for lowercase in (False, True) for strip in (False, True)]
READINGS = [
    *(TextReading("wordpiece", *flags) for flags in FLAGS),
    *(TextReading("sentencepiece", *flags) for flags in FLAGS),
    TextReading("wordpiece", lowercase=True, strip_accents=False, mediapipe_compatible=True),
    TextReading("byte_pair", lowercase=False, strip_accents=False),
]


def test_the_numbers_never_change() -> None:
    """The splits depend on them. From: printf transom | b2sum -l 64, as little-endian numbers."""
    assert split_key("Transom") == TextReading().key("Transom") == 13291741186579194262
    assert split_key("Transom", "O K") == 11035993294766192040
    assert split_key("ＴＲÄNSOM\u200b") == split_key("transom") == 13291741186579194262


def test_texts_that_any_tokenizer_reads_alike_are_in_one_split() -> None:
    """Over Unicode, except for characters that behave alike: ideographs, Hangul, unassigned ones."""
    alike = [range(0x3400, 0xA000), range(0xAC00, 0xF900), range(0x20000, 0x2F800), range(0x2FA20, sys.maxunicode + 1)]
    points = (point for point in range(1, sys.maxunicode + 1) if not any(point in block for block in alike))
    for point in points:
        if unicodedata.category(chr(point)) == "Cn":
            continue
        text = f"a{chr(point)}b"
        side = split_key(text)
        for reading in READINGS:
            if (read := reading.read(text)) != text:
                assert side == split_key(read), (hex(point), reading)


@pytest.mark.parametrize("reading", READINGS, ids=str)
@given(st.text())
def test_different_readings_give_different_keys(reading: TextReading, text: str) -> None:
    if "\0" not in text or not reading.mediapipe_compatible:
        assert split_key(text) == split_key(reading.read(text))
    assert reading.key(text) == reading.key(f" {text}\n") or "\0" in text


@pytest.mark.parametrize("reading", READINGS, ids=str)
@given(st.lists(st.text(st.characters(blacklist_categories=["Cs"]))), st.sampled_from(" \t\n\u00a0\u2003\u2028\u3000"))
def test_reading_word_by_word_equals_reading_the_whole_text(reading: TextReading, words: list[str], space: str) -> None:
    text = space.join(words)
    assert reading.read(text) == reading._read(text)
    assert split_key(text) == split_key("".join(words))


@given(st.text(st.characters(blacklist_categories=["Cs", "Cf", "Cn"])))
def test_texts_that_wordpiece_reads_alike_are_the_same(text: str) -> None:
    """The gate treats texts as the same if the model gets the same words, whatever their spaces and case."""
    words = " ".join(split_words(text, lowercase=True, strip_accents=True))
    assert TextReading().key(words) == TextReading().key(text)


@pytest.mark.parametrize(
    ("one", "other", "lowercase", "strip_accents"),
    [("US", "us", True, False), ("café", "cafe", False, True), ("Straße", "STRASSE", True, False)],
)
def test_case_and_accents_count_where_the_tokenizer_keeps_them(
    one: str, other: str, lowercase: bool, strip_accents: bool
) -> None:
    folding = TextReading("wordpiece", lowercase=lowercase, strip_accents=strip_accents)
    assert folding.key(one) == folding.key(other)
    keeping = TextReading("wordpiece", lowercase=False, strip_accents=False)
    assert keeping.key(one) != keeping.key(other)
    assert split_key(one) == split_key(other)


@pytest.mark.parametrize("reading", READINGS, ids=str)
@pytest.mark.parametrize(
    "spelling",
    [
        "caf\u00e9 one",
        "cafe\u0301  one",
        "café\u00a0one",
        "ca\u00adfé one",
        "\ufeffcafé one\n",
        "café ｏne",
        "café\u200bone",
    ],
)
def test_indistinguishable_texts_are_the_same_for_every_tokenizer(reading: TextReading, spelling: str) -> None:
    assert reading.key(spelling) == reading.key("café one")


def test_different_texts_stay_different() -> None:
    reading = TextReading()
    texts = ["a b", "ab", "b a", "a, b", "a", "", "2 5", "25", "好", "坏"]
    assert len({reading.key(text) for text in texts}) == len(texts)
    assert len({reading.key("a", "b"), reading.key("a b"), reading.key("a b", ""), reading.key("", "a b")}) == 4


def test_mediapipe_folds_only_ascii_and_ends_at_nul() -> None:
    reading = load_text_reading(TokenizerConfig(mediapipe_compatible=True), None)
    assert reading.key("Good") == reading.key("good") == reading.key("good\0bad")
    assert reading.key("É") != reading.key("é")


def test_the_reading_of_a_configuration() -> None:
    assert load_text_reading(TokenizerConfig(lowercase=False), None) == TextReading(lowercase=False)


@pytest.mark.parametrize("cased", [True, False])
def test_a_preset_determines_its_reading(tmp_path: Path, cased: bool) -> None:
    tiny_checkpoints.write(tmp_path, "bert")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": not cased}))
    reading = load_text_reading(TokenizerConfig(lowercase=cased, max_length=4096), str(tmp_path))
    assert reading == TextReading("wordpiece", lowercase=not cased, strip_accents=not cased)
