"""`tflite/host`, copied alone into an empty folder, runs bundles with ai-edge-litert and NumPy alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import isolated
import pytest
from tiny_bundles import TEXTS, bundle

from tflite.bundle.bundle_folder import HARD_TEXTS
from tflite.host.edge_classifier import EdgeClassifier

pytestmark = pytest.mark.slow
PROGRAM = (Path(__file__).parents[2] / "support" / "tflite" / "query_bundles.py").read_text()
CASES = [("single_label", False), ("single_label", True), ("multi_label", False), ("regression", False)]
HEAVY = {"tensorflow", "tensorflow_text", "keras", "keras_hub", "pydantic", "pandas", "scipy", "flatbuffers", "google"}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("edge")
    return [bundle(folder / f"{task}-{pairs}", task, pairs=pairs) for task, pairs in CASES]


@pytest.mark.parametrize("package", ["tflite.host", "edge_runtime"])
def test_the_copied_folder_predicts(package: str, bundles: list[Path], repository: Path, tmp_path: Path) -> None:
    copy = tmp_path.joinpath(*package.split("."))
    shutil.copytree(repository / "tflite" / "host", copy, ignore=shutil.ignore_patterns("__pycache__"))
    given = {"texts": [*HARD_TEXTS, *TEXTS], "pairs": [*reversed(HARD_TEXTS), *TEXTS]}
    # As `-c`, because a script's own folder would be on sys.path.
    printed = isolated.run("litert", ["-c", PROGRAM, package, *bundles], given=json.dumps(given), path=[tmp_path])
    result = json.loads(printed)
    assert result["importable"] == []
    for (_, pairs), folder, predictions in zip(CASES, bundles, result["predictions"], strict=True):
        expected = EdgeClassifier(folder).predict(given["texts"], given["pairs"] if pairs else None)
        assert [prediction.get("label") for prediction in predictions] == [each.label for each in expected]
        scores = [each.score for each in expected]
        assert [prediction["score"] for prediction in predictions] == pytest.approx(scores, rel=1e-4)
    # The import takes half a second because it loads none of these.
    assert not HEAVY & set(result["modules"])


def test_the_golden_files_hold_there(bundles: list[Path], repository: Path) -> None:
    program = (
        "import sys\nfrom tflite.bundle.bundle_folder import check_golden\nprint(*map(check_golden, sys.argv[1:]))"
    )
    printed = isolated.run("litert", ["-c", program, *bundles], path=[repository])
    assert printed.split() == [str(len(HARD_TEXTS) + len(TEXTS))] * len(bundles)
