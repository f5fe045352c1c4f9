"""Words in Python are the graph's words: over all of Unicode, and over texts that mix it."""

from __future__ import annotations

import unicodedata

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from models.text import preprocessing
from tflite.host.words import split_words, valid_text

SWITCHES = [(lowercase, strip_accents) for lowercase in (True, False) for strip_accents in (True, False)]


def graph_words(texts: list[bytes], lowercase: bool, strip_accents: bool) -> list[list[str]]:
    found = preprocessing.split_words(tf.constant(texts), lowercase=lowercase, strip_accents=strip_accents)
    return [[word.decode("utf-8") for word in row] for row in found.to_list()]


@pytest.mark.slow
@pytest.mark.parametrize(("lowercase", "strip_accents"), SWITCHES)
def test_every_character_within_a_word(lowercase: bool, strip_accents: bool) -> None:
    texts = [f"a{chr(point)}b" for point in range(0x110000) if not 0xD800 <= point <= 0xDFFF]
    # Most characters are unassigned even in the graph's Unicode; a sample shows that they are unchanged.
    texts = [text for text in texts if unicodedata.category(text[1]) not in ("Co", "Cn") or ord(text[1]) % 3 == 0]
    wanted = graph_words([text.encode() for text in texts], lowercase, strip_accents)
    found = [list(split_words(text, lowercase=lowercase, strip_accents=strip_accents)) for text in texts]
    assert [pair for pair in zip(texts, found, wanted, strict=True) if pair[1] != pair[2]] == []


def test_every_character_as_mediapipe() -> None:
    texts = [f"A{chr(point)}b {chr(point)}" for point in range(0x20000) if not 0xD800 <= point <= 0xDFFF]
    found = [list(split_words(text, lowercase=True, strip_accents=False, mediapipe_compatible=True)) for text in texts]
    in_graph = preprocessing.split_words(
        tf.constant([text.encode() for text in texts]), lowercase=True, strip_accents=False, mediapipe_compatible=True
    )
    assert found == [[word.decode("utf-8") for word in row] for row in in_graph.to_list()]


# ICU reorders marks that were added after Unicode 14, and Python does not: these texts have none.
known = st.characters(exclude_categories=("Cs", "Cn"))
latin = st.characters(min_codepoint=0xC0, max_codepoint=0x24F)
marks = st.characters(min_codepoint=0x300, max_codepoint=0x36F)
dense = st.sampled_from("ab .,'-\t\n\0 ​­…Ⅷﬁßİıςσ한국漢電")


@pytest.mark.parametrize(("lowercase", "strip_accents"), SWITCHES)
@settings(max_examples=30, deadline=None)
@given(texts=st.lists(st.text(st.one_of(dense, latin, marks, known), max_size=30), min_size=20, max_size=60))
def test_any_text(texts: list[str], lowercase: bool, strip_accents: bool) -> None:
    wanted = graph_words([text.encode() for text in texts], lowercase, strip_accents)
    found = [list(split_words(text, lowercase=lowercase, strip_accents=strip_accents)) for text in texts]
    assert found == wanted


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(st.binary(max_size=30), min_size=1, max_size=20))
def test_any_bytes(texts: list[bytes]) -> None:
    wanted = [text.decode("utf-8") for text in preprocessing.valid_utf8(tf.constant(texts)).numpy()]
    assert [valid_text(text) for text in texts] == wanted


def test_half_a_surrogate_pair_is_not_an_error() -> None:
    assert valid_text("a\ud83db") == "a\ufffd\ufffd\ufffdb"
