"""Token ids without TensorFlow equal those of the graph: golden texts, pairs, every family of vocabularies."""

from __future__ import annotations

import builtins
import dataclasses
import time
from typing import Any

import golden_text
import pytest
import tensorflow as tf
import tiny_byte_pairs
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_sentencepiece import ALBERT, DEBERTA, sentencepiece_tokenizer

from models.errors import ModelError
from models.text.preprocessing import Preprocessor
from tflite.host.host_tokenizer import HostTokenizer
from tflite.host.tokenizer import Tokenizer

TEXTS = [row["bytes"] for row in golden_text.rows()]
TOKENIZERS = {
    "uncased": lambda: golden_text.tokenizer(),
    "cased": lambda: golden_text.tokenizer(lowercase=False, strip_accents=False),
    "as MediaPipe": lambda: dataclasses.replace(
        golden_text.tokenizer(), strip_accents=False, mediapipe_compatible=True
    ),
    "byte pairs": lambda: tiny_byte_pairs.tokenizer(),
    "byte pairs after a space": lambda: tiny_byte_pairs.tokenizer(add_prefix_space=True),
    "unigram of ALBERT": lambda: sentencepiece_tokenizer("unigram", ALBERT),
    "unigram of DeBERTa": lambda: sentencepiece_tokenizer("unigram", DEBERTA),
    "uncased unigram": lambda: dataclasses.replace(
        sentencepiece_tokenizer("unigram", ALBERT), lowercase=True, strip_accents=True
    ),
}


@pytest.fixture(scope="module", params=TOKENIZERS)
def both(request: pytest.FixtureRequest) -> tuple[HostTokenizer, Preprocessor]:
    tokenizer = TOKENIZERS[request.param]()
    return HostTokenizer(tokenizer), Preprocessor(tokenizer)


def in_graph(preprocessor: Preprocessor, *texts: list[Any]) -> list[tuple[list[int], list[int]]]:
    found = preprocessor(*(tf.constant(each, tf.string) for each in texts))
    return list(zip(found["token_ids"].to_list(), found["segment_ids"].to_list(), strict=True))


def test_golden_texts(both: tuple[HostTokenizer, Preprocessor]) -> None:
    assert [both[0](text) for text in TEXTS] == in_graph(both[1], TEXTS)


def test_golden_pairs(both: tuple[HostTokenizer, Preprocessor]) -> None:
    others = TEXTS[::-1]
    assert list(map(both[0], TEXTS, others)) == in_graph(both[1], TEXTS, others)


@pytest.mark.parametrize("column", ["token_ids", "cased_token_ids"])
def test_the_golden_file(column: str) -> None:
    uncased = column == "token_ids"
    host = HostTokenizer(golden_text.tokenizer(lowercase=uncased, strip_accents=uncased))
    assert [host(row["bytes"])[0] for row in golden_text.rows()] == [row[column] for row in golden_text.rows()]


# Characters that Python's Unicode knows; for the others see `tflite/host/unicode_newer.py`.
pieces = st.one_of(
    st.sampled_from(
        ["good", "film", "##ly", "'s", "'re", "'", " ", "  ", "\n", "\x1c", "a1", "é", "好", "[SEP]", "</s>"]
    ),
    st.text(st.characters(exclude_categories=("Cs", "Cn")), max_size=3),
)


@settings(max_examples=25, deadline=None)
@given(texts=st.lists(st.lists(pieces, max_size=12).map("".join), min_size=20, max_size=40))
def test_any_text(both: tuple[HostTokenizer, Preprocessor], texts: list[str]) -> None:
    assert [both[0](text) for text in texts] == in_graph(both[1], texts)


@pytest.mark.parametrize("max_length", [4, 5, 6, 7, 12])
@pytest.mark.parametrize("family", ["uncased", "byte pairs"])
def test_pairs_are_cut_as_in_the_graph(family: str, max_length: int) -> None:
    tokenizer = dataclasses.replace(TOKENIZERS[family](), max_length=max_length)
    lengths = [0, 1, 2, 3, 5, 9, 40]
    first, second = ["a1" * n for n in lengths for _ in lengths], ["b2" * n for _ in lengths for n in lengths]
    host, preprocessor = HostTokenizer(tokenizer), Preprocessor(tokenizer)
    assert list(map(host, first, second)) == in_graph(preprocessor, first, second)
    assert list(map(host, first)) == in_graph(preprocessor, first)


@pytest.mark.parametrize("character", ["a", "é", "好", "😀"])
def test_long_words_are_cut_or_unknown_as_in_the_graph(character: str) -> None:
    for tokenizer in (golden_text.tokenizer(max_length=400), tiny_byte_pairs.tokenizer(max_length=400)):
        texts = [character * count for count in (24, 25, 33, 34, 50, 51, 63, 64, 65, 99, 100, 101, 128, 256, 257, 600)]
        assert [HostTokenizer(tokenizer)(text) for text in texts] == in_graph(Preprocessor(tokenizer), texts)


def test_a_byte_that_the_vocabulary_lacks_is_unknown() -> None:
    whole = tiny_byte_pairs.tokenizer(merges=0)
    tokenizer = dataclasses.replace(whole, vocabulary=(*tiny_byte_pairs.SPECIAL, *"abc"))
    assert HostTokenizer(tokenizer)("abxé")[0][1:-1] == [4, 5, 3, 3, 3]


def test_a_megabyte_is_fast(both: tuple[HostTokenizer, Preprocessor]) -> None:
    began = time.perf_counter()
    for text in ("good film. " * 100_000, "x" * 1_000_000, "'" * 1_000_000, "好" * 300_000, " " * 1_000_000):
        assert len(both[0](text)[0]) <= both[0].tokenizer.max_length
    assert time.perf_counter() - began < 20


def test_sentencepiece_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer: Tokenizer = TOKENIZERS["unigram of ALBERT"]()
    real = builtins.__import__

    def absent(name: str, *arguments: Any, **more: Any) -> Any:
        if name == "sentencepiece":
            raise ImportError(name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ModelError, match="pip install sentencepiece"):
        HostTokenizer(tokenizer)
