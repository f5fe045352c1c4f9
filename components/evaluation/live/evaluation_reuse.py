"""Reuses the evaluation of a model once the model has become the live one.

After a push there is another live model, so TFX's cache would have the Evaluator measure the same model on the same
rows again, this time with nothing to compare it with: the live model is the candidate itself.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from components.evaluation.summary import load_summary, save_summary
from components.evaluation.verdict import NOTHING_LIVE
from tflite.host.json_text import to_json

KEY_FILE = "measured.json"
"""In the folder of an evaluation: its key, that is everything on which it depends."""
REUSED = "reused"
"""Property of an evaluation that is a copy of an earlier one: 1."""


def with_reuse_note(notes: Iterable[str], version: int | str) -> list[str]:
    """The notes of an evaluation that is reused, because the model is live as this version.

    That comes first; that nothing was live before it is left out.
    """
    note = f"this model is live already, as version {version}: its evaluation is reused"
    return [note, *(other for other in notes if other not in (note, NOTHING_LIVE))]


def save_key(key: Mapping[str, Any], folder: Path) -> None:
    """Writes the key of the evaluation in a folder."""
    (folder / KEY_FILE).write_text(to_json(key, sort_keys=True, ascii=True) + "\n", encoding="utf-8")


def reuse(key: Mapping[str, Any], folder: Path, version: int) -> dict[str, Any] | None:
    """Copies the newest evaluation that has the same key and blessed the model into a new one's folder.

    Args:
        key: JSON values: model, rows, settings and code.
        folder: of the new evaluation; those of earlier ones are next to it.
        version: as which the model is live, for the first note of the summary.

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
            summary["notes"] = with_reuse_note(summary["notes"], version)
            save_summary(summary, folder)
            return summary
    return None
