"""Text to token ids: the golden texts, KerasHub's own ids, pairs, padding, SentencePiece."""

from __future__ import annotations

import dataclasses
import os
import pickle
from typing import Any

import golden_text
import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_sentencepiece import ALBERT, DEBERTA, sentencepiece_tokenizer

from models.errors import PresetError
from models.text.preprocessing import Preprocessor, to_dense
from tflite.host.tokenizer import Tokenizer

SWITCHES = [(True, True), (True, False), (False, True), (False, False)]
GOLDEN = {"token_ids": (True, True), "cased_token_ids": (False, False)}
WORDS = st.sampled_from(
    ["good", "The film", "café", "ﬁlm", "好", "😀", "\u0301", "\u200d", " ", "\x00", "…", "##e", "İ"]
)


def ids(preprocessor: Preprocessor, *texts: list[Any]) -> list[list[int]]:
    """Token ids of the texts, as lists."""
    return preprocessor(*(tf.constant(batch, tf.string) for batch in texts))["token_ids"].to_list()


def keras_hub_preprocessor(tokenizer: Tokenizer) -> Any:
    """KerasHub's own, with the same vocabulary."""
    own = keras_hub.models.BertTokenizer(
        vocabulary=list(tokenizer.vocabulary), lowercase=tokenizer.lowercase, strip_accents=tokenizer.strip_accents
    )
    return keras_hub.models.BertTextClassifierPreprocessor(own, sequence_length=tokenizer.max_length)


def dense(preprocessor: Preprocessor, *texts: list[Any]) -> dict[str, np.ndarray]:
    """What KerasHub returns, from Transom's output: every row padded to `max_length`."""
    ragged = preprocessor(*(tf.constant(batch, tf.string) for batch in texts))
    padded = to_dense(ragged, preprocessor.tokenizer.pad_id, preprocessor.tokenizer.max_length)
    return {name: value.numpy() for name, value in padded.items()}


def assert_same(got: dict[str, np.ndarray], wanted: dict[str, Any]) -> None:
    for name, value in wanted.items():
        np.testing.assert_array_equal(got[name], np.asarray(value).astype(np.int32), err_msg=name)


@pytest.mark.parametrize("column", GOLDEN)
def test_golden_texts_eagerly_and_in_tf_data(column: str) -> None:
    lowercase, strip_accents = GOLDEN[column]
    preprocessor = Preprocessor(golden_text.tokenizer(lowercase=lowercase, strip_accents=strip_accents))
    rows = golden_text.rows()
    eager = ids(preprocessor, [row["bytes"] for row in rows])
    dataset = tf.data.Dataset.from_tensor_slices([row["bytes"] for row in rows]).batch(7).map(preprocessor)
    assert [row for batch in dataset for row in batch["token_ids"].to_list()] == eager
    if os.environ.get("UPDATE_GOLDEN"):
        known = {row["name"]: {key: row.get(key, []) for key in GOLDEN} for row in rows}
        golden_text.rewrite({n: {**known[n], column: found} for n, found in zip(known, eager, strict=True)})
    assert eager == [row[column] for row in golden_text.rows()]


@pytest.mark.parametrize(("lowercase", "strip_accents"), SWITCHES)
def test_same_ids_as_keras_hub(lowercase: bool, strip_accents: bool) -> None:
    tokenizer = golden_text.tokenizer(lowercase=lowercase, strip_accents=strip_accents)
    texts = [row["bytes"].decode("utf-8") for row in golden_text.rows() if "hex" not in row]
    assert_same(dense(Preprocessor(tokenizer), texts), keras_hub_preprocessor(tokenizer)(texts))


def test_bytes_that_are_not_utf8_are_read_as_python_replaces_them() -> None:
    tokenizer = golden_text.tokenizer()
    broken = [row["bytes"] for row in golden_text.rows() if "hex" in row]
    theirs = keras_hub_preprocessor(tokenizer)
    with pytest.raises(RuntimeError, match="utf-8"):
        theirs(tf.constant(broken))
    replaced = [text.decode("utf-8", errors="replace") for text in broken]
    assert_same(dense(Preprocessor(tokenizer), broken), theirs(replaced))


@pytest.mark.parametrize("max_length", [4, 5, 6, 7, 12, 32])
def test_pairs_are_trimmed_in_turn_as_keras_hub_does(max_length: int) -> None:
    tokenizer = golden_text.tokenizer(max_length=max_length)
    lengths = [0, 1, 2, 3, 5, 9, 40]
    first = ["a " * n for n in lengths for _ in lengths]
    second = ["b " * n for _ in lengths for n in lengths]
    theirs = keras_hub_preprocessor(tokenizer)(x=(first, second))
    assert_same(dense(Preprocessor(tokenizer), first, second), theirs)


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.lists(WORDS | st.text(st.characters(exclude_categories=("Cs", "Cn"))), max_size=6), max_size=6)
)
def test_any_text_has_the_ids_of_keras_hub(texts: list[list[str]], preprocessors: tuple[Preprocessor, Any]) -> None:
    ours, theirs = preprocessors
    joined = ["good", *("".join(parts) for parts in texts)]
    assert_same(dense(ours, joined), theirs(joined))


@pytest.fixture(scope="module")
def preprocessors() -> tuple[Preprocessor, Any]:
    tokenizer = golden_text.tokenizer()
    return Preprocessor(tokenizer), keras_hub_preprocessor(tokenizer)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.binary(max_size=40), max_size=6))
def test_any_bytes_have_ids(texts: list[bytes], preprocessors: tuple[Preprocessor, Any]) -> None:
    found = ids(preprocessors[0], texts)
    assert len(found) == len(texts)
    assert all(row[0] == 2 and row[-1] == 3 and len(row) <= golden_text.MAX_LENGTH for row in found)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.binary(max_size=40) | st.text(max_size=20).map(str.encode), max_size=6))
