"""StatisticsGen and ExampleValidator: TFDV's, with the libraries' versions as part of the cache key.

TFX's own StatisticsGen passes every row through Beam by itself, and counts every distinct text; its memory grows with
the rows. This one reads batches, and has TFDV count in sketches of a fixed size: the values of a column are exact where
there are at most a thousand; of others the most frequent are told, and their number is an estimate.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from tensorflow_data_validation.statistics import stats_impl, stats_options
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx import types
from tfx.components import ExampleValidator as TfxExampleValidator
from tfx.components.statistics_gen.stats_artifact_utils import BINARY_PB_BASENAME
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import io_utils, json_utils
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from components.tf_examples import file_sizes, read_batches, row_count, split_files
from components.tfx_step import BeamStepExecutor, Step, StepRun
from models.config import TaskConfig
from tflite.host.json_text import to_json

# TFX's executor of ExampleValidator imports them.
_LIBRARIES = ("tensorflow_data_validation", "tfx_bsl")
# The number of distinct values of a column that TFDV's sketches hold.
_HELD = stats_options.StatsOptions().num_rank_histogram_buckets
_ALL_SPLITS = json_utils.dumps([])


class Executor(BeamStepExecutor):
    """Counts each file with Beam, and adds the counts of each split up."""

    def run(self, step: StepRun) -> None:
        """Writes `Split-*/FeatureStats.pb`, TFX's name for it."""
        examples, statistics = step.artifact("examples"), step.artifact("statistics")
        splits = step.splits("examples")
        statistics.split_names = artifact_utils.encode_split_names(splits)
        statistics.span = examples.span
        files = [(split, path) for split in splits for path in split_files(examples, split)]
        generators, sizes = _generators(), file_sizes(path for _, path in files)
        counts = {split: [generator.create_accumulator() for generator in generators] for split in splits}
        for split, part in self.gatherer.gather(files, _count_file, sizes, row_count(examples, splits)):
            parts = zip(generators, counts[split], part, strict=True)
            counts[split] = [generator.merge_accumulators([before, more]) for generator, before, more in parts]
        for split, accumulators in counts.items():
            found = stats_impl.extract_statistics_output(accumulators, generators)
            _drop_guesses(found, json.loads(step.parameters["texts"]))
            target = os.path.join(artifact_utils.get_split_uri([statistics], split), BINARY_PB_BASENAME)
            io_utils.write_bytes_file(target, found.SerializeToString(deterministic=True))


def _drop_guesses(statistics: statistics_pb2.DatasetFeatureStatisticsList, texts: Sequence[str]) -> None:
    """Removes the most frequent texts, if there are more than a sketch holds.

    Which of them it holds, and how often it takes them to occur, is chance. Those of other columns stay, because
    ExampleValidator compares them with the schema.
    """
    for dataset in statistics.datasets:
        dataset.features.sort(key=lambda feature: list(feature.path.step))
        for feature in dataset.features:
            if feature.path.step[0] in texts and feature.string_stats.unique > _HELD:
                del feature.string_stats.top_values[:]
                feature.string_stats.ClearField("rank_histogram")


def _generators() -> list[Any]:
    """TFDV's ways to count, those that need nothing but the rows."""
    return list(stats_impl.get_generators(stats_options.StatsOptions(), in_memory=True))


def _count_file(file: tuple[str, str]) -> tuple[str, list[Any]]:
    """The split, and the counts of a file of examples."""
    split, path = file
    generators, decoder = _generators(), ExamplesToRecordBatchDecoder()
    counts = [generator.create_accumulator() for generator in generators]
    for batch in read_batches([path]):
        rows = decoder.DecodeBatch(batch)
        counts = [generator.add_input(count, rows) for generator, count in zip(generators, counts, strict=True)]
    return split, [generator.compact(count) for generator, count in zip(generators, counts, strict=True)]


class StatisticsGen(Step, executor=Executor):
    """Output `statistics`: TFDV's statistics of every split."""

    INPUTS = {"examples": standard_artifacts.Examples}
    OUTPUTS = {"statistics": standard_artifacts.ExampleStatistics}
    PARAMETERS = {"texts": str}

    def __init__(self, examples: types.BaseChannel, task: TaskConfig) -> None:
        texts = [name for name in (task.text, task.text_pair) if name is not None]
        super().__init__(examples=examples, texts=to_json(texts, ascii=True))


class ExampleValidator(Step, extends=TfxExampleValidator, code=_LIBRARIES):
    """Output `anomalies`: where the statistics do not fit the schema."""

    def __init__(self, statistics: types.BaseChannel, schema: types.BaseChannel) -> None:
        super().__init__(statistics=statistics, schema=schema, exclude_splits=_ALL_SPLITS)
