from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.errors import DataError, TrainingError
from models.training.token_rows import TokenRows


def _feature(value: list[Any]) -> Any:
    import tensorflow as tf

    if value and isinstance(value[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=value))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=value))


def _write(path: Path, examples: list[dict[str, list[Any]]]) -> Path:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
        for example in examples:
            features = tf.train.Features(feature={name: _feature(value) for name, value in example.items()})
            writer.write(tf.train.Example(features=features).SerializeToString())
    return path


def _example(ids: list[int], target: list[Any], segments: list[int] | None = None) -> dict[str, list[Any]]:
    return {"token_ids": ids, "segment_ids": segments or [0] * len(ids), "target": target}


def test_single_label_rows_without_a_known_label_are_dropped_and_counted(tmp_path: Path) -> None:
    one = _write(tmp_path / "a.gz", [_example([2, 5, 3], [1]), _example([2, 3], [-1])])
    two = _write(tmp_path / "b.gz", [_example([2, 7, 8, 3], [0], [0, 0, 1, 1])])
    rows = TokenRows.from_tfrecords([one, two], tmp_path / "rows", outputs=2, task="single_label")
    assert len(rows) == 2
    assert rows.dropped == 1
    assert rows.token_ids.tolist() == [2, 5, 3, 2, 7, 8, 3]
    assert rows.segment_ids is not None
    assert rows.segment_ids.tolist() == [0, 0, 0, 0, 0, 1, 1]
    assert rows.lengths.tolist() == [3, 4]
    assert rows.targets.tolist() == [1, 0]
    assert (rows.token_ids.dtype, rows.offsets.dtype, rows.targets.dtype) == (np.int32, np.int64, np.int32)
    assert isinstance(rows.token_ids, np.memmap)


@pytest.mark.parametrize(
    ("task", "outputs", "target", "expected"),
    [("multi_label", 3, [1.0, 0.0, 1.0], [[1.0, 0.0, 1.0]]), ("regression", 1, [2.5], [2.5])],
)
def test_other_tasks_keep_their_targets(
    tmp_path: Path, task: str, outputs: int, target: list[float], expected: list[Any]
) -> None:
    file = _write(tmp_path / "a.gz", [_example([2, 3], target)])
    rows = TokenRows.from_tfrecords([file], tmp_path / "rows", outputs=outputs, task=task)
    assert rows.targets.tolist() == expected
    assert rows.targets.dtype == np.float32
    assert rows.segment_ids is None  # all zero


def test_the_folder_is_read_again_until_a_file_changes(tmp_path: Path) -> None:
    file = _write(tmp_path / "a.gz", [_example([2, 3], [0])] * 3000)
    folder = tmp_path / "rows"
    first = TokenRows.from_tfrecords([file], folder, outputs=2, task="single_label")
    written = (folder / "token_ids.npy").stat().st_mtime_ns
    again = TokenRows.from_tfrecords([file], folder, outputs=2, task="single_label")
    assert (folder / "token_ids.npy").stat().st_mtime_ns == written
    assert len(first) == 3000
    assert first.checksum == again.checksum
    _write(file, [_example([2, 4, 3], [1])])
    changed = TokenRows.from_tfrecords([file], folder, outputs=2, task="single_label")
    assert len(changed) == 1
    assert changed.checksum != first.checksum


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    file = _write(tmp_path / "a.gz", [_example(list(range(100)), [0])] * 50)
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"a\.gz"):
        TokenRows.from_tfrecords([file], tmp_path / "rows", outputs=2, task="single_label")
    _write(file, [_example([2, 3], [0])])
    assert len(TokenRows.from_tfrecords([file], tmp_path / "rows", outputs=2, task="single_label")) == 1


@pytest.mark.parametrize("example", [{"other": [1]}, {"token_ids": [], "target": [1]}, {"token_ids": [2, 3]}])
def test_examples_of_another_kind_are_refused(tmp_path: Path, example: dict[str, list[Any]]) -> None:
    file = _write(tmp_path / "a.gz", [example])
    with pytest.raises(DataError, match=r"a\.gz"):
        TokenRows.from_tfrecords([file], tmp_path / "rows", outputs=2, task="single_label")


def test_a_folder_that_cannot_be_written_is_a_training_error(tmp_path: Path) -> None:
    file = _write(tmp_path / "a.gz", [_example([2, 3], [0])])
    (tmp_path / "plain").write_text("a file where a folder should be")
    with pytest.raises(TrainingError, match="plain"):
        TokenRows.from_tfrecords([file], tmp_path / "plain" / "rows", outputs=2, task="single_label")


def test_a_sample_keeps_rows_whole_and_is_stored(tmp_path: Path) -> None:
    ids = [[2, *range(10, 10 + number), 3] for number in range(1, 30)]
    rows = TokenRows.from_lists(ids, np.arange(1, 30), [[0, *([1] * (len(row) - 1))] for row in ids])
    sample = rows.sample(7, seed=1)
    sample.store(tmp_path / "sample")
    again = TokenRows.stored(tmp_path / "sample")
    assert len(again) == 7
    assert again.checksum == sample.checksum
    assert np.all(np.diff(sample.targets) > 0), "in the order of the rows"
    assert sample.segment_ids is not None
    for row, target in enumerate(sample.targets):
        span = slice(sample.offsets[row], sample.offsets[row + 1])
        assert sample.token_ids[span].tolist() == ids[target - 1]
        assert sample.segment_ids[span].tolist() == [0] + [1] * (len(ids[target - 1]) - 1)
    assert (rows.sample(7, seed=2).targets != sample.targets).any()
    assert rows.sample(100, seed=1).checksum == rows.checksum
