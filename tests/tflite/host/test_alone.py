"""The runtime in an environment of ai-edge-litert and NumPy alone, with nothing of ours but the source."""

from __future__ import annotations

import json
from pathlib import Path

import isolated
import pytest
from tiny_bundles import TEXTS, bundle

from tflite.bundle.bundle_folder import HARD_TEXTS
from tflite.host.edge_classifier import EdgeClassifier

pytestmark = pytest.mark.slow
HERE = Path(__file__).parents[2] / "support" / "tflite"
CASES = [("single_label", False), ("single_label", True), ("multi_label", False), ("regression", False)]
HEAVY = {"tensorflow", "tensorflow_text", "keras", "keras_hub", "pydantic", "pandas", "scipy", "flatbuffers", "google"}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("edge")
    return [bundle(folder / f"{task}-{pairs}", task, pairs=pairs) for task, pairs in CASES]


def test_it_answers_as_here(bundles: list[Path], repository: Path) -> None:
    given = {"texts": [*HARD_TEXTS, *TEXTS], "pairs": [*reversed(HARD_TEXTS), *TEXTS]}
    printed = isolated.run("litert", [HERE / "ask_runtime.py", *bundles], given=json.dumps(given), path=[repository])
    found = json.loads(printed)
    for (_, pairs), folder, answers in zip(CASES, bundles, found["answers"], strict=True):
        wanted = EdgeClassifier(folder).predict(given["texts"], given["pairs"] if pairs else None)
        assert [answer.get("label") for answer in answers] == [each.label for each in wanted]
        assert [answer["score"] for answer in answers] == pytest.approx([each.score for each in wanted], rel=1e-4)
    # The half second of an import is a matter of what it imports.
    assert not HEAVY & set(found["modules"])


def test_the_golden_files_hold_there(bundles: list[Path], repository: Path) -> None:
    program = (
        "import sys\nfrom tflite.bundle.bundle_folder import check_golden\nprint(*map(check_golden, sys.argv[1:]))"
    )
    printed = isolated.run("litert", ["-c", program, *bundles], path=[repository])
    assert printed.split() == [str(len(HARD_TEXTS) + len(TEXTS))] * len(bundles)
