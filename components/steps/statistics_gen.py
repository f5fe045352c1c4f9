"""StatisticsGen and ExampleValidator: TFX's own, with their libraries' versions as part of the cache key."""

from __future__ import annotations

from tfx import types
from tfx.components import ExampleValidator as TfxExampleValidator
from tfx.components import StatisticsGen as TfxStatisticsGen
from tfx.dsl.components.base import base_beam_component, base_component
from tfx.types import component_spec, standard_artifacts, standard_component_specs
from tfx.utils import json_utils

from components.fingerprint import fingerprint

# TFX's executors import them.
_LIBRARIES = ("tensorflow_data_validation", "tfx_bsl")
_ALL_SPLITS = json_utils.dumps([])


class _StatisticsSpec(component_spec.ComponentSpec):
    _TFX = standard_component_specs.StatisticsGenSpec
    PARAMETERS = {**_TFX.PARAMETERS, "code": component_spec.ExecutionParameter(type=str)}
    INPUTS = _TFX.INPUTS
    OUTPUTS = _TFX.OUTPUTS
    TYPE_ANNOTATION = _TFX.TYPE_ANNOTATION


class _ValidatorSpec(component_spec.ComponentSpec):
    _TFX = standard_component_specs.ExampleValidatorSpec
    PARAMETERS = {**_TFX.PARAMETERS, "code": component_spec.ExecutionParameter(type=str)}
    INPUTS = _TFX.INPUTS
    OUTPUTS = _TFX.OUTPUTS
    TYPE_ANNOTATION = _TFX.TYPE_ANNOTATION


class StatisticsGen(base_beam_component.BaseBeamComponent):
    """Output `statistics`: TFDV's statistics of every split."""

    SPEC_CLASS = _StatisticsSpec
    EXECUTOR_SPEC = TfxStatisticsGen.EXECUTOR_SPEC

    def __init__(self, examples: types.BaseChannel) -> None:
        super().__init__(
            spec=_StatisticsSpec(
                examples=examples,
                exclude_splits=_ALL_SPLITS,
                code=fingerprint(__name__, *_LIBRARIES),
                statistics=types.Channel(type=standard_artifacts.ExampleStatistics),
            )
        )


class ExampleValidator(base_component.BaseComponent):
    """Output `anomalies`: where the statistics do not fit the schema."""

    SPEC_CLASS = _ValidatorSpec
    EXECUTOR_SPEC = TfxExampleValidator.EXECUTOR_SPEC

    def __init__(self, statistics: types.BaseChannel, schema: types.BaseChannel) -> None:
        super().__init__(
            spec=_ValidatorSpec(
                statistics=statistics,
                schema=schema,
                exclude_splits=_ALL_SPLITS,
                code=fingerprint(__name__, *_LIBRARIES),
                anomalies=types.Channel(type=standard_artifacts.ExampleAnomalies),
            )
        )
