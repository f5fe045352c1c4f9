"""Parity: no differences for float32, and every difference that a test creates is found."""

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
from tflite.measure.parity import NUMBER_TOLERANCE, Reference, TextRow, compare, keras_reference

TOKENIZER = golden_text.tokenizer(max_length=max(tiny.LENGTHS))
TEXTS = (*HARD_TEXTS, "the film was good", "un film bad, cafe!", "films " * 40)
TARGETS: dict[str, tuple[tuple[str, ...] | float, ...]] = {
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
    card = mediapipe_metadata.FileDescription("tiny")
    write_bundle(folder, content, manifest, tokenizer=TOKENIZER, labels=tiny.TASKS[task], about=card)
    return EdgeClassifier(folder)


def rows(task: str, pairs: bool = False) -> list[TextRow]:
    answers = TARGETS[task]
    return [
        TextRow(text, TEXTS[-1 - index] if pairs else None, answers[index % 3], (f"side={'ab'[index % 2]}", "one=row"))
        for index, text in enumerate(TEXTS)
    ]


@pytest.mark.parametrize("task", tiny.TASKS)
@pytest.mark.parametrize("pairs", [False, True])
def test_float32_is_the_same(task: str, pairs: bool, tmp_path: Path) -> None:
    compared = rows(task, pairs)
    model = restored(task, pairs)
    reference = keras_reference(model, compared, max(tiny.LENGTHS))
    alone = model.predict([compared[3].text.encode()], [compared[3].pair.encode()] if compared[3].pair else None)
    assert reference.numbers[3].max() == pytest.approx(float(alone["score"][0]), rel=1e-4)
    found = compare(bundle(tmp_path / "b", task, pairs=pairs), reference, compared, 2)
    assert (found.rows, found.other_token_ids, found.not_finite, found.agreement) == (len(TEXTS), 0, 0, 1.0)
    assert found.max_difference < 1e-4
    assert found.max_logit < 1e-3
    assert [part.slice for part in found.quality] == ["", "side=a", "one=row", "side=b"]
    assert [part.loss for part in found.quality] == pytest.approx([0] * 4, abs=1e-6)
    assert found.quality[0].keras == pytest.approx(found.quality[0].edge, abs=1e-4)
    assert found.quality[1].rows + found.quality[3].rows == found.quality[0].rows == len(TEXTS)


def test_accuracy(tmp_path: Path) -> None:
    compared = rows("single_label")
    found = compare(
        bundle(tmp_path / "b", "single_label"),
        keras_reference(restored("single_label"), compared, max(tiny.LENGTHS)),
        compared,
        99,
    )
    labels = restored("single_label").predict([row.text.encode() for row in compared])["label"].tolist()
    right = [(label.decode(),) == row.target for label, row in zip(labels, compared, strict=True)]
    assert found.quality[0].edge == pytest.approx(np.mean(right))
    assert len(found.quality) == 1  # no slice has 99 rows


def test_differences_are_counted(tmp_path: Path) -> None:
    edge, compared = bundle(tmp_path / "b", "single_label"), rows("single_label")
    true = keras_reference(restored("single_label"), compared, max(tiny.LENGTHS))
    numbers = true.numbers.copy()
    numbers[0] = np.roll(numbers[0], 1)  # another label
    ids = [[*true.token_ids[0], 9], *true.token_ids[1:]]
    found = compare(edge, Reference(numbers, ids), compared, 1)
    assert found.other_token_ids == 1
    assert found.agreement == pytest.approx(1 - 1 / len(compared))
    assert found.max_difference == pytest.approx(np.abs(numbers[0] - true.numbers[0]).max(), abs=1e-4)
    assert found.max_logit > 0.1


def test_a_prediction_of_nan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edge, compared = bundle(tmp_path / "b", "regression"), rows("regression")
    reference = keras_reference(restored("regression"), compared, max(tiny.LENGTHS))
    ask = edge.model.__class__.__call__
    broken = iter([np.array([np.nan], np.float32)])
    monkeypatch.setattr(edge.model.__class__, "__call__", lambda self, *row: next(broken, None) or ask(self, *row))
    found = compare(edge, reference, compared, 1)
    assert found.not_finite == 1
    assert found.max_difference == float("inf")
    assert found.agreement == pytest.approx(1 - 1 / len(compared))


def test_a_number_agrees_within_the_tolerance(tmp_path: Path) -> None:
    edge, compared = bundle(tmp_path / "b", "regression"), rows("regression")
    reference = keras_reference(restored("regression"), compared, max(tiny.LENGTHS))
    std = tiny.NUMBER.std
    for factor, agreement in ((0.9, 1.0), (1.1, 0.0)):
        moved = Reference(reference.numbers + factor * NUMBER_TOLERANCE * std, reference.token_ids)
        found = compare(edge, moved, compared, 1)
        assert found.agreement == agreement
        assert found.max_difference == pytest.approx(factor * NUMBER_TOLERANCE, rel=1e-2)


@pytest.mark.slow
def test_a_shorter_bundle_cuts_as_a_shorter_model_would(tmp_path: Path) -> None:
    compared = rows("single_label")
    reference = keras_reference(restored("single_label"), compared, 8)
    assert max(map(len, reference.token_ids)) == 8
    found = compare(bundle(tmp_path / "b", "single_label", lengths=(8,)), reference, compared, 1)
    assert found.other_token_ids == 0
    assert found.max_difference > 0  # the served model reads more of the long texts


def test_rows_without_a_target(tmp_path: Path) -> None:
    compared = [dataclasses.replace(row, target=None) for row in rows("single_label")]
    reference = keras_reference(restored("single_label"), compared, max(tiny.LENGTHS))
    found = compare(bundle(tmp_path / "b", "single_label"), reference, compared, 1)
    assert found.agreement == 1
    assert found.quality[0].rows == 0
    assert np.isnan(found.quality[0].loss)
