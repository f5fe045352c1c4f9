"""Rows are explained by the exported model, word by word, as many as are cheap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_exports import Exported, export

from components.predictions import explained_rows
from components.predictions.explained_rows import explain, weighted_words


def rows(*texts: str, pair: str | None = None) -> list[dict[str, Any]]:
    return [{"text": text, "text_pair": pair} for text in texts]


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export("single", tmp_path_factory.mktemp("explained") / "single", attributions=True)


@pytest.mark.slow_variants
@pytest.mark.parametrize("kind", ["pair", "number"])
def test_every_text_has_its_words_with_weights(kind: str, tmp_path: Path) -> None:
    exported = export(kind, tmp_path / kind, attributions=True)
    listed = rows("good film", "a bad, bad film", pair="the film" if exported.task.text_pair else None)
    explain(listed, exported.folder)
    for row in listed:
        assert len(row["tokens"]) == (2 if exported.task.text_pair else 1)
        weights = [weight for text in row["tokens"] for _, weight in text]
        assert max(map(abs, weights)) == 1.0
    assert [word for word, _ in listed[0]["tokens"][0]] == ["good", "film"]


def test_more_rows_than_are_cheap_are_left_out(single: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = rows(*["good film"] * (explained_rows.MOST_ROWS + 3))
    explain(listed, single.folder)
    assert sum("tokens" in row for row in listed) == explained_rows.MOST_ROWS
    monkeypatch.setattr(explained_rows, "_OPERATIONS", 0.0)
    listed = rows(*["good film"] * 5)
    explain(listed, single.folder)
    assert ["tokens" in row for row in listed] == [True] * explained_rows.FEWEST_ROWS + [False] * 3


def test_any_text_can_be_explained(single: Exported) -> None:
    listed = rows("", "\udcff\0 <b>", "good " * 500)
    explain(listed, single.folder)
    assert [len(row["tokens"]) for row in listed] == [1, 1, 1]
    assert listed[0]["tokens"] == [[]]


def test_a_model_of_an_earlier_version_explains_nothing(exports: dict[str, Exported]) -> None:
    listed = rows("good film")
    explain(listed, exports["single"].folder)
    assert "tokens" not in listed[0]


def test_pieces_of_a_word_are_joined_and_texts_are_told_apart() -> None:
    tokens = [b"", b" dr", b"ag", b"s", b" on", b"", b"", b" caf", b"\xc3", b"\xa9", b"", b""]
    weights = np.array([0, 1, 1, -0.5, -3, 0, 0, 1, 1, 1, 0, 0], np.float32)
    for segments in ([0] * 12, [0] * 6 + [1] * 6):  # RoBERTa, which has no segments, and BERT
        found = weighted_words(tokens, segments, weights, 2)
        assert found == [[["drags", 0.5], ["on", -1.0]], [["café", 1.0]]]
    assert weighted_words([b"", b" a"], [0, 0], np.zeros(2), 1) == [[["a", 0.0]]]
    assert weighted_words([b" a"], [0], np.array([np.nan]), 1) == [[["a", 0.0]]]
