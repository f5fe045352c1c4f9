"""The linear model's layer: its features by hand, silence in training, its place in the model."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from models.build import build_model
from models.config import EncoderConfig
from models.network import surface as surface_module
from models.network.surface import Surface
from models.network.surface_features import DENSE_FEATURES, Features, pair_features, text_features
from tflite.host.tokenizer import Tokenizer

TOKENIZER = Tokenizer("wordpiece", start_id=1, end_id=2, pad_id=0, unknown_id=3, vocabulary_size=12, max_length=20)
SMALL = EncoderConfig(num_layers=1, width=16, num_heads=2, linear_rows=31)
NO_NUMBERS = np.zeros(12, np.float32)
PAIRS = 97
"""Hashes of two neighbouring tokens; those of the tests differ."""


def batch(*texts: list[int], second: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Token ids, mask and segments of padded texts; tokens from `second` on belong to the second text."""
    length = max(map(len, texts)) + 2
    ids = np.array([text + [0] * (length - len(text)) for text in texts], np.int32)
    mask = (ids > 0).astype(np.int32)
    segments = np.where((np.arange(length) >= second) & (mask > 0), 1, 0) if second else np.zeros_like(ids)
    return ids, mask, segments.astype(np.int32)


def test_texts_have_the_tfidf_of_their_tokens_and_pairs() -> None:
    texts = [[1, 5, 6, 7, 2], [1, 6, 5, 2], [1, 8, 8, 2]]
    words = TfidfVectorizer(ngram_range=(1, 1), token_pattern=r"\S+", vocabulary=[str(n) for n in range(12)])
    idf = np.zeros(12 + 97, np.float32)
    idf[:12] = words.fit([" ".join(map(str, text)) for text in texts]).idf_
    features = text_features(*batch(*texts)[:2], idf, 12)
    rows, values = np.array(features.rows), np.array(features.values)
    assert rows.shape == values.shape == (3, 14)
    for text, row, value in zip(texts, rows, values, strict=True):
        expected = idf[text] / np.sqrt(np.square(idf[text]).sum())
        np.testing.assert_allclose(value[row < 12][: len(text)], expected, rtol=1e-5)
        assert not value[len(text) : 7].any(), "padding"
        assert not value[7:].any(), "pairs that have no weight"
    pairs = {tuple(texts[0][i : i + 2]): rows[0, 7 + i + 1] for i in range(4)}
    assert len(set(pairs.values())) == 4
    assert all(12 <= row < 12 + 97 for row in pairs.values())


def test_padding_changes_no_feature() -> None:
    idf, spelling = np.ones(12 + PAIRS, np.float32), np.eye(12, dtype=np.float32)
    idf[:4] = 0.0
    ids, mask, segments = batch([1, 5, 6, 2, 6, 7, 2], second=4)
    wide = [np.pad(part, [(0, 0), (0, 9)]) for part in (ids, mask, segments)]
    short, long = (pair_features(*given, idf, spelling, NO_NUMBERS) for given in ((ids, mask, segments), wide))
    np.testing.assert_allclose(short.dense, long.dense, rtol=1e-6)
    for row in (0, 1):
        given = [np.array(part.values).reshape(1, 2, -1)[0, row] for part in (short, long)]
        np.testing.assert_allclose(given[0], given[1][: ids.shape[1]], rtol=1e-6)


def _nonzero(features: Features) -> dict[int, float]:
    """The values of the first row's rows of the table."""
    pairs = zip(np.array(features.rows)[0].tolist(), np.array(features.values)[0].tolist(), strict=True)
    return {row: value for row, value in pairs if value}


def test_pairs_tell_shared_tokens_from_others() -> None:
    idf, spelling = np.ones(12 + PAIRS, np.float32), np.eye(12, dtype=np.float32)
    idf[:4] = 0.0
    features = pair_features(*batch([1, 5, 6, 2, 6, 7, 6, 2], second=4), idf, spelling, NO_NUMBERS)
    found = {row: value for row, value in _nonzero(features).items() if row < 2 * 12}
    # 6 is shared and counted once; 5 and 7 are in one text each.
    assert sorted(found) == [6, 12 + 5, 12 + 7]
    np.testing.assert_allclose(list(found.values()), 1 / np.sqrt(3), rtol=1e-4)
    dense = np.array(features.dense)[0]
    assert dense.shape == (DENSE_FEATURES,)
    np.testing.assert_allclose(dense[:3], [1 / 2, 2 / 3, 1 / 2], rtol=1e-4)  # of [5, 6], of [6, 7, 6], the lower
    np.testing.assert_allclose(dense[3:9], 0.0, atol=1e-6)  # no two neighbours are shared


