from __future__ import annotations

import json
from pathlib import Path

from tflite.host.labels import LABELS_FILE, LabelSpace


def test_a_space_is_read_as_it_was_written(tmp_path: Path) -> None:
    space = LabelSpace(("a", "b"), (3, 4), 7, temperatures=(1.25, 0.1 + 0.2))
    space.save(tmp_path)
    assert LabelSpace.load(tmp_path) == space


def test_a_model_of_an_earlier_version_has_no_temperatures(tmp_path: Path) -> None:
    old = {"labels": ["a", "b"], "counts": [3, 4], "rows": 7, "mean": 0.0, "std": 1.0}
    (tmp_path / LABELS_FILE).write_text(json.dumps(old))
    assert LabelSpace.load(tmp_path) == LabelSpace(("a", "b"), (3, 4), 7)
