"""Reuses the evaluation of a model once the model has become the live one.

After a push there is another live model, so TFX's cache would have the Evaluator measure the same model on the same
rows again, this time with nothing to compare it with: the live model is the candidate itself.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.evaluation.summary import load_summary, save_summary
from tflite.host.json_text import to_json

KEY_FILE = "measured.json"
"""In the folder of an evaluation: its key, that is everything on which it depends."""
REUSED = "reused"
"""Property of an evaluation that is a copy of an earlier one: 1."""


def reuse_note(version: int | str) -> str:
    """The first note of an evaluation that is reused, because the model is live as this version."""
    return f"this model is live already, as version {version}: its evaluation is reused"


def save_key(key: Mapping[str, Any], folder: Path) -> None:
    """Writes the key of the evaluation in a folder."""
    (folder / KEY_FILE).write_text(to_json(key, sort_keys=True, ascii=True) + "\n", encoding="utf-8")


def reuse(key: Mapping[str, Any], folder: Path, note: str) -> dict[str, Any] | None:
    """Copies the newest evaluation that has the same key and blessed the model into a new one's folder.

    Args:
        key: JSON values: model, rows, settings and code.
        folder: of the new evaluation; those of earlier ones are next to it.
        note: becomes the first note of the summary.

    Returns:
        Its summary; None if there is no such evaluation.
    """
    wanted = json.loads(to_json(key, ascii=True))
    others = (path for path in folder.parent.iterdir() if path != folder and path.name.isdecimal())
    for earlier in sorted(others, key=lambda path: -int(path.name)):
        try:
            same = json.loads((earlier / KEY_FILE).read_text(encoding="utf-8")) == wanted
            summary = load_summary(earlier)
        except (OSError, ValueError):  # it failed, or an earlier version of Transom wrote it
            continue
        if same and summary.get("blessed"):
            shutil.copytree(earlier, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
            summary["notes"] = [note, *(other for other in summary["notes"] if other != note)]
            save_summary(summary, folder)
            return summary
    return None
