"""The linear baseline learns what its features can express, for each kind of task and of text."""

from __future__ import annotations

import numpy as np
import pytest

from components.baselines.linear_baseline import PENALTIES, LinearBaseline
from components.baselines.text_rows import TextRows
from components.baselines.text_vectors import NothingToCountError, TextVectors

RNG = np.random.default_rng(0)


def words(rows: int, length: int = 8) -> list[list[str]]:
    return [list(RNG.choice([f"word{number}" for number in range(200)], length)) for _ in range(rows)]


@pytest.mark.parametrize("labels", [2, 3])
def test_probabilities_of_one_label_per_row_sum_to_one(labels: int) -> None:
    targets = RNG.integers(0, labels, 300)
    rows = TextRows([" ".join([*text, f"key{target}"]) for text, target in zip(words(300), targets, strict=True)])
    predicted = LinearBaseline("single_label", labels, rows, targets).predict(rows)
    assert predicted.shape == (300, labels)
    assert predicted.sum(axis=1) == pytest.approx(np.ones(300), abs=1e-5)
    assert (predicted.argmax(axis=1) == targets).mean() > 0.98


def test_a_label_that_no_row_has_is_never_predicted() -> None:
    targets = RNG.integers(0, 2, 100)
    rows = TextRows([f"key{target} and more" for target in targets])
    predicted = LinearBaseline("single_label", 3, rows, targets).predict(rows)
    assert (predicted.argmax(axis=1) == targets).all()
    assert predicted[:, 2].max() < 1e-6


def test_text_without_spaces_is_learned_from_its_characters() -> None:
    targets = RNG.integers(0, 2, 300)
    texts = []
    for target in targets:
        filler = RNG.choice(list("的一是在不了有和人这中大为上个国我以要他"), 20)
        texts.append("".join(filler[:9]) + ("很好" if target else "很差") + "".join(filler[9:]))
    model = LinearBaseline("single_label", 2, TextRows(texts[:200]), targets[:200])
    assert (model.predict(TextRows(texts[200:])).argmax(axis=1) == targets[200:]).mean() > 0.95


def test_what_two_texts_share_is_learned_for_words_that_training_never_had() -> None:
    def pairs(vocabulary: str, rows: int) -> tuple[TextRows, np.ndarray]:
        first = [RNG.choice([f"{vocabulary}{number}" for number in range(300)], 8, replace=False) for _ in range(rows)]
        same = RNG.integers(0, 2, rows)
        other = [
            " ".join(RNG.permutation(text)) if one else " ".join(first[row - 1])
            for row, (text, one) in enumerate(zip(first, same, strict=True))
        ]
        return TextRows([" ".join(text) for text in first], other), same

    rows, same = pairs("seen", 300)
    other, truth = pairs("quite different", 100)
    predicted = LinearBaseline("single_label", 2, rows, same).predict(other)
    assert (predicted.argmax(axis=1) == truth).mean() > 0.95


def test_the_better_penalty_on_other_rows_is_kept() -> None:
    targets = RNG.normal(size=200)
    rows = TextRows([" ".join(text) for text in words(200)])
    model = LinearBaseline("regression", 1, rows, targets)
    given = iter([0.1, 0.3, 0.2])
    model.choose_penalty(rows, lambda predictions: next(given))
    assert model.penalty == PENALTIES["regression"][1]
    expected = model.fit(np.arange(200), PENALTIES["regression"][1]).predict(model.features)
    assert model.predict(rows) == pytest.approx(expected, abs=1e-3)


def test_the_same_rows_give_the_same_model() -> None:
    targets = RNG.integers(0, 3, 100)
    rows = TextRows([" ".join(text) for text in words(100)])
    first, second = (LinearBaseline("single_label", 3, rows, targets).predict(rows) for _ in range(2))
    assert (first == second).all()


def test_texts_that_never_repeat_anything_still_have_features() -> None:
    rows = TextRows([chr(0x1F300 + number) for number in range(250)])
    assert TextVectors().fit_transform(rows).getnnz(axis=1).min() > 0


def test_nothing_to_count_is_refused() -> None:
    with pytest.raises(NothingToCountError):
        TextVectors().fit_transform(TextRows([" "] * 10))