def test_two_neighbours_of_both_texts_are_told_from_those_of_one() -> None:
    idf, spelling = np.ones(12 + PAIRS, np.float32), np.eye(12, dtype=np.float32)
    idf[:4] = 0.0
    # 5 6 is in both texts, twice in the second; only the first has 6 7, only the second 6 5. Nothing spans both.
    given = batch([1, 5, 6, 7, 2, 5, 6, 5, 6, 2], second=5)

    def rows_of_pairs() -> dict[int, float]:
        values = _nonzero(pair_features(*given, idf, spelling, NO_NUMBERS))
        return {row - 2 * 12: value for row, value in values.items() if row >= 2 * 12}

    found = rows_of_pairs()
    shared, first, other = ((left * 9973 + right) % PAIRS for left, right in ((5, 6), (6, 7), (6, 5)))
    assert sorted(found) == sorted([shared, PAIRS + first, PAIRS + other])
    np.testing.assert_allclose(list(found.values()), 1 / np.sqrt(3), rtol=1e-4)
    idf[12 + first] = 0.0  # a pair that training does not have
    assert PAIRS + first not in rows_of_pairs()


def test_equal_texts_cover_each_other() -> None:
    idf, spelling = np.ones(12 + PAIRS, np.float32), np.eye(12, dtype=np.float32)
    idf[:4] = 0.0
    dense = np.array(pair_features(*batch([1, 5, 6, 7, 2, 5, 6, 7, 2], second=5), idf, spelling, NO_NUMBERS).dense)[0]
    np.testing.assert_allclose(dense[:18], 1.0, rtol=1e-3)
    np.testing.assert_allclose(dense[18:22], 0.0, atol=1e-5)  # nothing is left over
    np.testing.assert_allclose(dense[22:25], 1.0, rtol=1e-4)  # both cosines, and the ratio of the lengths


def test_sets_of_tokens_and_numbers_are_compared() -> None:
    idf, spelling, numbers = np.ones(12 + PAIRS, np.float32), np.zeros((12, 4), np.float32), np.zeros(12, np.float32)
    idf[:4], idf[9], numbers[[8, 9]] = 0.0, 2.0, 1.0
    texts = batch([1, 5, 6, 5, 6, 8, 2, 6, 8, 9, 9, 7, 5, 6, 2], second=7)
    dense = np.array(pair_features(*texts, idf, spelling, numbers).dense)[0, 27:]
    # 5, 6 and 8 are shared; only the second text has 7 and the number 9, which weighs 2.
    np.testing.assert_allclose(dense[:4], [3 / 5, *np.log1p([3, 0, 2])], rtol=1e-4)
    # Pairs: 56, 65, 68 against 68, 89, 99, 97, 75, 56.
    np.testing.assert_allclose(dense[4:8], [2 / 7, *np.log1p([2, 1, 4])], rtol=1e-4)
    np.testing.assert_allclose(dense[8:], [3 / 6, 1.0, np.log1p(1)], rtol=1e-4)


def test_an_empty_text_has_finite_features() -> None:
    idf, spelling = np.ones(12 + PAIRS, np.float32), np.zeros((12, 4), np.float32)
    idf[:4] = 0.0
    for given in (batch([1, 2, 2], second=2), batch([1, 5, 2, 2], second=3)):
        features = pair_features(*given, idf, spelling, NO_NUMBERS)
        assert np.isfinite(features.values).all()
        assert np.isfinite(features.dense).all()


def test_it_is_silent_in_training_and_until_it_is_fitted() -> None:
    layer = Surface(3, 12, 31, two_texts=False)
    given = batch([1, 5, 6, 2])
    assert not np.array(layer(*given)).any()
    layer.set_weights_of_rows(np.ones((43, 3)), np.ones(43))
    assert np.array(layer(*given)).any()
    assert not np.array(layer(*given, training=True)).any()
    assert np.array(layer(*given, training=True)).shape == (1, 3)


@pytest.mark.parametrize("two_texts", [False, True])
def test_its_logits_are_added_to_the_encoders(two_texts: bool) -> None:
    keras.utils.set_random_seed(0)
    model = build_model(SMALL, tokenizer=TOKENIZER, outputs=3, two_texts=two_texts)
    ids, mask, segments = batch([1, 5, 6, 2, 6, 7, 2], second=4 if two_texts else 0)
    features = {"token_ids": ids, "padding_mask": mask, "segment_ids": segments}
    before = np.array(model(features))
    layer = model.get_layer("surface")
    layer.bias.assign([1.0, 2.0, 3.0])
    np.testing.assert_allclose(np.array(model(features)) - before, [[1.0, 2.0, 3.0]], rtol=1e-5)
    assert not any(weight.path.startswith("surface") for weight in model.trainable_weights)


def test_many_labels_have_fewer_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surface_module, "MOST_WEIGHTS", 100)
    assert Surface(2, 12, 1000, two_texts=False).pairs == 47
    assert Surface(50, 12, 1000, two_texts=False).pairs == 2
    assert Surface(2, 12, 11, two_texts=False).pairs == 11


def test_it_can_be_left_out() -> None:
    model = build_model(SMALL.model_copy(update={"linear_rows": 0}), tokenizer=TOKENIZER, outputs=2)
    assert "surface" not in [layer.name for layer in model.layers]


@pytest.mark.parametrize(("outputs", "most"), [(201, 10**7), (9, 100)], ids=["labels", "labels times tokens"])
def test_a_table_that_would_be_too_large_is_left_out(outputs: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.build.MOST_TOKEN_WEIGHTS", most)
    model = build_model(SMALL, tokenizer=TOKENIZER, outputs=outputs)
    assert "surface" not in [layer.name for layer in model.layers]
