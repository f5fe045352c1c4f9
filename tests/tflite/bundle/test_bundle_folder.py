"""Bundles: complete, checked, run without TensorFlow, for every kind of task."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_edge as tiny
from tiny_bundles import CARD, TEXTS, TOKENIZER, bundle

from models.config import TaskConfig
from models.errors import ModelError
from models.saved.restore import RestoredModel
from tflite.bundle import mediapipe_metadata
from tflite.bundle.bundle_folder import HARD_TEXTS, check_golden, mediapipe_obstacle
from tflite.host.edge_classifier import EdgeClassifier
from tflite.host.labels import LabelSpace
from tflite.host.manifest import MODEL_FILE


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle(tmp_path_factory.mktemp("edge") / "single")


@pytest.mark.slow_variants
@pytest.mark.parametrize("task", tiny.TASKS)
@pytest.mark.parametrize("pairs", [False, True])
def test_a_bundle_predicts_as_keras(task: str, pairs: bool, tmp_path: Path) -> None:
    folder = bundle(tmp_path / "b", task, pairs=pairs)
    texts = [*HARD_TEXTS, *TEXTS]
    seconds = texts[::-1] if pairs else None
    config = TaskConfig(type=task, label_separator="|", text_pair="other" if pairs else None)
    keras = RestoredModel(tiny.model(task), TOKENIZER, tiny.TASKS[task], config)
    encoded = [[text.encode() for text in each] if each else None for each in (texts, seconds)]
    wanted = keras.predict(*encoded)
    found = EdgeClassifier(folder).predict(texts, seconds)
    np.testing.assert_allclose([each.score for each in found], wanted["score"], rtol=1e-4)
    if task != "regression":
        assert [each.label for each in found] == [label.decode() for label in wanted["label"].tolist()]
        assert [tuple(each.probabilities) for each in found] == [tiny.LABELS.labels] * len(texts)
    assert check_golden(folder) == len(texts)


@pytest.mark.slow
def test_temperatures_are_in_the_model_alone_and_the_readme_names_the_threshold(tmp_path: Path) -> None:
    """A host that found them in labels.json could apply them a second time."""
    folder = bundle(tmp_path / "b", "multi_label")
    assert tiny.TASKS["multi_label"].temperatures
    assert "temperatures" not in json.loads((folder / "labels.json").read_text())
    assert "a label is predicted if its probability is at least 0.5." in (folder / "README.md").read_text()


def test_the_files_of_a_bundle(single: Path) -> None:
    names = {"model.tflite", "vocab.txt", "tokenizer.json", "labels.json", "labels.txt"}
    assert {path.name for path in single.iterdir()} == names | {"golden.jsonl", "edge.json", "README.md"}
    assert set(json.loads((single / "edge.json").read_text())["sha256"]) == names
    readme = (single / "README.md").read_text()
    assert "$" not in readme.replace("Array($0.", "")
    assert "`classify_8`, `classify_16`" in readme
    assert "MediaPipe's TextClassifier does not run this file: a file with several signatures." in readme
    for language in ("Kotlin", "Swift", "JavaScript", "C++", "Python"):
        assert language in readme
    assert 'runSignature(inputs, mapOf("probabilities" to prediction), "classify_16")' in readme
    with zipfile.ZipFile(single / MODEL_FILE) as archive:
        assert archive.namelist() == ["vocab.txt", "labels.txt"]
        assert archive.read("vocab.txt") == (single / "vocab.txt").read_bytes()
        assert archive.read("labels.txt") == b"bad\ngood\nso so\n"


def test_a_bundle_of_one_length_has_a_mediapipe_section(tmp_path: Path) -> None:
    readme = (bundle(tmp_path / "b", lengths=(16,)) / "README.md").read_text()
    assert "tasks-text" in readme
    assert "train with `tokenizer.mediapipe_compatible: true`" in readme


@pytest.mark.parametrize(
    ("manifest", "changes", "labels", "message"),
    [
        (tiny.manifest(lengths=(8,)), {}, tiny.LABELS, ""),
        (tiny.manifest(), {}, tiny.LABELS, "several signatures"),
        (tiny.manifest(lengths=(8,), pairs=True), {}, tiny.LABELS, "pairs"),
        (tiny.manifest(lengths=(8,)), {}, tiny.NUMBER, "a number"),
        (tiny.manifest(lengths=(8,)), {"lowercase": False}, tiny.LABELS, "cased"),
        (tiny.manifest(lengths=(8,)), {"family": "byte_pair"}, tiny.LABELS, "byte_pair"),
        (tiny.manifest(lengths=(8,)), {"pad_id": 4}, tiny.LABELS, "padding with id 4"),
        (tiny.manifest(lengths=(8,)), {"start_id": 4}, tiny.LABELS, "'[MASK]' in place of '[CLS]'"),
        (tiny.manifest(lengths=(8,)), {"vocabulary": (*TOKENIZER.vocabulary, "a")}, tiny.LABELS, "twice"),
        (tiny.manifest(lengths=(8,)), {"vocabulary": (*TOKENIZER.vocabulary, "q\r")}, tiny.LABELS, "drops"),
        (tiny.manifest(lengths=(8,)), {"vocabulary": (*TOKENIZER.vocabulary, "\x11")}, tiny.LABELS, "U+0011"),
    ],
)
def test_models_that_mediapipe_cannot_run(
    manifest: Any, changes: dict[str, Any], labels: LabelSpace, message: str
) -> None:
    found = mediapipe_obstacle(manifest, dataclasses.replace(TOKENIZER, **changes), labels)
    assert message in found
    assert bool(message) == bool(found)


def test_the_same_model_gives_the_same_bytes(single: Path, tmp_path: Path) -> None:
    again = bundle(tmp_path / "again")
    assert (again / MODEL_FILE).read_bytes() == (single / MODEL_FILE).read_bytes()


def test_the_runtime_needs_no_tensorflow(single: Path, repository: Path) -> None:
    program = f"""
