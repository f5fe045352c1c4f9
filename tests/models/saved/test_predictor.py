"""Predicting with a pushed SavedModel: where it is found, the order of the predictions, and what it refuses."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import golden_text
import numpy as np
import pytest
from tiny_exports import Exported, export

from models.errors import ModelError
from models.saved.predictor import Predictor, load
from tflite.host.prediction import Prediction


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's output folder with two pushed versions and what a push that was cut off left behind."""
    folder = tmp_path_factory.mktemp("out")
    for version in ("9", "10"):
        export("single", folder / "serving" / "reviews" / version)
    for stray in ("11", ".12.tmp", "notes"):
        (folder / "serving" / "reviews" / stray).mkdir()
    return folder


@pytest.fixture(scope="module")
def single(output: Path) -> Predictor:
    return load(output)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Exported, Predictor]:
    exported = export("number", tmp_path_factory.mktemp("pair") / "1")
    return exported, load(exported.folder)


@pytest.mark.parametrize("inside", ["", "serving/reviews", "serving/reviews/10"])
def test_finds_the_newest_version(output: Path, inside: str) -> None:
    assert load(output / inside).folder == output / "serving" / "reviews" / "10"


def test_a_named_version_is_that_version(output: Path) -> None:
    assert load(str(output / "serving" / "reviews" / "9")).folder.name == "9"


def test_answers_in_the_order_of_the_texts(single: Predictor) -> None:
    texts = [f"{'good film ' * (n % 7)}bad café 😀 {n}" for n in range(150)]
    answers = single.predict(texts)
    for row in (0, 64, 149):
        alone = single.predict([texts[row]])[0]
        assert alone.label == answers[row].label
        np.testing.assert_allclose(alone.score, answers[row].score, rtol=1e-4)
    assert all(a.score == max(a.probabilities.values()) == a.probabilities[a.label or ""] for a in answers)
    assert all(tuple(a.probabilities) == ("bad", "good", "très 好") for a in answers)
    np.testing.assert_allclose([sum(a.probabilities.values()) for a in answers], 1.0, rtol=1e-5)


def test_answers_golden_texts_and_none_at_all(single: Predictor) -> None:
    texts = [row["bytes"].decode("utf-8", errors="surrogateescape") for row in golden_text.rows()]
    assert len(single.predict([*texts, "\ud83d"])) == len(texts) + 1
    assert single.predict([]) == []


def test_a_regression_of_pairs_gives_a_number(pairs: tuple[Exported, Predictor]) -> None:
    exported, predictor = pairs
    answers = predictor.predict(["good", "film " * 9], ["bad film", ""])
    wanted = exported.ask_keras([b"good", b"film " * 9], [b"bad film", b""])["score"]
    np.testing.assert_allclose([answer.score for answer in answers], wanted, rtol=1e-5)
    assert answers[0].label is None
    assert answers[0].as_dict() == {"score": answers[0].score}
    assert predictor.predict([], []) == []


def test_how_an_answer_reads() -> None:
    answer = Prediction(score=0.75, label="good", probabilities={"bad": 0.25, "good": 0.75})
    assert answer.line() == "good\t0.750"
    assert answer.as_dict() == {"score": 0.75, "label": "good", "probabilities": {"bad": 0.25, "good": 0.75}}
    assert Prediction(score=1234.5678).line() == "1235"


def test_refuses_pairs_where_there_are_none_and_the_reverse(
    single: Predictor, pairs: tuple[Exported, Predictor]
) -> None:
    with pytest.raises(ModelError, match="reads one text"):
        single.predict(["a"], ["b"])
    for second in (None, ["b"], []):
        with pytest.raises(ModelError, match="reads pairs of texts"):
            pairs[1].predict(["a", "b"], second)


def test_says_where_there_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"neither saved_model\.pb nor"):
        load(tmp_path)


def test_says_where_there_are_several(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "serving" / name / "1").mkdir(parents=True)
    with pytest.raises(ModelError, match="a, b"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("saved_model.pb", b"\xff\xff"),
        ("saved_model.pb", b""),
        ("variables/variables.index", None),
        ("variables/variables.data-00000-of-00001", b"short"),
        ("assets.extra/labels.json", None),
        ("assets.extra/labels.json", b"{"),
        ("assets.extra/labels.json", b'{"labels": 1}'),
    ],
)
def test_says_what_is_broken(output: Path, tmp_path: Path, file: str, content: bytes | None) -> None:
    folder = tmp_path / "1"
    shutil.copytree(output / "serving" / "reviews" / "10", folder)
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(folder)


def test_needs_no_keras(output: Path) -> None:
    script = (
        "import importlib.machinery, sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        blocked = name.split('.')[0] in {'keras', 'keras_hub', 'tf_keras', 'tensorflow_serving'}\n"
        "        return importlib.machinery.ModuleSpec(name, self) if blocked else None\n"
        "    def create_module(self, spec):\n"
        "        raise ImportError(spec.name)\n"
        "    def exec_module(self, module):\n"
        "        raise ImportError\n"
        "sys.meta_path.insert(0, Block())\n"
        "from models.saved.predictor import load; print(load(sys.argv[1]).predict(['good'])[0].line())\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", script, str(output)], cwd=root, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    assert b"\t0." in done.stdout
