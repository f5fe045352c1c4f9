"""What was measured of a model stands when it has become the live one: nothing is measured twice.

After a push the live model is another, so TFX's cache would have the Evaluator measure the same model on the same rows
again, beside nothing: for what is live is this very model.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.evaluation.summary import load_summary, save_summary
from tflite.host.json_text import to_json

FILE_NAME = "measured.json"
"""In an evaluation: what decided it."""
REUSED = "reused"
"""Property of an evaluation that is a copy of a former one: 1."""


def save(decided_by: Mapping[str, Any], folder: Path) -> None:
    """Writes down what decided the evaluation in a folder."""
    (folder / FILE_NAME).write_text(to_json(decided_by, sort_keys=True, ascii=True) + "\n", encoding="utf-8")


def take(decided_by: Mapping[str, Any], folder: Path, note: str) -> dict[str, Any] | None:
    """Copies the newest evaluation that the same decided, and that blessed the model, into a new one's folder.

    Args:
        decided_by: JSON values: model, rows, settings and code.
        folder: of the new evaluation; those of former ones lie beside it.
        note: what its summary says first.

    Returns:
        Its summary; None where there is none.
    """
    others = (path for path in folder.parent.iterdir() if path != folder and path.name.isdecimal())
    for former in sorted(others, key=lambda path: -int(path.name)):
        try:
            same = json.loads((former / FILE_NAME).read_text(encoding="utf-8")) == json.loads(
                to_json(decided_by, ascii=True)
            )
            summary = load_summary(former)
        except (OSError, ValueError):  # it failed, or an earlier version of Transom made it
            continue
        if same and summary.get("blessed"):
            shutil.copytree(former, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
            summary["notes"] = [note, *(said for said in summary["notes"] if said != note)]
            save_summary(summary, folder)
            return summary
    return None
