"""StatisticsGen and ExampleValidator: TFX's own, with their libraries' versions as part of the cache key."""

from __future__ import annotations

from tfx import types
from tfx.components import ExampleValidator as TfxExampleValidator
from tfx.components import StatisticsGen as TfxStatisticsGen
from tfx.utils import json_utils

from components.tfx_step import Step

# TFX's executors import them.
_LIBRARIES = ("tensorflow_data_validation", "tfx_bsl")
_ALL_SPLITS = json_utils.dumps([])


class StatisticsGen(Step, extends=TfxStatisticsGen, code=_LIBRARIES):
    """Output `statistics`: TFDV's statistics of every split."""

    def __init__(self, examples: types.BaseChannel) -> None:
        super().__init__(examples=examples, exclude_splits=_ALL_SPLITS)


class ExampleValidator(Step, extends=TfxExampleValidator, code=_LIBRARIES):
    """Output `anomalies`: where the statistics do not fit the schema."""

    def __init__(self, statistics: types.BaseChannel, schema: types.BaseChannel) -> None:
        super().__init__(statistics=statistics, schema=schema, exclude_splits=_ALL_SPLITS)
