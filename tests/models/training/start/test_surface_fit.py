"""The linear model learns what it can, and does not show the encoder its own rows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from sentencepiece import SentencePieceProcessor
from tiny_sentencepiece import ALBERT, sentencepiece_tokenizer

from models.config import TaskConfig
from models.network.surface import SPELLING_SIZE, Surface
from models.training.batches import Batches
from models.training.start import surface_fit
from models.training.start.surface_fit import fit_surface, surface_logits
from models.training.token_rows import TokenRows
from tflite.host.labels import LabelSpace
from tflite.host.tokenizer import Tokenizer

VOCABULARY = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", *(f"w{n}" for n in range(36)))
TOKENIZER = Tokenizer(
    "wordpiece", start_id=1, end_id=2, pad_id=0, unknown_id=3, vocabulary_size=40, vocabulary=VOCABULARY, max_length=20
)


def texts(count: int, seed: int = 0) -> list[list[int]]:
    source = np.random.default_rng(seed)
    return [[1, *source.integers(4, 40, 6).tolist(), 2] for _ in range(count)]


def fitted(
    ids: list[list[int]], targets: np.ndarray, task: str = "single_label", segments: list[list[int]] | None = None
) -> tuple[Surface, np.ndarray, TokenRows]:
    rows = TokenRows.from_lists(ids, targets, segments)
    if task == "regression":
        labels = LabelSpace(rows=len(rows), mean=float(targets.mean()), std=float(targets.std()) or 1.0)
    else:
        outputs = targets.shape[1] if task == "multi_label" else int(targets.max()) + 1
        labels = LabelSpace(tuple(map(str, range(outputs))), (1,) * outputs, len(rows))
    layer = Surface(labels.outputs, 40, 97, two_texts=segments is not None)
    layer.build()
    options = {"task": TaskConfig(type=task), "labels": labels, "tokenizer": TOKENIZER}
    unseen = fit_surface(layer, rows, label_weights=np.ones(labels.outputs), stacked=True, **options)
    assert unseen is not None
    return layer, unseen, rows


def logits(layer: Surface, rows: TokenRows) -> np.ndarray:
    batch = Batches(rows, (20,), len(rows), pad_id=0).make_batch(np.arange(len(rows)))
    return np.array(layer(*(batch.features[name] for name in ("token_ids", "padding_mask", "segment_ids"))))


def test_a_word_that_decides_is_learned_and_generalizes() -> None:
    ids = texts(300)
    layer, unseen, _ = fitted(ids, np.array([int(9 in row) for row in ids], np.int32))
    others = texts(200, seed=1)
    expected = np.array([9 in row for row in others])
    assert (logits(layer, TokenRows.from_lists(others, expected.astype(np.int32))).argmax(1) == expected).mean() > 0.97
    assert (unseen.argmax(1) == [9 in row for row in ids]).mean() > 0.95


def test_random_labels_are_not_known_in_advance() -> None:
    """In training, the encoder must see what the linear model would say of a row that it has not seen."""
    ids = texts(400)
    labels = np.random.default_rng(7).integers(0, 2, 400).astype(np.int32)
    layer, unseen, rows = fitted(ids, labels)
    assert (logits(layer, rows).argmax(1) == labels).mean() > 0.7, "its own rows"
    assert abs((unseen.argmax(1) == labels).mean() - 0.5) < 0.1


def test_copies_of_a_row_do_not_give_its_label_away() -> None:
    ids = texts(300) * 2
    labels = np.tile(np.random.default_rng(7).integers(0, 2, 300), 2).astype(np.int32)
    _, unseen, _ = fitted(ids, labels)
    assert abs((unseen.argmax(1) == labels).mean() - 0.5) < 0.15


def test_texts_without_a_known_token_end_no_training() -> None:
    empty, segments = [[1, 3, 2, 3, 3, 2]] * 20, [[0, 0, 0, 1, 1, 1]] * 20
    labels = np.arange(20, dtype=np.int32) % 2
    several = np.stack([labels, 1 - labels], axis=1).astype(np.float32)
    for parts in (None, segments):
        for targets, task in ((labels, "single_label"), (several, "multi_label"), (labels * 1.5, "regression")):
            layer, unseen, rows = fitted(empty, targets, task, parts)
            assert np.isfinite(unseen).all()
            assert np.isfinite(logits(layer, rows)).all()


def test_many_labels_and_numbers() -> None:
    ids = texts(300)
    targets = np.array([[9 in row, 11 in row, False] for row in ids], np.float32)
    layer, unseen, rows = fitted(ids, targets, "multi_label")
    assert ((logits(layer, rows) > 0) == (targets > 0)).mean() > 0.98
    assert (unseen[:, 2] < -4).all(), "a label that no row has"
    numbers = np.array([100.0 + 7.0 * row.count(9) - 3.0 * row.count(5) for row in ids], np.float32)
    layer, unseen, rows = fitted(ids, numbers, "regression")
    standardized = (numbers - numbers.mean()) / numbers.std()
    assert np.corrcoef(logits(layer, rows)[:, 0], standardized)[0, 1] > 0.95
    assert np.corrcoef(unseen[:, 0], standardized)[0, 1] > 0.8


def test_two_texts_are_compared() -> None:
    source = np.random.default_rng(3)
    ids, segments, numbers = [], [], []
    for _ in range(300):
        first = source.integers(4, 40, 5).tolist()
        shared = int(source.integers(0, 6))
        second = first[:shared] + source.integers(4, 40, 5 - shared).tolist()
        ids.append([1, *first, 2, *second, 2])
        segments.append([0] * 7 + [1] * 6)
        numbers.append(shared)
    layer, unseen, rows = fitted(ids, np.array(numbers, np.float32), "regression", segments)
    assert np.corrcoef(unseen[:, 0], numbers)[0, 1] > 0.9
    assert np.corrcoef(logits(layer, rows)[:, 0], numbers)[0, 1] > 0.9


def test_the_neighbours_that_two_texts_share_decide() -> None:
    """Both texts have the same tokens; only where they have 5 6 beside each other, the label is 1."""
    source = np.random.default_rng(3)

    def pairs(count: int) -> tuple[list[list[int]], np.ndarray, list[list[int]]]:
        labels = source.integers(0, 2, count).astype(np.int32)
        ids = []
        for label in labels:
            first = [[5, 6], *([int(t)] for t in source.permutation(np.arange(7, 20))[:3])]
            others = [[5], [6]] if not label else [[5, 6]]
            order = [
                [t for k in source.permutation(len(part)) for t in part[k]] for part in (first, others + first[1:])
            ]
            ids.append([1, *order[0], 2, *order[1], 2])
        segments = [[0] * (row.index(2) + 1) + [1] * (len(row) - row.index(2) - 1) for row in ids]
        return ids, labels, segments

    ids, labels, segments = pairs(400)
    layer, _, _ = fitted(ids, labels, segments=segments)
    weights = np.array(layer.table)[2 * 40 :]
    assert np.abs(weights).max() > 0.1, "the rows of pairs are used"
    more, expected, sides = pairs(200)
    found = logits(layer, TokenRows.from_lists(more, expected, sides)).argmax(1)
    together = np.array([any(a == 5 and b == 6 for a, b in pairwise(row[row.index(2) :])) for row in more])
    assert (found == together).mean() > 0.9


def test_every_family_of_tokenizers_has_spellings() -> None:
    """Tokens that begin alike are alike; a token that begins a word is not like one within a word."""
    tokenizer = sentencepiece_tokenizer("unigram", ALBERT)
    pieces = SentencePieceProcessor(model_proto=tokenizer.sentencepiece_model)
    vectors = surface_fit._spelling(tokenizer, list(tokenizer.special_ids))
    assert vectors.shape == (tokenizer.vocabulary_size, SPELLING_SIZE)
    known = np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(np.delete(known, tokenizer.special_ids), 1.0, atol=1e-5)
    assert not known[list(tokenizer.special_ids)].any()
    begins = {pieces.id_to_piece(index): index for index in range(tokenizer.vocabulary_size)}
    pairs = [(begins[f"\u2581{piece}"], index) for piece, index in begins.items() if f"\u2581{piece}" in begins]
    assert pairs
    assert all(vectors[one] @ vectors[other] < 0.999 for one, other in pairs)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_few_rows_or_one_label_end_no_training(count: int) -> None:
    for labels in (np.zeros(count, np.int32), np.arange(count, dtype=np.int32) % 2):
        layer, unseen, rows = fitted(texts(count), labels)
        assert np.isfinite(unseen).all()
        assert np.isfinite(logits(layer, rows)).all()
    layer, unseen, rows = fitted(texts(count), np.full(count, 2.5, np.float32), "regression")
    assert np.isfinite(unseen).all()


def test_a_large_table_is_sampled_and_every_row_has_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surface_fit, "MOST_ROWS", 200)
    ids = texts(700)
    labels = np.array([int(9 in row) for row in ids], np.int32)
    _, unseen, _ = fitted(ids, labels)
    assert (unseen.argmax(1) == labels).mean() > 0.93


def test_the_same_rows_give_the_same_weights() -> None:
    ids = texts(100)
    labels = np.array([int(9 in row) for row in ids], np.int32)
    one, two = fitted(ids, labels), fitted(ids, labels)
    for left, right in zip(one[0].get_weights(), two[0].get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(one[1], two[1])


@pytest.mark.parametrize(
    ("task", "pair"), [("single_label", False), ("single_label", True), ("multi_label", False), ("regression", True)]
)
def test_the_logits_can_be_scaled_and_are_the_same_in_any_batch(task: str, pair: bool) -> None:
    ids = texts(60)
    has = np.array([[9 in row, 10 in row] for row in ids])
    targets = {
        "single_label": has[:, 0].astype(np.int32),
        "multi_label": has.astype(np.float32),
        "regression": has.sum(axis=1).astype(np.float32),
    }[task]
    layer, _, rows = fitted(ids, targets, task, [[0, 0, 0, 0, 1, 1, 1, 1]] * 60 if pair else None)
    before = logits(layer, rows)
    np.testing.assert_allclose(surface_logits(layer, rows, TOKENIZER), before, atol=1e-5)
    assert np.abs(before).max() > 0.1
    layer.rescale(0.25)
    np.testing.assert_allclose(logits(layer, rows), before / 4, atol=1e-5)
    layer.rescale(0.0)
    assert not logits(layer, rows).any()
