"""The configuration that makes TFMA compute Transom's metrics."""

from __future__ import annotations

from dataclasses import asdict

import tensorflow_model_analysis as tfma

from components.config import EvaluationConfig
from components.evaluation.comparability import SIGNATURE
from components.evaluation.comparison import Baseline
from components.evaluation.tfma_metric import TextMetrics
from components.evaluation.thresholds import slice_columns
from models.config import TaskConfig
from tflite.host.json_text import to_json


def build_eval_config(
    task: TaskConfig, config: EvaluationConfig, labels: tuple[str, ...], baseline: Baseline | None
) -> tfma.EvalConfig:
    """One metric that computes all of Transom's, and the slices.

    TFMA's confidence intervals, example weights and default metrics are left out: they cost several passes.
    """
    metric = TextMetrics(
        task=task.model_dump(mode="json"),
        labels=list(labels),
        live=None if baseline is None else asdict(baseline),
        judged=[name for name, threshold in config.thresholds.items() if threshold.max_loss_to_live is not None],
    )
    eval_config = tfma.EvalConfig(
        # Without a type TFMA tries to load the model with Keras first.
        model_specs=[tfma.ModelSpec(signature_name=SIGNATURE, model_type=tfma.TF_GENERIC)],
        metrics_specs=[
            tfma.MetricsSpec(
                metrics=[
                    tfma.MetricConfig(
                        class_name=TextMetrics.__name__,
                        module=TextMetrics.__module__,
                        config=to_json(metric.get_config()),
                    )
                ]
            )
        ],
        slicing_specs=[
            tfma.SlicingSpec(),
            *(tfma.SlicingSpec(feature_keys=[name]) for name in slice_columns(task, config)),
        ],
    )
    eval_config.options.include_default_metrics.value = False
    eval_config.options.compute_confidence_intervals.value = False
    return eval_config
