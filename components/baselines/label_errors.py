"""Rows whose label is probably wrong: confident learning (Northcutt, Jiang and Chuang, "Confident Learning: Estimating
Uncertainty in Dataset Labels", 2021).

A row counts as labelled j with confidence if its probability of j is at least the usual one: the mean probability of j
among the rows that are labelled j. A row that is confidently labelled other than it is given is a suspect. Of those,
only rows whose given label has less than `UNLIKELY` of its usual probability are reported. Of such rows of SST-2,
TREC-6, MRPC and TweetEval, 5 to 8 of 10 had a changed label when 5% of the labels were changed at random, and 7 to 9
of 10 when 10% were; of all suspects, 2 to 5 of 10.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from components.baselines.text_rows import record_key
from components.data.rows import Record
from tflite.host.json_text import to_json

FILE_NAME = "label_errors.json"
UNLIKELY = 0.1
FEWEST_ROWS = 100
"""With fewer rows the mean probabilities are too uncertain."""
MOST_LISTED = 50
MOST_SUSPECTS = 500
"""Suspects of a split that are kept until the model has seen them too."""
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class LabelError:
    """A row whose label is suspect.

    Attributes:
        split: where it is.
        key: `text_rows.record_key`.
        text, text_pair: the beginnings of its texts; `text_pair` is None for a task about one text.
        given, suggested: its labels, and what they probably should be; labels that no model knows are in both.
        probability: of the given label. With several labels, of the least likely label that is given, or is not.
        usual: the mean of this probability over the rows that are labelled so.
    """

    split: str
    key: int
    text: str
    text_pair: str | None
    given: tuple[str, ...]
    suggested: tuple[str, ...]
    probability: float
    usual: float

    @property
    def likely(self) -> bool:
        """Whether it is worth reporting."""
        return self.probability < UNLIKELY * self.usual


def save_suspects(suspects: Mapping[str, Sequence[LabelError]], folder: Path) -> None:
    """Writes the suspects of each split into a folder."""
    plain = {split: [asdict(error) for error in errors] for split, errors in suspects.items()}
    (folder / FILE_NAME).write_text(to_json(plain, indent=1) + "\n", encoding="utf-8")


def load_suspects(folder: Path) -> dict[str, list[LabelError]]:
    """Reads what `save_suspects` wrote; empty if it wrote nothing."""
    file = folder / FILE_NAME
    raw: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {split: [_read(error) for error in errors] for split, errors in raw.items()}


def _read(raw: dict[str, Any]) -> LabelError:
    return LabelError(**{**raw, "given": tuple(raw["given"]), "suggested": tuple(raw["suggested"])})


def summarize_label_errors(errors: Mapping[str, Sequence[LabelError]]) -> dict[str, Any]:
    """The likely errors of each split as plain JSON: how many, and the `MOST_LISTED` least likely labels."""
    likely = [error for found in errors.values() for error in found if error.likely]
    listed = sorted(likely, key=lambda error: (error.probability, error.key))[:MOST_LISTED]
    rows = [{**asdict(error), "given": list(error.given), "suggested": list(error.suggested)} for error in listed]
    return {"found": {split: sum(error.likely for error in found) for split, found in errors.items()}, "rows": rows}


def find_suspects(
    split: str, records: Sequence[Record], labels: Sequence[str], targets: np.ndarray, probabilities: np.ndarray
) -> list[LabelError]:
    """The suspects among the rows, the least likely labels first; none if there are fewer than `FEWEST_ROWS` rows.

    Args:
        split: the rows' split.
        records: N rows.
        labels: C names.
        targets: int [N], index of the label, -1 for one that is not among the labels; or bool [N, C].
        probabilities: [N, C], of models that were not trained on the row.
    """
    if len(records) < FEWEST_ROWS:
        return []
    search, known = _single if targets.ndim == 1 else _several, set(labels)
    found = [
        LabelError(
            split=split,
            key=record_key(records[row]),
            text=records[row].text[:_SHOWN_CHARACTERS],
            text_pair=None if records[row].text_pair is None else (records[row].text_pair or "")[:_SHOWN_CHARACTERS],
            given=records[row].labels,
            suggested=(
                *(labels[index] for index in suggested),
                *(label for label in records[row].labels if label not in known),
            ),
            probability=probability,
            usual=usual,
        )
        for row, suggested, probability, usual in search(targets, probabilities)
    ]
    return sorted(found, key=lambda error: (error.probability, error.key))


def confirm(
    suspects: Sequence[LabelError], labels: Sequence[str], probabilities: np.ndarray, *, one_label: bool
) -> list[LabelError]:
    """The suspects that another model suspects too, with the mean of both probabilities.

    A label that the other model does not know is no evidence: it gives no probability for it.

    Args:
        suspects: M suspects.
        labels: C names.
        probabilities: the other model's, [M, C].
        one_label: whether a row has one label.
    """
    confirmed = []
    for error, row in zip(suspects, probabilities, strict=True):
        of = dict(zip(labels, map(float, row), strict=True))
        if one_label:
            agrees = max(of, key=of.__getitem__) == error.suggested[0]
            each = [of[label] for label in error.given if label in of]
        else:
            changed = (set(error.given) ^ set(error.suggested)) & of.keys()
            each = [of[label] if label in error.given else 1 - of[label] for label in changed]
            agrees = all(share < 0.5 for share in each)
        if agrees and each:
            own = min(each)
            confirmed.append(replace(error, probability=(error.probability + own) / 2))
    return confirmed


def _confident_labels(targets: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The confident label of each row, int [N], -1 for rows that have none; and each label's usual probability, [C]."""
    own = (probabilities[targets == label, label] for label in range(probabilities.shape[1]))
    usual = np.array([part.mean() if len(part) else np.inf for part in own])
    confident = np.where(probabilities >= usual, probabilities, -1.0)
    return np.where(confident.max(axis=1) >= 0, confident.argmax(axis=1), -1), usual


_Suspects = Iterator[tuple[int, list[int], float, float]]
"""Row, suggested labels, the probability of the given one, its usual probability."""


def _single(targets: np.ndarray, probabilities: np.ndarray) -> _Suspects:
    confident, usual = _confident_labels(targets, probabilities)
    for row in np.flatnonzero((confident >= 0) & (targets >= 0) & (confident != targets)):
        given = targets[row]
        yield int(row), [int(confident[row])], float(probabilities[row, given]), float(usual[given])


def _several(targets: np.ndarray, probabilities: np.ndarray) -> _Suspects:
    """Each label for itself, as a choice between no and yes."""
    should, usual = targets.copy(), np.ones(probabilities.shape)
    for label, (has, share) in enumerate(zip(targets.T, probabilities.T, strict=True)):
        confident, means = _confident_labels(has.astype(np.int64), np.column_stack([1 - share, share]))
        should[:, label] = np.where(confident >= 0, confident, has)
        usual[:, label] = means[has.astype(np.int64)]
    own = np.where(targets, probabilities, 1 - probabilities)
    for row in np.flatnonzero((should != targets).any(axis=1)):
        changed = np.flatnonzero(should[row] != targets[row])
        least = changed[np.argmin(own[row, changed] / usual[row, changed])]
        yield int(row), np.flatnonzero(should[row]).tolist(), float(own[row, least]), float(usual[row, least])
