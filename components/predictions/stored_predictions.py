"""The rows of a split with the predictions for each, as Parquet files: `pandas.read_parquet` reads the folder, too.

With at most `ALL_LABELS` labels a row has all scores, in the order of the labels. With more it has the highest, those
of its own labels and, with several labels per row, those that could matter at any sensible threshold; the column
`NAME_labels` has the indices of these labels. Imports neither TensorFlow nor TFX.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.evaluation.measurements import LINEAR, LIVE, MODEL, SOURCES
from tflite.host.json_text import to_json
from tflite.host.prediction import TaskType

FOLDER = "predictions"
"""The folder of these files in an evaluation."""
ALL_LABELS = 64
"""With more labels, only a part of the scores is kept."""
MOST_CHARACTERS = 32_768
"""The kept beginning of a text."""
_HIGHEST, _MATTERS = 16, 0.01
_METADATA = b"transom"


@dataclass(frozen=True)
class PredictionFacts:
    """What all rows have in common.

    Attributes:
        task: `task.type`.
        split: the rows' split.
        labels: in the order of the model's and the linear baseline's scores; empty for a regression.
        threshold: with several labels per row, the score from which the model answers with a label.
        live_labels: in the order of the live model's scores.
        live_threshold, linear_threshold: as `threshold`.
    """

    task: TaskType
    split: str
    labels: tuple[str, ...] = ()
    threshold: float = 0.5
    live_labels: tuple[str, ...] = ()
    live_threshold: float = 0.5
    linear_threshold: float = 0.5

    def threshold_of(self, source: str) -> float:
        """The score from which a source answers with a label."""
        return {MODEL: self.threshold, LIVE: self.live_threshold, LINEAR: self.linear_threshold}[source]

    def labels_of(self, source: str) -> tuple[str, ...]:
        """The labels of a source's scores."""
        return self.live_labels if source == LIVE else self.labels


@dataclass
class PredictedRows:
    """Rows with their predictions, column by column.

    Attributes:
        keys: `text_rows.text_key` of each row.
        texts: their beginnings.
        pairs: of the second texts; None for a task about one text.
        given: the row's labels, also those that the model does not know; None for a regression.
        numbers: the row's number, NaN if it has none; None unless for a regression.
        others: the table's other columns, by name.
        scores: by source, [N, C] float32, or [N, 1] for a regression; NaN where the source did not predict. A source
            that was not asked is absent.
    """

    keys: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    pairs: list[str] | None = None
    given: list[tuple[str, ...]] | None = None
    numbers: list[float] | None = None
    others: list[dict[str, str]] = field(default_factory=list)
    scores: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)


def write_rows(stream: io.RawIOBase, batches: Iterator[PredictedRows], facts: PredictionFacts) -> None:
    """Writes the rows as one Parquet file. There must be at least one batch, and all must have the same columns."""
    writer = None
    for rows in batches:
        table = pa.table(_columns(rows, facts))
        if writer is None:
            schema = table.schema.with_metadata({_METADATA: to_json(asdict(facts)).encode()})
            writer = pq.ParquetWriter(stream, schema, compression="zstd")
        writer.write_table(table.cast(writer.schema))
    if writer is not None:
        writer.close()


def _columns(rows: PredictedRows, facts: PredictionFacts) -> dict[str, pa.Array]:
    columns = {"key": pa.array(rows.keys, pa.uint64()), "text": _shortened(rows.texts)}
    if rows.pairs is not None:
        columns["text_pair"] = _shortened(rows.pairs)
    if rows.given is not None:
        columns["given"] = pa.array([list(labels) for labels in rows.given], pa.list_(pa.string()))
    if rows.numbers is not None:
        columns["number"] = pa.array(rows.numbers, pa.float64())
    columns["others"] = pa.array([list(row.items()) for row in rows.others], pa.map_(pa.string(), pa.string()))
    for source, scores in rows.scores.items():
        columns |= _score_columns(source, scores, rows.given, facts)
    return columns


