"""How a bundle's answers differ from Keras's: nothing for float32, and every difference that is made on purpose."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import golden_text
import numpy as np
import pytest
import tiny_edge as tiny

from models.config import TaskConfig
from models.saved.restore import RestoredModel
from tflite.bundle import mediapipe_metadata
from tflite.bundle.bundle_folder import HARD_TEXTS, write_bundle
from tflite.host.edge_classifier import EdgeClassifier
from tflite.measure.parity import NUMBER_TOLERANCE, Reference, Row, ask_keras, compare

TOKENIZER = golden_text.tokenizer(max_length=max(tiny.LENGTHS))
TEXTS = (*HARD_TEXTS, "the film was good", "un film bad, cafe!", "films " * 40)
ANSWERS: dict[str, tuple[tuple[str, ...] | float, ...]] = {
    "single_label": (("good",), ("bad",), ("never seen",)),
    "multi_label": (("good", "so so"), (), ("bad", "never seen")),
    "regression": (50.0, 43.0, 60.0),
}


def restored(task: str, pairs: bool = False) -> RestoredModel:
    config = TaskConfig(type=task, label_separator="|", text_pair="other" if pairs else None)
    return RestoredModel(tiny.model(task), TOKENIZER, tiny.TASKS[task], config)


def bundle(folder: Path, task: str, *, lengths: tuple[int, ...] = tiny.LENGTHS, pairs: bool = False) -> EdgeClassifier:
    manifest = tiny.manifest(task, lengths, pairs=pairs)
    content = tiny.content(task, lengths)
    card = mediapipe_metadata.Card("tiny")
    write_bundle(folder, content, manifest, tokenizer=TOKENIZER, labels=tiny.TASKS[task], card=card)
    return EdgeClassifier(folder)


def rows(task: str, pairs: bool = False) -> list[Row]:
    answers = ANSWERS[task]
    return [
        Row(text, TEXTS[-1 - index] if pairs else None, answers[index % 3], (f"side={'ab'[index % 2]}", "one=row"))
        for index, text in enumerate(TEXTS)
    ]


@pytest.mark.parametrize("task", tiny.TASKS)
@pytest.mark.parametrize("pairs", [False, True])
def test_float32_is_the_same(task: str, pairs: bool, tmp_path: Path) -> None:
    asked = rows(task, pairs)
    model = restored(task, pairs)
    reference = ask_keras(model, asked, max(tiny.LENGTHS))
    alone = model.predict([asked[3].text.encode()], [asked[3].pair.encode()] if asked[3].pair else None)
    assert reference.numbers[3].max() == pytest.approx(float(alone["score"][0]), rel=1e-4)
    found = compare(bundle(tmp_path / "b", task, pairs=pairs), reference, asked, 2)
    assert (found.rows, found.other_token_ids, found.not_finite, found.agreement) == (len(TEXTS), 0, 0, 1.0)
    assert found.max_difference < 1e-4
    assert found.max_logit < 1e-3
    assert [part.slice for part in found.quality] == ["", "side=a", "one=row", "side=b"]
    assert [part.loss for part in found.quality] == pytest.approx([0] * 4, abs=1e-6)
    assert found.quality[0].keras == pytest.approx(found.quality[0].edge, abs=1e-4)
    assert found.quality[1].rows + found.quality[3].rows == found.quality[0].rows == len(TEXTS)


def test_accuracy_counts_what_is_right(tmp_path: Path) -> None:
    asked = rows("single_label")
    found = compare(
        bundle(tmp_path / "b", "single_label"), ask_keras(restored("single_label"), asked, max(tiny.LENGTHS)), asked, 99
    )
    labels = restored("single_label").predict([row.text.encode() for row in asked])["label"].tolist()
    right = [(label.decode(),) == row.answer for label, row in zip(labels, asked, strict=True)]
    assert found.quality[0].edge == pytest.approx(np.mean(right))
    assert len(found.quality) == 1  # no slice has 99 rows


def test_what_is_answered_otherwise_is_counted(tmp_path: Path) -> None:
    edge, asked = bundle(tmp_path / "b", "single_label"), rows("single_label")
    true = ask_keras(restored("single_label"), asked, max(tiny.LENGTHS))
    numbers = true.numbers.copy()
    numbers[0] = np.roll(numbers[0], 1)  # another label
    ids = [[*true.token_ids[0], 9], *true.token_ids[1:]]
    found = compare(edge, Reference(numbers, ids), asked, 1)
    assert found.other_token_ids == 1
    assert found.agreement == pytest.approx(1 - 1 / len(asked))
    assert found.max_difference == pytest.approx(np.abs(numbers[0] - true.numbers[0]).max(), abs=1e-4)
    assert found.max_logit > 0.1


def test_an_answer_that_is_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edge, asked = bundle(tmp_path / "b", "regression"), rows("regression")
    reference = ask_keras(restored("regression"), asked, max(tiny.LENGTHS))
    ask = edge.model.__class__.__call__
    broken = iter([np.array([np.nan], np.float32)])
    monkeypatch.setattr(edge.model.__class__, "__call__", lambda self, *row: next(broken, None) or ask(self, *row))
    found = compare(edge, reference, asked, 1)
    assert found.not_finite == 1
    assert found.max_difference == float("inf")
    assert found.agreement == pytest.approx(1 - 1 / len(asked))


def test_a_number_agrees_within_the_tolerance(tmp_path: Path) -> None:
    edge, asked = bundle(tmp_path / "b", "regression"), rows("regression")
    reference = ask_keras(restored("regression"), asked, max(tiny.LENGTHS))
    std = tiny.NUMBER.std
    for factor, agreement in ((0.9, 1.0), (1.1, 0.0)):
        moved = Reference(reference.numbers + factor * NUMBER_TOLERANCE * std, reference.token_ids)
        found = compare(edge, moved, asked, 1)
        assert found.agreement == agreement
        assert found.max_difference == pytest.approx(factor * NUMBER_TOLERANCE, rel=1e-2)


def test_a_shorter_bundle_cuts_as_a_shorter_model_would(tmp_path: Path) -> None:
    asked = rows("single_label")
    reference = ask_keras(restored("single_label"), asked, 8)
    assert max(map(len, reference.token_ids)) == 8
    found = compare(bundle(tmp_path / "b", "single_label", lengths=(8,)), reference, asked, 1)
    assert found.other_token_ids == 0
    assert found.max_difference > 0  # the served model reads more of the long texts


def test_rows_that_nobody_has_answered(tmp_path: Path) -> None:
    asked = [dataclasses.replace(row, answer=None) for row in rows("single_label")]
    reference = ask_keras(restored("single_label"), asked, max(tiny.LENGTHS))
    found = compare(bundle(tmp_path / "b", "single_label"), reference, asked, 1)
    assert found.agreement == 1
    assert found.quality[0].rows == 0
    assert np.isnan(found.quality[0].loss)
