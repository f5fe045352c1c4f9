"""Bundles of the tiny edge models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import golden_text
import tiny_edge as tiny

from tflite.bundle import mediapipe_metadata
from tflite.bundle.bundle_folder import write_bundle

TEXTS = ("the film was good", "un film bad, cafe!", "films " * 40)
TOKENIZER = golden_text.tokenizer(max_length=max(tiny.LENGTHS))
CARD = mediapipe_metadata.FileDescription("tiny", "A model for tests.", "7", "Somebody", "Apache-2.0")


def bundle(folder: Path, task: str = "single_label", **more: Any) -> Path:
    manifest = tiny.manifest(task, **more)
    content = tiny.content(task, manifest.lengths)
    write_bundle(folder, content, manifest, tokenizer=TOKENIZER, labels=tiny.TASKS[task], about=CARD, texts=TEXTS)
    return folder
