"""A model that has only the vectors of the tokens in its rows learns what the whole model learns."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tiny_checkpoints
from packed_gradients import LINES, assert_alike, loss_and_gradients

from models.build import build_model, layer_depths
from models.config import PresetConfig
from models.presets.preset import preset_tokenizer
from models.training.token_rows import TokenRows
from models.training.variables.used_tokens import count_vectors, give_back, keep_used, used_tokens

USED = np.unique(LINES["token_ids"])


def make(folder: Path, kind: str = "bert", **settings: Any) -> keras.Model:
    if not (folder / "config.json").exists():
        tiny_checkpoints.write(folder, kind)
    keras.utils.set_random_seed(0)  # for the head
    config = PresetConfig(preset=str(folder), **settings)
    return build_model(config, tokenizer=preset_tokenizer(str(folder), 24), outputs=3)


def table(model: keras.Model) -> np.ndarray:
    (found,) = (weight for weight in model.weights if weight.path.endswith("token_embedding/embeddings"))
    return np.array(found)


def test_used_tokens_are_those_of_all_tables_and_the_further_ones() -> None:
    tables = [
        TokenRows.from_lists([[7, 3], [3]], [0, 1]),
        TokenRows.from_lists([[9]], [0]),
        TokenRows.from_lists([], []),
    ]
    assert used_tokens(tables, (0, 2)).tolist() == [0, 2, 3, 7, 9]
    assert used_tokens(tables[:1], (12,)).tolist() == [3, 7, 12]


@pytest.mark.slow_variants
@pytest.mark.parametrize("kind", sorted(tiny_checkpoints.CONFIGS))
def test_gradients_are_those_of_the_whole_model(kind: str, tmp_path: Path) -> None:
    model = make(tmp_path, kind)
    former = [(v.path, v.dtype) for v in model.trainable_variables]
    depths = layer_depths(model)
    whole, whole_table = loss_and_gradients(model), table(model)
    keep_used(model, USED, multiple=3)
    assert [(v.path, v.dtype) for v in model.trainable_variables] == former
    assert not [v.path for v in model.variables if v.dtype == "int32"], "not every device keeps integer variables"
    assert len(table(model)) == -(-len(USED) // 3) * 3 < len(whole_table)
    assert {path: depth for path, depth in layer_depths(model).items() if path in depths} == depths
    assert count_vectors(model) == {"trained": len(USED), "all": len(whole_table)}
    for one, other in zip(whole, loss_and_gradients(model), strict=True):
        if one.shape[:1] == whole_table.shape[:1]:
            assert not np.delete(one, USED, axis=0).any()
            assert not other[len(USED) :].any()
            one, other = one[USED], other[: len(USED)]
        assert_alike([one], [other])


@pytest.mark.slow_variants
@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("kind", sorted(tiny_checkpoints.CONFIGS))
def test_the_whole_model_comes_back_with_what_was_learned(kind: str, in_file: bool, tmp_path: Path) -> None:
    model, expected = make(tmp_path, kind), make(tmp_path, kind)
    weights, former = [v.path for v in model.weights], table(model)
    (layer,) = (each for each in model._flatten_layers() if each.name == "token_embedding")
    whole, folder = layer._embeddings, tmp_path / "aside"
    keep_used(model, USED, multiple=1, folder=folder if in_file else None)
    assert whole.value.shape == ((0 if in_file else len(former)), former.shape[1])
    assert not in_file or list(folder.iterdir()) == []
    for one in (model, expected):
        for variable in one.trainable_variables:
            variable.assign(variable + 1.0)
    give_back(model)
    assert count_vectors(model) is None
    assert [v.path for v in model.weights] == weights
    learned = former.copy()
    learned[USED] += 1.0
    np.testing.assert_array_equal(table(model), learned)
    assert_alike(loss_and_gradients(expected), loss_and_gradients(model))


def test_without_a_file_memory_is_lost_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> Any:
        return type("usage", (), {"free": 1})

    model = make(tmp_path)
    former = table(model)
    monkeypatch.setattr(shutil, "disk_usage", full)
    keep_used(model, USED, multiple=1, folder=tmp_path)
    assert "the vectors of unused tokens stay in memory" in caplog.text
    give_back(model)
    np.testing.assert_array_equal(table(model), former)


@pytest.mark.parametrize("settings", [{"freeze": "embeddings"}, {"lora_rank": 2}], ids=str)
def test_vectors_that_are_not_trained_stay_where_they_are(settings: dict[str, Any], tmp_path: Path) -> None:
    model = make(tmp_path, **settings)
    keep_used(model, USED, multiple=1)
    assert count_vectors(model) is None


def test_a_table_that_is_mostly_used_stays_whole(tmp_path: Path) -> None:
    model = make(tmp_path)
    keep_used(model, np.arange(2251), multiple=1)
    assert count_vectors(model) is None
    keep_used(model, np.arange(5), multiple=2251)
    assert count_vectors(model) is None
    keep_used(model, np.arange(2250), multiple=1)
    assert count_vectors(model) == {"trained": 2250, "all": 3000}
