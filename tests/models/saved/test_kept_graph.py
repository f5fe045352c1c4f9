"""A later export of the same kind is the one that tracing would have made; whatever differs is traced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from exported_signatures import CLOSE, TEXTS, ask, meta_graph, signatures
from tiny_exports import Exported, export, tiny_model

from models import compile_cache
from models.compile_cache import CompileCache
from models.errors import ModelError
from models.saved.export import export_saved_model
from models.saved.kept_graph import KeptGraph


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


def again(exported: Exported, folder: Path, **changed: Any) -> Exported:
    given = replace(exported, folder=folder, **changed)
    parts = {"tokenizer": given.tokenizer, "labels": given.labels, "task": given.task}
    export_saved_model(given.model, folder, **parts, program_key="code")
    return given


def other_weights(tokenizer: Any, outputs: int, two_texts: bool) -> keras.Model:
    made = tiny_model(tokenizer, outputs, two_texts=two_texts)
    for variable in made.trainable_variables:
        variable.assign(variable * 0.9)
    return made


@pytest.mark.parametrize("kind", ["single", "pair"])
def test_it_gives_the_answers_of_its_own_weights(
    kind: str, exports: dict[str, Exported], cache: Path, traced: list[str], tmp_path: Path
) -> None:
    given = exports[kind]
    first = again(given, tmp_path / "first")
    traced.clear()
    other = other_weights(first.tokenizer, first.labels.outputs, first.task.text_pair is not None)
    kept = again(first, tmp_path / "kept", model=other)
    assert not traced
    former, answers = (ask(signatures(each), each, TEXTS) for each in (first, kept))
    wanted = kept.ask_keras(TEXTS, TEXTS if kept.task.text_pair else None)
    assert set(answers) == set(wanted)
    np.testing.assert_allclose(answers["probabilities"], wanted["probabilities"], **CLOSE)
    assert np.abs(answers["probabilities"] - former["probabilities"]).max() > 1e-2
    files = [sorted(str(path.relative_to(each.folder)) for path in each.folder.rglob("*")) for each in (first, kept)]
    assert files[0] == files[1]
    assert meta_graph(first.folder).signature_def == meta_graph(kept.folder).signature_def


def test_what_differs_in_more_than_its_weights_is_traced(single: Exported, traced: list[str], tmp_path: Path) -> None:
    first = single
    again(first, tmp_path / "first")
    again(first, tmp_path / "temperatures", labels=replace(first.labels, temperatures=(1.8,)))
    again(first, tmp_path / "task", task=first.task.model_copy(update={"text": "other"}))
    assert len(traced) == 3
    export_saved_model(
        first.model, tmp_path / "no key", tokenizer=first.tokenizer, labels=first.labels, task=first.task
    )
    assert len(traced) == 4


def test_a_kept_graph_of_another_model_or_a_damaged_one_is_not_used(
    single: Exported, cache: Path, traced: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = single
    again(first, tmp_path / "first")
    (entry,) = cache.iterdir()
    entry.write_bytes(entry.read_bytes()[:-100])
    again(first, tmp_path / "damaged")
    assert len(traced) == 2
    wrong = tmp_path / "wrong"  # its key does not tell that its answers differ
    export("multi", wrong)
    monkeypatch.setattr(KeptGraph, "write", lambda kept, folder: _copy(wrong, folder))
    found = again(first, tmp_path / "found")
    assert len(traced) == 4
    assert set(ask(signatures(found), found, TEXTS)) == set(ask(signatures(first), first, TEXTS))


def _copy(source: Path, folder: Path) -> bool:
    for path in source.rglob("*"):
        if path.is_file() and "assets" not in str(path):
            target = folder / path.relative_to(source)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
    return True


def test_weights_that_are_not_finite_are_refused_with_a_kept_graph_too(single: Exported, tmp_path: Path) -> None:
    first = again(single, tmp_path / "first")
    broken = tiny_model(first.tokenizer, first.labels.outputs)
    broken.trainable_variables[0].assign(broken.trainable_variables[0] * float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        again(first, tmp_path / "broken", model=broken)
    assert not (tmp_path / "broken").exists()
