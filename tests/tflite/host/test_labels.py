from __future__ import annotations

import json
from pathlib import Path

from tflite.host.labels import LABELS_FILE, LabelSpace


def test_a_space_is_read_as_it_was_written(tmp_path: Path) -> None:
    space = LabelSpace(("a", "b"), (3, 4), 7, temperatures=(1.25, 0.1 + 0.2))
    space.save(tmp_path)
    assert LabelSpace.load(tmp_path) == space


def test_without_temperatures_the_file_is_that_of_earlier_versions(tmp_path: Path) -> None:
    old = {"labels": ["a", "b"], "counts": [3, 4], "rows": 7, "mean": 0.0, "std": 1.0}
    (tmp_path / LABELS_FILE).write_text(json.dumps(old))
    space = LabelSpace(("a", "b"), (3, 4), 7)
    assert LabelSpace.load(tmp_path) == space
    space.save(tmp_path)
    assert json.loads((tmp_path / LABELS_FILE).read_text()) == old
