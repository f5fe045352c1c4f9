"""The rows that training reads: flat arrays on disk, mapped into memory, so that they may be larger than it."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from models.errors import DataError, TrainingError, os_errors_as
from tflite.host.json_text import to_json

_MANIFEST = "rows.json"
_EXAMPLES_PER_READ = 1024


@dataclass(frozen=True)
class TokenRows:
    """N tokenized rows, one after the other."""

    token_ids: np.ndarray  # [T] int32, the ids of all rows
    offsets: np.ndarray  # [N + 1] int64, row i is `token_ids[offsets[i]:offsets[i + 1]]`
    targets: np.ndarray  # [N] int32 (single_label), [N, C] float32 of 0 and 1 (multi_label) or [N] float32 (regression)
    segment_ids: np.ndarray | None = None  # [T] int32, or None if all are 0
    base_logits: np.ndarray | None = None  # [N, C] float32, added to the model's logits in training
    dropped: int = 0  # rows left out because their label never occurs in training

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> np.ndarray:
        """[N] int64, tokens of each row."""
        return np.diff(self.offsets)

    @cached_property
    def checksum(self) -> int:
        """CRC-32 of all arrays, to tell whether a checkpoint belongs to these rows."""
        value = 0
        for array in (self.token_ids, self.offsets, self.targets, self.segment_ids):
            if array is not None:
                value = zlib.crc32(np.ascontiguousarray(array).view(np.uint8).reshape(-1).data, value)
        return value

    @classmethod
    def from_lists(
        cls, token_ids: Sequence[Sequence[int]], targets: Any, segment_ids: Sequence[Sequence[int]] | None = None
    ) -> TokenRows:
        """Rows from Python lists, held in memory."""
        offsets = np.cumsum([0, *(len(row) for row in token_ids)], dtype=np.int64)
        flat = _flatten(token_ids)
        return cls(flat, offsets, np.asarray(targets), _flatten(segment_ids) if segment_ids is not None else None)

    @classmethod
    def from_tfrecords(
        cls, files: Sequence[str | Path], directory: Path | str, *, outputs: int, task: str
    ) -> TokenRows:
        """Reads the transformed examples once into `directory`, then maps them into memory.

        Args:
            files: gzip-compressed TFRecords of tf.Example with `token_ids` and `segment_ids` (int64, any number)
                and `target`: int64 [1], -1 for a label unseen in training (single_label), float32 [outputs]
                (multi_label) or float32 [1] (regression).
            directory: rewritten unless it already holds the rows of these files.
            outputs: labels, 1 for a regression.
            task: the task's type.

        Raises:
            DataError: a file is damaged or holds other features.
            TrainingError: the directory is not writable.
        """
        folder = Path(directory)
        source = {"files": _stamps(files), "outputs": outputs, "task": task}
        manifest = _read_manifest(folder)
        if manifest is None or manifest["source"] != source:
            _write(folder, [str(file) for file in files], source)
        return cls.stored(folder)

    @classmethod
    def stored(cls, folder: Path) -> TokenRows:
        """The rows that `from_tfrecords` wrote into a folder, mapped into memory."""
        manifest = _read_manifest(folder)
        assert manifest is not None, folder
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in manifest["arrays"]}
        return cls(**arrays, dropped=manifest["dropped"])

    def sample(self, count: int, seed: int) -> TokenRows:
        """At most `count` random rows in their order, in memory; all rows if there are no more."""
        chosen = np.sort(np.random.default_rng(seed).permutation(len(self))[:count])
        spans = [slice(self.offsets[row], self.offsets[row + 1]) for row in chosen]

        def flat(values: np.ndarray) -> np.ndarray:
            return np.concatenate([values[:0], *(values[span] for span in spans)])

        return TokenRows(
            flat(self.token_ids),
            np.cumsum([0, *self.lengths[chosen]], dtype=np.int64),
            self.targets[chosen],
            None if self.segment_ids is None else flat(self.segment_ids),
            None if self.base_logits is None else self.base_logits[chosen],
        )

    def store(self, folder: Path) -> None:
        """Writes the rows into a new folder, for `stored`; without `base_logits`."""
        folder.mkdir(parents=True)
        arrays = {name: getattr(self, name) for name in ("token_ids", "offsets", "targets", "segment_ids")}
        arrays = {name: array for name, array in arrays.items() if array is not None}
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        _write_manifest(folder, None, self.dropped, [*arrays])


def _flatten(rows: Sequence[Sequence[int]]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int32), *(np.asarray(row, np.int32) for row in rows)])


def _stamps(files: Sequence[str | Path]) -> list[list[Any]]:
    stamps = ((str(file), os.stat(file)) for file in files)
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stamps]


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    path = folder / _MANIFEST
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _write(folder: Path, files: list[str], source: dict[str, Any]) -> None:
    """Writes the arrays, and the manifest last: a folder without it is not finished."""
    what = f"the training rows cannot be written to {folder}"
    expected = "a writable folder with room for the tokens (8 bytes each)"
    fix = "free some space or choose another output folder, then run again"
    with os_errors_as(TrainingError, what, expected=expected, fix=fix):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with _Arrays(folder, source["outputs"], source["task"]) as arrays:
            for examples in _parse(files, source["outputs"], source["task"]):
                arrays.append(*examples)
        _write_manifest(folder, source, arrays.dropped, arrays.finish())


def _write_manifest(folder: Path, source: dict[str, Any] | None, dropped: int, arrays: list[str]) -> None:
    manifest = {"source": source, "dropped": dropped, "arrays": arrays}
    (folder / _MANIFEST).write_text(to_json(manifest), encoding="utf-8")


class _Arrays:
    """The .npy files while they grow: values are appended, and the header gets its length at the end."""

    def __init__(self, folder: Path, outputs: int, task: str) -> None:
        self._task = task
        target = np.int32 if task == "single_label" else np.float32
        kinds: dict[str, tuple[type, tuple[int, ...]]] = {
            "token_ids": (np.int32, ()),
            "segment_ids": (np.int32, ()),
            "offsets": (np.int64, ()),
            "targets": (target, (outputs,) if task == "multi_label" else ()),
        }
        self._files = {name: _GrowingArray(folder / f"{name}.npy", *kind) for name, kind in kinds.items()}
        self._files["offsets"].append(np.zeros(1))
        self._tokens = 0
        self._any_segment = False
        self.dropped = 0

    def __enter__(self) -> _Arrays:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def append(self, token_ids: np.ndarray, splits: np.ndarray, segment_ids: np.ndarray, targets: np.ndarray) -> None:
        """Adds rows: flat ids [t], their row splits [n + 1], flat segments [t] and targets [n, ...]."""
        lengths = np.diff(splits)
        if self._task == "single_label":
            known = targets >= 0
            self.dropped += int((~known).sum())
            kept = np.repeat(known, lengths)
            token_ids, segment_ids = token_ids[kept], segment_ids[kept]
            lengths, targets = lengths[known], targets[known]
        self._files["token_ids"].append(token_ids)
        self._files["segment_ids"].append(segment_ids)
        self._files["offsets"].append(self._tokens + np.cumsum(lengths))
        self._files["targets"].append(targets)
        self._tokens += int(lengths.sum())
        self._any_segment = self._any_segment or bool(segment_ids.any())

    def finish(self) -> list[str]:
        """Names of the arrays; segment ids are left out if all are 0."""
        return [name for name in self._files if name != "segment_ids" or self._any_segment]


class _GrowingArray:
    def __init__(self, path: Path, dtype: type, row_shape: tuple[int, ...]) -> None:
        self._file: BinaryIO = path.open("wb")
        self._dtype: np.dtype = np.dtype(dtype)
        self._row_shape, self._rows = row_shape, 0
        self._header()

    def append(self, values: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(values, self._dtype).data)
        self._rows += len(values)

    def close(self) -> None:
        self._file.seek(0)
        self._header()
        self._file.close()

    def _header(self) -> None:
        # numpy leaves room in the header for the first axis to grow, so a rewrite does not move the data.
        shape = (self._rows, *self._row_shape)
        header = {"descr": npy.dtype_to_descr(self._dtype), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(self._file, header)


def _parse(
    files: list[str], outputs: int, task: str
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    import tensorflow as tf

    size = outputs if task == "multi_label" else 1
    features = {
        "token_ids": tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64),
        "segment_ids": tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64),
        "target": tf.io.FixedLenFeature([size], tf.int64 if task == "single_label" else tf.float32),
    }
    for file in files:
        batches = tf.data.TFRecordDataset(file, compression_type="GZIP").batch(_EXAMPLES_PER_READ)
        try:
            for serialized in batches:
                row = tf.io.parse_example(serialized, features)
                ids, segments, target = row["token_ids"], row["segment_ids"], row["target"].numpy()
                if int(tf.reduce_min(ids.row_lengths())) == 0:
                    raise _unusable(file, "a row without token_ids")
                flat_segments = segments.values.numpy()
                if len(flat_segments) == 0:
                    flat_segments = np.zeros(len(ids.values), np.int64)
                if len(flat_segments) != len(ids.values):
                    raise _unusable(file, "segment_ids that do not match token_ids")
                flat_target = target if task == "multi_label" else target[:, 0]
                yield ids.values.numpy(), ids.row_splits.numpy(), flat_segments, flat_target
        except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
            raise _unusable(file, error.message.splitlines()[0]) from error


def _unusable(file: str, got: str) -> DataError:
    return DataError(
        f"transformed examples {file}",
        got=got,
        expected="gzip TFRecords of tf.Example with token_ids, segment_ids and target",
        fix="run the Transform step again (the file is damaged or comes from another configuration)",
    )
