"""Statistics are TFDV's own, exact where a column has few values, and the same for any number of files."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.types import artifact_utils, standard_artifacts

from components.data.row_batches import RowBatch
from components.steps.statistics_gen import Executor
from components.tf_examples import RECORD_OPTIONS, to_examples
from components.tfx_step import BeamExecutor
from models.config import TaskConfig


def statistics(folder: Path, files: list[list[bytes]]) -> statistics_pb2.DatasetFeatureStatistics:
    """The statistics of a split of these files, next to an empty split."""
    examples, found = standard_artifacts.Examples(), standard_artifacts.ExampleStatistics()
    examples.uri, found.uri = str(folder / "examples"), str(folder / "statistics")
    examples.split_names = artifact_utils.encode_split_names(["train", "eval"])
    for split, contents in (("train", files), ("eval", [[]])):
        (folder / "examples" / f"Split-{split}").mkdir(parents=True)
        for number, rows in enumerate(contents):
            path = folder / "examples" / f"Split-{split}" / f"data-{number:05d}.gz"
            with tf.io.TFRecordWriter(str(path), RECORD_OPTIONS) as writer:
                for row in rows:
                    writer.write(row)
    executor = Executor(BeamExecutor.Context(tmp_dir=str(folder / "tmp"), unique_id="1"))
    executor.Do({"examples": [examples]}, {"statistics": [found]}, {"texts": '["text"]'})
    read = [
        tfdv.load_stats_binary(str(folder / "statistics" / f"Split-{name}" / "FeatureStats.pb"))
        for name in ("train", "eval")
    ]
    assert read[1].datasets[0].num_examples == 0
    return read[0].datasets[0]


def rows(count: int) -> list[bytes]:
    numbers = range(count)
    texts = [f"text {number}" for number in numbers]
    others = {"place": ["home" if number % 3 else None for number in numbers]}
    return list(
        to_examples(RowBatch(texts, None, [("ab"[number % 2],) for number in numbers], None, others), TaskConfig())
    )


@pytest.mark.parametrize("count", [0, 1, 30, 3000])
def test_the_counts_are_those_of_the_rows(tmp_path: Path, count: int) -> None:
    found = statistics(tmp_path, [rows(count)[: count // 2], rows(count)[count // 2 :]])
    assert found.num_examples == count
    features = {feature.path.step[0]: feature for feature in found.features}
    assert list(features) == sorted({"label", "place", "text"} if count > 1 else {"label", "text"} if count else {})
    if count > 1:
        assert features["place"].string_stats.common_stats.num_missing == (count + 2) // 3
        values = {value.value: value.frequency for value in features["label"].string_stats.top_values}
        assert values == {"a": (count + 1) // 2, "b": count // 2}
        assert features["text"].string_stats.unique == pytest.approx(count, rel=0.05)
        assert (len(features["text"].string_stats.rank_histogram.buckets) == count) == (count <= 1000)


def test_any_number_of_files_gives_the_same(tmp_path: Path) -> None:
    given = rows(2000)
    whole = statistics(tmp_path / "whole", [given])
    assert statistics(tmp_path / "parts", [given[:700], given[700:710], [], given[710:]]) == whole
