"""The rows that the model of a run gets wrong, with the scores of every model that was asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.evaluation.measurements import MODEL
from components.predictions.row_outcomes import RowOutcomes
from components.predictions.stored_predictions import FOLDER, PredictedRows, PredictionFacts, StoredPredictions
from components.predictions.wrong_rows import answer, wrongness
from models.errors import ConfigError
from pipeline.runs.run_records import RunRecord


@dataclass(frozen=True)
class ErrorRow:
    """One row.

    Attributes:
        row: its number in the evaluated split, from 1.
        text, text_pair: `text_pair` is None for a task about one text.
        given, answer: its labels and the model's; for a regression, the numbers.
        wrongness: how sure the model is of its mistake; of a regression, the size of the error.
        scores: by label, or one for "".
        others: by other model ("live", "linear"), its answer.
        columns: the table's other columns.
    """

    row: int
    text: str
    text_pair: str | None
    given: Sequence[str] | float
    answer: Sequence[str] | float
    wrongness: float
    scores: dict[str, float]
    others: dict[str, Sequence[str] | float]
    columns: dict[str, str]


def predictions_of(record: RunRecord) -> StoredPredictions:
    """The predictions of a run's test rows.

    Raises:
        ConfigError: the run has none, or they have been removed.
    """
    folder = record.rows.get("folder", "")
    try:
        if folder:
            return StoredPredictions(Path(folder, FOLDER))
        got = "the run measured no model"
    except (OSError, ValueError, KeyError, TypeError) as error:
        got = f"{folder}: {error}"
    raise ConfigError(
        f"the predictions of run {record.name}",
        got=got,
        expected="a run that got as far as the Evaluator, and whose results `transom clean` has not removed",
        fix="choose a later run (`transom runs`), or run the pipeline again",
    )


@contextmanager
def explained_damage(record: RunRecord) -> Iterator[None]:
    """Turns what a damaged file of predictions raises in the block into an error that names the run.

    Raises:
        ConfigError: a file cannot be read to its end, or is another program's.
    """
    try:
        yield
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise ConfigError(
            f"the predictions of run {record.name}",
            got=f"{record.rows.get('folder', '')}: {type(error).__name__}: {error}",
            expected="Parquet files as the Evaluator wrote them",
            fix="run the pipeline again with --from Evaluator",
        ) from error


def error_rows(predictions: StoredPredictions) -> list[ErrorRow]:
    """The wrong rows, those first of which the model is surest; of a regression, all rows, the largest error first."""
    facts, read = predictions.facts, 0
    outcomes, found = RowOutcomes(facts), list[ErrorRow]()
    for batch in predictions.batches():
        right = outcomes.add(batch)
        wrong = range(len(batch)) if facts.task == "regression" else np.flatnonzero(right[MODEL] == 0).tolist()
        found += [_row(facts, batch, row, read) for row in wrong]
        read += len(batch)
    return sorted(found, key=lambda row: (-np.nan_to_num(row.wrongness, nan=-1.0), row.row))


def _row(facts: PredictionFacts, batch: PredictedRows, row: int, read: int) -> ErrorRow:
    own = batch.scores[MODEL][row]
    common: dict[str, Any] = {
        "row": read + row + 1,
        "text": batch.texts[row],
        "text_pair": None if batch.pairs is None else batch.pairs[row],
        "columns": batch.others[row],
    }
    others = {name: scores[row] for name, scores in batch.scores.items() if name != MODEL}
    if batch.numbers is not None:
        number, predicted = batch.numbers[row], float(own[0])
        numbers: dict[str, Sequence[str] | float] = {name: float(scores[0]) for name, scores in others.items()}
        size = abs(number - predicted)
        return ErrorRow(
            given=number, answer=predicted, wrongness=size, scores={"": predicted}, others=numbers, **common
        )
    given = (batch.given or [])[row]
    return ErrorRow(
        given=given,
        answer=answer(facts, MODEL, own),
        wrongness=wrongness(facts, given, own),
        scores=dict(zip(facts.labels, own.tolist(), strict=True)),
        others={name: answer(facts, name, scores) for name, scores in others.items()},
        **common,
    )


def plain(row: ErrorRow) -> dict[str, Any]:
    """The row as JSON values, without the scores that are 0 (of many labels, most were not kept)."""
    kept = {label: score for label, score in row.scores.items() if score or len(row.scores) == 1}
    return {**vars(row), "scores": kept}


def csv_rows(rows: Sequence[ErrorRow], facts: PredictionFacts) -> Iterator[list[str]]:
    """The header and the rows for a CSV file: one column for each other column of the table, and each label's score."""
    columns = list(dict.fromkeys(name for row in rows for name in row.columns))
    models = list(dict.fromkeys(name for row in rows for name in row.others))
    pair = any(row.text_pair is not None for row in rows)
    labels = [label for label in facts.labels if any(row.scores.get(label) for row in rows)]
    yield [
        *("row", "text", *(["text_pair"] if pair else []), "given", "answer", "wrongness"),
        *(f"{name} answer" for name in models),
        *(f"score {label}" for label in labels),
        *columns,
    ]
    for row in rows:
        yield [
            *(str(row.row), row.text, *([row.text_pair or ""] if pair else [])),
            *(_text(row.given), _text(row.answer), f"{row.wrongness:.6g}"),
            *(_text(row.others.get(name, ())) for name in models),
            *(f"{row.scores.get(label, 0.0):.6g}" for label in labels),
            *(row.columns.get(name, "") for name in columns),
        ]


def _text(value: Sequence[str] | float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "|".join(value)
