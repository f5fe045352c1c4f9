"""The fitted baselines as files: what they answer, and for which rows. A prediction is stored under its texts' hash.

`baselines.json` has everything but the linear model's predictions, which are in one NumPy file for each split.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from components.baselines.trivial_answer import TrivialAnswer
from tflite.host.json_text import to_json

FILE_NAME = "baselines.json"


@dataclass(frozen=True)
class LinearFit:
    """How the linear model was fitted.

    Attributes:
        why_not: why there is none; "" if there is one.
        rows: the training rows that it was fitted on; fewer than there are if they were sampled.
        features: their number.
        penalty: its regularization, see `linear_baseline.PENALTIES`.
        threshold: for many labels per row, the probability from which a label is in its answer.
        seconds: that it took, with the predictions.
    """

    why_not: str = ""
    rows: int = 0
    features: int = 0
    penalty: float = 0.0
    threshold: float = 0.5
    seconds: float = 0.0


@dataclass(frozen=True)
class Baselines:
    """The trivial answer and the linear model.

    Attributes:
        labels: in the order of their predictions; empty for a regression.
        rows: the training rows.
        split_rows: the number of rows of each other split.
        trivial: the trivial answer.
        linear: how the linear model was fitted; None if it was not asked for.
    """

    labels: tuple[str, ...]
    rows: int
    split_rows: dict[str, int]
    trivial: TrivialAnswer
    linear: LinearFit | None = None

    def save(self, folder: Path) -> None:
        """Writes `baselines.json`."""
        plain = asdict(self)
        plain["trivial"]["prediction"] = self.trivial.prediction.tolist()
        (folder / FILE_NAME).write_text(to_json(plain, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Baselines:
        """Reads what `save` wrote."""
        raw: dict[str, Any] = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
        trivial = {**raw["trivial"], "prediction": np.array(raw["trivial"]["prediction"], np.float32)}
        return cls(
            labels=tuple(raw["labels"]),
            rows=raw["rows"],
            split_rows=raw["split_rows"],
            trivial=TrivialAnswer(**trivial),
            linear=None if raw["linear"] is None else LinearFit(**raw["linear"]),
        )


@dataclass(frozen=True)
class Predictions:
    """The linear model's predictions for the texts of one split.

    Attributes:
        keys: `text_rows.text_key` of each, uint64 [M], ascending, each once.
        values: float32 [M, C], or [M, 1].
    """

    keys: np.ndarray
    values: np.ndarray = field(repr=False)

    @classmethod
    def of(cls, keys: np.ndarray, values: np.ndarray) -> Predictions:
        """From predictions in any order, with repetitions."""
        distinct, places = np.unique(keys, return_index=True)
        return cls(distinct, values[places])

    def save(self, folder: Path, split: str) -> None:
        """Writes the predictions of a split."""
        np.savez(_file(folder, split), keys=self.keys, values=self.values)

    @classmethod
    def load(cls, folder: Path, split: str) -> Predictions | None:
        """Reads what `save` wrote; None if there are none for this split."""
        file = _file(folder, split)
        if not file.is_file():
            return None
        with np.load(file) as stored:
            return cls(stored["keys"], stored["values"])

    def find(self, keys: Sequence[int]) -> np.ndarray:
        """The predictions for the keys, float32 [N, C]; NaN where there is none."""
        wanted = np.array(keys, np.uint64)
        found = np.full((len(wanted), self.values.shape[1]), np.nan, np.float32)
        if len(self.keys):
            places = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
            known = self.keys[places] == wanted
            found[known] = self.values[places[known]]
        return found


def in_order_of(labels: Sequence[str], own: Sequence[str], values: np.ndarray) -> np.ndarray:
    """Predictions [..., C'] for the labels `own` as predictions [..., C] for `labels`: 0 for those it does not know."""
    if not labels:
        return values
    ordered = np.zeros((*values.shape[:-1], len(labels)), np.float32)
    for index, label in enumerate(labels):
        if label in own:
            ordered[..., index] = values[..., own.index(label)]
    return ordered


def stored_files(folder: Path) -> list[Path]:
    """The files of the baselines in a folder."""
    return sorted(path for path in folder.iterdir() if path.suffix in (".json", ".npz"))


@cache
def load_predictions(folder: str, split: str, own: tuple[str, ...], labels: tuple[str, ...]) -> Predictions:
    """The predictions of a split in the order of a model's labels; none if there are no stored ones."""
    stored = Predictions.load(Path(folder), split) or Predictions(np.zeros(0, np.uint64), np.zeros((0, len(own) or 1)))
    return Predictions(stored.keys, in_order_of(labels, own, stored.values))


def _file(folder: Path, split: str) -> Path:
    return folder / f"predictions_{split}.npz"
