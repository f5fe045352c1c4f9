"""The schema of a table, inferred from the statistics of its training split with TFDV. No TFX.

TFDV infers too much from text. With fewer than a hundred distinct texts it takes them for an enumeration, so that
every new text is an anomaly; a label that is missing from training is reported twice; a column that happens to be
complete in training must be complete forever. So the schema of the task's columns is set here, and only the values of
the other columns are TFDV's.
"""

from __future__ import annotations

from typing import Any

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from components.data.categorical import is_categorical
from components.data.schema_file import set_task_column, task_columns
from models.config import TaskConfig


def infer_schema(statistics: Any, task: TaskConfig) -> Any:
    """The `Schema` for the `DatasetFeatureStatisticsList` of a training split."""
    inferred = tfdv.infer_schema(statistics, infer_feature_shape=False)
    domains = {domain.name: domain for domain in inferred.string_domain}
    categorical = _categorical_columns(statistics)
    schema = schema_pb2.Schema()
    own_columns = task_columns(task)
    for name, feature_type in own_columns.items():
        set_task_column(schema.feature.add(name=name), feature_type, task)
    for feature in inferred.feature:
        if feature.name in own_columns:
            continue
        other = schema.feature.add(name=feature.name, type=schema_pb2.BYTES)
        other.presence.min_count = 1
        other.value_count.min, other.value_count.max = 0, 1
        if feature.name in categorical and feature.domain in domains:
            other.domain = feature.domain
            schema.string_domain.add().CopyFrom(domains[feature.domain])
    return schema


def _categorical_columns(statistics: Any) -> set[str]:
    return {
        feature.path.step[0]
        for feature in statistics.datasets[0].features
        if feature.type == statistics_pb2.FeatureNameStatistics.STRING
        and is_categorical(feature.string_stats.unique, feature.string_stats.common_stats.num_non_missing)
    }