def _shortened(texts: Sequence[str]) -> pa.Array:
    return pa.array([text[:MOST_CHARACTERS] for text in texts], pa.string())


def _score_columns(
    source: str, scores: np.ndarray, given: Sequence[tuple[str, ...]] | None, facts: PredictionFacts
) -> dict[str, pa.Array]:
    kind = pa.list_(pa.float32())
    if scores.shape[1] <= ALL_LABELS:
        return {f"{source}_scores": pa.array(list(scores.astype(np.float32)), kind)}
    index = {label: number for number, label in enumerate(facts.labels_of(source))}
    least = _MATTERS if facts.task == "multi_label" else np.inf
    kept = []
    for row, labels in zip(scores, given or [()] * len(scores), strict=True):
        own = [index[label] for label in labels if label in index]
        highest = np.argpartition(-row, _HIGHEST)[:_HIGHEST]
        kept.append(np.unique(np.concatenate([highest, np.flatnonzero(row >= least), np.array(own, np.int64)])))
    return {
        f"{source}_labels": pa.array([part.astype(np.int32) for part in kept], pa.list_(pa.int32())),
        f"{source}_scores": pa.array([row[part] for row, part in zip(scores, kept, strict=True)], kind),
    }


class StoredPredictions:
    """The files in a folder that `write_rows` wrote, in the order of their names. It reads a batch at a time.

    Raises:
        OSError, ValueError: there is none, or one is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._files = sorted(folder.glob("*.parquet"))
        if not self._files:
            raise FileNotFoundError(f"no predictions in {folder}")
        raw: dict[str, Any] = json.loads(pq.read_schema(self._files[0]).metadata[_METADATA])
        labels = {name: tuple(raw[name]) for name in ("labels", "live_labels")}
        self.facts = PredictionFacts(**{**raw, **labels})
        self.rows = sum(pq.read_metadata(file).num_rows for file in self._files)

    @property
    def sources(self) -> list[str]:
        """What predicted, of `SOURCES`."""
        names = set(pq.read_schema(self._files[0]).names)
        return [source for source in SOURCES if f"{source}_scores" in names]

    def batches(self, sources: Sequence[str] = SOURCES, rows: int = 4096) -> Iterator[PredictedRows]:
        """The rows, some at a time; only the named sources' scores. A score that was not kept is 0."""
        wanted = [source for source in self.sources if source in sources]
        for file in self._files:
            with pq.ParquetFile(file) as parquet:
                others = [name for name in parquet.schema_arrow.names if name.partition("_")[0] not in SOURCES]
                scores = [f"{source}_{kind}" for source in wanted for kind in ("labels", "scores")]
                for batch in parquet.iter_batches(rows, columns=[*others, *scores]):
                    yield self._rows(batch, wanted)

    def _rows(self, batch: pa.RecordBatch, sources: Sequence[str]) -> PredictedRows:
        columns: Mapping[str, pa.Array] = dict(zip(batch.schema.names, batch.columns, strict=True))
        given, number, pairs = (columns.get(name) for name in ("given", "number", "text_pair"))
        return PredictedRows(
            columns["key"].to_pylist(),
            columns["text"].to_pylist(),
            None if pairs is None else pairs.to_pylist(),
            None if given is None else [tuple(labels) for labels in given.to_pylist()],
            None if number is None else number.to_pylist(),
            [dict(row) for row in columns["others"].to_pylist()],
            {source: self._dense(source, columns, len(batch)) for source in sources},
        )

    def _dense(self, source: str, columns: Mapping[str, pa.Array], rows: int) -> np.ndarray:
        scores, kept = columns[f"{source}_scores"], columns.get(f"{source}_labels")
        values = scores.flatten().to_numpy(zero_copy_only=False)
        if kept is None:
            return np.asarray(values, np.float32).reshape(rows, -1)
        dense = np.zeros((rows, len(self.facts.labels_of(source))), np.float32)
        dense[np.repeat(np.arange(rows), scores.value_lengths().to_numpy()), kept.flatten().to_numpy()] = values
        return dense
