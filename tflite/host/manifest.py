"""`edge.json`, the description of a bundle. NumPy and the standard library only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from . import BUNDLE_FILE
from .errors import ModelError
from .json_text import to_json
from .prediction import TaskType

MODEL_FILE = "model.tflite"
FORMAT = 1
"""Incremented when the meaning of `edge.json` changes."""


@dataclass(frozen=True)
class Manifest:
    """How to run a bundle's model, and its measurements.

    Attributes:
        name: of the model, as in the configuration.
        task: the meaning of its output.
        pairs: whether it reads two texts.
        lengths: tokens of each signature, ascending.
        pad_id: the token id for padding.
        threshold: `multi_label`: the lowest probability of a predicted label.
        label_separator: `multi_label`: between the predicted labels.
        variant: its quantization.
        sha256: file name to hash, of every other file that affects a prediction.
        report: sizes, operations, the configuration: for people and for CI.
    """

    name: str
    task: TaskType
    pairs: bool
    lengths: tuple[int, ...]
    pad_id: int
    threshold: float
    label_separator: str
    variant: str
    sha256: dict[str, str] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def output(self) -> str:
        """The name of a signature's only output."""
        return "score" if self.task == "regression" else "probabilities"

    def signature(self, length: int) -> str:
        """The name of the signature for rows of `length` tokens: "classify_32", "regress_32"."""
        return f"{'regress' if self.task == 'regression' else 'classify'}_{length}"

    def features(self, token_ids: Sequence[int], segment_ids: Sequence[int]) -> dict[str, np.ndarray]:
        """The inputs of a signature: `token_ids`, `padding_mask`, `segment_ids`, int32 [1, L] each.

        L is the smallest length that holds the row; rows longer than all of them are truncated.
        """
        length = next((length for length in self.lengths if length >= len(token_ids)), self.lengths[-1])
        row = np.full((3, length), [[self.pad_id], [0], [0]], np.int32)
        count = min(len(token_ids), length)
        row[:, :count] = token_ids[:count], [1] * count, segment_ids[:count]
        return {"token_ids": row[:1], "padding_mask": row[1:2], "segment_ids": row[2:]}

    def to_json(self) -> str:
        return to_json(asdict(self), indent=1) + "\n"

    def save(self, bundle: Path) -> None:
        (bundle / BUNDLE_FILE).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, bundle: Path) -> Manifest:
        """Reads `edge.json`.

        Raises:
            ModelError: the folder is not a bundle, or has another format.
        """
        try:
            raw = json.loads((bundle / BUNDLE_FILE).read_text(encoding="utf-8"))
            format_found = raw.get("format") if isinstance(raw, dict) else None
            if format_found == FORMAT:
                return cls(**{**raw, "lengths": tuple(raw["lengths"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ModelError(
                f"no edge bundle in {bundle}",
                got=f"{type(error).__name__}: {error}",
                expected=f"a folder with {BUNDLE_FILE} and {MODEL_FILE}, as written by `transom edge export`",
            ) from error
        raise ModelError(
            f"the bundle in {bundle} has another format",
            got=f"format {format_found}",
            expected=f"format {FORMAT}",
            fix="export it again with this version of Transom",
        )

    def check_files(self, bundle: Path) -> None:
        """Compares the files with their hashes.

        Raises:
            ModelError: a file is missing or has changed.
        """
        for name, expected in self.sha256.items():
            path = bundle / name
            found = hash_file(path) if path.is_file() else "no such file"
            if found != expected:
                raise ModelError(
                    f"{path} is not the bundle's original file",
                    got=found[:16],
                    expected=f"SHA-256 {expected[:16]}…",
                    fix="copy the whole bundle again",
                )


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
