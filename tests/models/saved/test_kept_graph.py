"""A later export of the same kind is the one that tracing would have made; whatever differs is traced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from exported_signatures import CLOSE, TEXTS, ask, signatures
from tiny_exports import ENCODER, Exported, tiny_model

from models import compile_cache
from models.compile_cache import CompileCache
from models.config import CONFIG_FILE, ModelsConfig
from models.errors import ModelError
from models.saved.export import export_saved_model
from models.saved.kept_graph import KeptGraph
from models.saved.model_identity import same_model


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of the cache that this process has."""
    for name in ("shared", "private"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(compile_cache, "_used", CompileCache(tmp_path / "shared", tmp_path / "private"))
    return tmp_path / "shared"


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders of the exports that were traced."""
    folders: list[str] = []
    save = tf.saved_model.save

    def noted(module: Any, folder: str, **options: Any) -> None:
        folders.append(folder)
        save(module, folder, **options)

    monkeypatch.setattr(tf.saved_model, "save", noted)
    return folders


@pytest.fixture
def single(exports: dict[str, Exported], cache: Path, traced: list[str]) -> Exported:
    """An export that was traced before the others are counted."""
    found = exports["single"]
    traced.clear()
    return found


def again(exported: Exported, folder: Path, weights: float = 1.0, **changed: Any) -> Exported:
    """Exports a model again, with its weights multiplied by a number."""
    key = changed.pop("program_key", "code")
    if weights != 1.0:
        two_texts = exported.task.text_pair is not None
        changed["model"] = tiny_model(exported.tokenizer, exported.labels.outputs, two_texts=two_texts)
        for variable in changed["model"].trainable_variables:
            variable.assign(variable * weights)
    given = replace(exported, folder=folder, **changed)
    parts = {"tokenizer": given.tokenizer, "labels": given.labels, "task": given.task}
    config = ModelsConfig(task=given.task, model=ENCODER).model_dump_json().encode()
    export_saved_model(given.model, folder, **parts, extra_files={CONFIG_FILE: config}, program_key=key)
    return given


@pytest.mark.slow_variants
@pytest.mark.parametrize("kind", ["multi", "number"])
def test_it_is_the_model_that_tracing_makes_of_other_weights_and_fitted_values(
    kind: str, exports: dict[str, Exported], cache: Path, traced: list[str], tmp_path: Path
) -> None:
    first = exports[kind]
    again(first, tmp_path / "first", weights=0.9)
    temperatures = (0.5,) * len(first.labels.temperatures or (1,))
    labels = replace(first.labels, counts=(), rows=9, mean=3.0, std=2.0, temperatures=temperatures)
    task = first.task.model_copy(update={"threshold": 0.3})
    traced.clear()
    kept = again(first, tmp_path / "kept", weights=1.1, labels=labels, task=task)
    assert not traced
    for file in cache.iterdir():
        file.unlink()
    new = again(first, tmp_path / "new", weights=1.1, labels=labels, task=task)
    assert len(traced) == 1
    assert same_model(kept.folder, new.folder)
    assert not same_model(kept.folder, tmp_path / "first")
    wanted = kept.ask_keras(TEXTS, TEXTS if kept.task.text_pair else None)
    found = ask(signatures(kept), kept, TEXTS)
    assert set(found) == set(wanted)
    scale = 2.0 if kind == "number" else 1.0
    np.testing.assert_allclose(found["score"] / scale, wanted["score"] / scale, **CLOSE)
    files = [sorted(str(path.relative_to(each.folder)) for path in each.folder.rglob("*")) for each in (kept, new)]
    assert files[0] == files[1]


@pytest.mark.slow
def test_what_differs_in_more_is_traced(single: Exported, traced: list[str], tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"program_key": "other code or settings"},
        {"program_key": None},
        {"tokenizer": replace(single.tokenizer, max_length=single.tokenizer.max_length - 1)},
        {"labels": replace(single.labels, labels=("bad", "good", "other"))},
        {"task": single.task.model_copy(update={"text": "other"})},
        {"model": tiny_model(single.tokenizer, 3, ENCODER.model_copy(update={"width": 16}))},
    ]
    for number, changed in enumerate(changes, start=1):
        again(single, tmp_path / str(number), **changed)
        assert len(traced) == number


@pytest.mark.slow
def test_a_damaged_graph_is_not_used(single: Exported, cache: Path, traced: list[str], tmp_path: Path) -> None:
    again(single, tmp_path / "first")
    (entry,) = cache.iterdir()
    entry.write_bytes(entry.read_bytes()[:-100])
    again(single, tmp_path / "second")
    again(single, tmp_path / "third")
    assert len(traced) == 2


@pytest.mark.slow_variants
@pytest.mark.parametrize("kind", ["multi", "number"])
def test_a_graph_of_another_kind_is_not_used(
    kind: str,
    single: Exported,
    exports: dict[str, Exported],
    traced: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = exports[kind].folder
    traced.clear()
    monkeypatch.setattr(KeptGraph, "write", lambda kept, folder: _copy(other, folder))
    found = again(single, tmp_path / "found")
    assert len(traced) == 1
    assert set(ask(signatures(found), found, TEXTS)) == set(ask(signatures(single), single, TEXTS))


def _copy(source: Path, folder: Path) -> bool:
    for path in source.rglob("*"):
        if path.is_file() and "assets" not in str(path):
            target = folder / path.relative_to(source)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
    return True


@pytest.mark.slow
def test_weights_that_are_not_finite_are_refused_with_a_kept_graph_too(
    single: Exported, traced: list[str], tmp_path: Path
) -> None:
    again(single, tmp_path / "first")
    broken = tiny_model(single.tokenizer, single.labels.outputs)
    broken.trainable_variables[0].assign(broken.trainable_variables[0] * float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        again(single, tmp_path / "broken", model=broken)
    assert len(traced) == 2, "tracing has told"
    assert not (tmp_path / "broken").exists()