def test_recurring_words_are_cut_once_with_the_same_ids(
    texts: list[bytes], once_per_word: dict[bool, tuple[Preprocessor, Preprocessor]]
) -> None:
    given = tf.constant([*texts, *texts, b"good  film\0bad\tcaf\xc3 \xa9"], tf.string)
    for plain, quick in once_per_word.values():
        expected, found = plain(given), quick(given)
        assert found["token_ids"].to_list() == expected["token_ids"].to_list()
        assert found["segment_ids"].to_list() == expected["segment_ids"].to_list()


@pytest.fixture(scope="module")
def once_per_word() -> dict[bool, tuple[Preprocessor, Preprocessor]]:
    """By mediapipe_compatible: a preprocessor, and one for recurring words."""
    tokenizer = golden_text.tokenizer()
    made = {mediapipe: dataclasses.replace(tokenizer, mediapipe_compatible=mediapipe) for mediapipe in (False, True)}
    return {key: (Preprocessor(one), Preprocessor(one, words_recur=True)) for key, one in made.items()}


@pytest.mark.parametrize("texts", [1, 2])
def test_no_rows(texts: int) -> None:
    ragged = Preprocessor(golden_text.tokenizer())(*[tf.zeros([0], tf.string)] * texts)
    assert ragged["token_ids"].to_list() == ragged["segment_ids"].to_list() == []
    assert [value.shape[0] for value in to_dense(ragged, 0).values()] == [0, 0, 0]
    assert to_dense(ragged, 0, 8)["token_ids"].shape == (0, 8)


def test_pads_to_the_longest_row_or_to_a_given_length() -> None:
    ragged = Preprocessor(golden_text.tokenizer())(tf.constant(["good film", "bad"]), tf.constant(["", "good"]))
    longest = to_dense(ragged, pad_id=9)
    good, film, bad = (golden_text.VOCABULARY.index(word) for word in ("good", "film", "bad"))
    assert longest["token_ids"].numpy().tolist() == [[2, good, film, 3, 3], [2, bad, 3, good, 3]]
    assert longest["segment_ids"].numpy().tolist() == [[0, 0, 0, 0, 1], [0, 0, 0, 1, 1]]
    short = to_dense({name: rows[:, :4] for name, rows in ragged.items()}, pad_id=9, length=6)
    assert short["token_ids"].numpy().tolist() == [[2, good, film, 3, 9, 9], [2, bad, 3, good, 9, 9]]
    assert short["padding_mask"].numpy().tolist() == [[1, 1, 1, 1, 0, 0]] * 2
    assert {value.dtype for value in short.values()} == {tf.int32}
    assert to_dense(ragged, pad_id=9, length=2)["padding_mask"].numpy().tolist() == [[1, 1]] * 2


def test_is_pickled_with_its_tokenizer_alone() -> None:
    preprocessor = Preprocessor(golden_text.tokenizer())
    wanted = ids(preprocessor, ["good film"])
    assert ids(pickle.loads(pickle.dumps(preprocessor)), ["good film"]) == wanted


@pytest.mark.slow_variants
@pytest.mark.parametrize("family", ["Albert", "DebertaV3"])
def test_sentencepiece_has_the_ids_of_keras_hub(family: str) -> None:
    tokenizer = sentencepiece_tokenizer("unigram", ALBERT if family == "Albert" else DEBERTA)
    own = getattr(keras_hub.models, f"{family}Tokenizer")(proto=tokenizer.sentencepiece_model)
    theirs = getattr(keras_hub.models, f"{family}TextClassifierPreprocessor")(own, sequence_length=24)
    texts = [row["bytes"].decode("utf-8") for row in golden_text.rows() if "hex" not in row]
    assert_same(dense(Preprocessor(tokenizer), texts), theirs(tf.constant(texts)))
    pair = texts[::-1]
    assert_same(dense(Preprocessor(tokenizer), texts, pair), theirs(x=(tf.constant(texts), tf.constant(pair))))
    broken = [row["bytes"] for row in golden_text.rows() if "hex" in row]
    replaced = [text.decode("utf-8", errors="replace") for text in broken]
    assert ids(Preprocessor(tokenizer), broken) == ids(Preprocessor(tokenizer), replaced)
    assert ids(Preprocessor(tokenizer), []) == []


def test_an_uncased_sentencepiece_checkpoint_folds_case_and_accents() -> None:
    cased = sentencepiece_tokenizer("unigram", ALBERT)
    uncased = dataclasses.replace(cased, lowercase=True, strip_accents=True)
    assert ids(Preprocessor(uncased), ["GOOD Café film"]) == ids(Preprocessor(cased), ["good cafe film"])
    assert ids(Preprocessor(cased), ["GOOD Café film"]) != ids(Preprocessor(cased), ["good cafe film"])


def test_refuses_sentencepiece_of_another_type() -> None:
    with pytest.raises(PresetError, match="not of type unigram"):
        Preprocessor(sentencepiece_tokenizer("bpe", ALBERT))


def test_one_huge_text_takes_no_room_in_the_rows_beside_it() -> None:
    """A mask over all rows, as long as the longest, would have 40,000 times 200,000 elements."""
    preprocessor = Preprocessor(golden_text.tokenizer(), words_recur=True)
    found = preprocessor(tf.constant(["good film"] * 40_000 + ["good " * 200_000]))["token_ids"]
    assert found.row_lengths().numpy().tolist() == [4] * 40_000 + [golden_text.MAX_LENGTH]