import sys, time
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {{"tensorflow", "keras", "pydantic", "tflite_runtime", "google"}}:
            raise ImportError(name)
sys.meta_path.insert(0, Refused())
begin = time.perf_counter()
from tflite.host.edge_classifier import EdgeClassifier
seconds = time.perf_counter() - begin
print(EdgeClassifier({str(single)!r}).predict(["the film was good"])[0].label)
print(seconds)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0] in tiny.LABELS.labels


@pytest.mark.parametrize("name", ["model.tflite", "vocab.txt", "labels.json", "tokenizer.json"])
def test_a_changed_or_missing_file_is_refused(name: str, tmp_path: Path) -> None:
    folder = bundle(tmp_path / "b")
    path = folder / name
    path.write_bytes(path.read_bytes()[:-1] + b"#")
    with pytest.raises(ModelError, match="is not the bundle's original file"):
        EdgeClassifier(folder)
    path.unlink()
    with pytest.raises(ModelError, match="no such file"):
        EdgeClassifier(folder)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no edge bundle"):
        EdgeClassifier(tmp_path)
    (tmp_path / "edge.json").write_text('{"format": 99}')
    with pytest.raises(ModelError, match="format 99"):
        EdgeClassifier(tmp_path)
    (tmp_path / "edge.json").write_text("[1]")
    with pytest.raises(ModelError, match="format None"):
        EdgeClassifier(tmp_path)


def test_a_truncated_model_that_is_not_checked(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "b")
    (folder / MODEL_FILE).write_bytes((folder / MODEL_FILE).read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be run"):
        EdgeClassifier(folder, check=False)


def test_pairs_for_a_model_of_single_texts(single: Path) -> None:
    with pytest.raises(ModelError, match="reads one text"):
        EdgeClassifier(single).predict(["a"], ["b"])


def test_an_empty_list_and_a_text_of_100_kb(single: Path) -> None:
    classifier = EdgeClassifier(single)
    assert classifier.predict([]) == []
    long, short = classifier.predict(["good film " * 10_000, "good film " * 20])
    assert long == short


def test_a_golden_line_that_is_not_reproduced(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "b")
    lines = (folder / "golden.jsonl").read_text().splitlines()
    changed = json.loads(lines[2])
    changed["score"] += 0.1
    (folder / "golden.jsonl").write_text("\n".join([*lines[:2], json.dumps(changed)]) + "\n")
    with pytest.raises(ModelError, match="line 3"):
        check_golden(folder)


@pytest.mark.parametrize("label", ["", "two\nlines"])
def test_a_label_must_be_one_line(label: str) -> None:
    content = tiny.content(lengths=(8,))
    with pytest.raises(ModelError, match=r"cannot be written to labels\.txt"):
        mediapipe_metadata.add_metadata(content, tiny.manifest(lengths=(8,)), CARD, "", ("a", label, "b"))


def test_a_folder_that_is_not_empty_is_left_alone(single: Path) -> None:
    before = (single / MODEL_FILE).read_bytes()
    with pytest.raises(ModelError, match="it exists already"):
        bundle(single)
    assert (single / MODEL_FILE).read_bytes() == before
    assert not [path for path in single.parent.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_labels_of_a_regression_are_in_its_unit(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "b", "regression")
    assert LabelSpace.load(folder) == tiny.NUMBER
    assert "labels.txt" not in {path.name for path in folder.iterdir()}
    assert dataclasses.asdict(EdgeClassifier(folder).predict(["good"])[0])["label"] is None
