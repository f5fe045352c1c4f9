"""The edge gate's report: every variant compared with Keras, measured and held against the budget."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from components.artifacts import BLESSED, MEASURE_AGAIN
from components.model_gates.variant_export import REFERENCE, brief, load_export_errors
from components.row_progress import RowProgress, count_rows, row_progress
from models.errors import ModelError
from models.saved.restore import restore
from tflite.config import EdgeConfig
from tflite.convert.variants import Variant
from tflite.host.edge_classifier import EdgeClassifier
from tflite.measure.cost import Cost, measure_cost
from tflite.measure.parity import TextRow, compare, keras_reference
from tflite.measure.variant_choice import Candidate, choose_variant

PROGRESS_LOG = logging.getLogger("transom.progress")
SPLIT = "eval"
"""The split whose rows are compared."""


def edge_gate_report(
    folder: Path, bundles: Path, rows: list[TextRow], config: EdgeConfig, min_slice_size: int
) -> dict[str, Any]:
    """The gate's report, see `tflite.measure.variant_choice.choose_variant`, with `again`, see `components.artifacts`.

    Args:
        folder: the SavedModel.
        bundles: the folder that EdgeExporter wrote.
        rows: the rows for which Keras and the bundles are compared.
        config: the variants and their limits.
        min_slice_size: a slice with fewer rows is not judged.

    Raises:
        ModelError: the model cannot be restored for the comparison.
    """
    errors = load_export_errors(bundles)
    if not rows:
        no_rows = f"the {SPLIT} split has no row on which it could be compared with Keras"
        errors = {variant: error or no_rows for variant, error in errors.items()}
    costs: dict[Variant, Cost] = {}
    unmeasured = False
    for variant in [variant for variant, error in errors.items() if not error]:
        PROGRESS_LOG.info("measuring %s", variant)
        try:
            costs[variant] = measure_cost(bundles / variant)
        except ModelError as error:  # for example, LiteRT crashed: the variant's fault, not the run's
            errors[variant], unmeasured = brief(error), True
    if all(errors[variant] for variant in config.variants):
        broken = [Candidate(variant, broken=errors[variant]) for variant in config.variants]
        return {**choose_variant(broken, None, config), MEASURE_AGAIN: unmeasured}
    PROGRESS_LOG.info("predicting %d rows with Keras", len(rows))
    model = restore(folder)
    with row_progress(RowProgress(len(rows), what="with Keras")):
        reference = keras_reference(model, rows, max(config.lengths, default=model.tokenizer.max_length), count_rows)
    candidates = []
    for variant in config.variants:
        if errors[variant]:
            candidates.append(Candidate(variant, broken=errors[variant]))
            continue
        PROGRESS_LOG.info("predicting %d rows with %s", len(rows), variant)
        bundle = EdgeClassifier(bundles / variant, threads=os.cpu_count() or 1)
        with row_progress(RowProgress(len(rows), what=f"with {variant}")):
            parity = compare(bundle, reference, rows, min_slice_size, count_rows)
        candidates.append(Candidate(variant, parity, costs[variant], tuple(bundle.manifest.report["operations"])))
    report = choose_variant(candidates, costs.get(REFERENCE), config)
    slow = not report[BLESSED] and config.budget.latency_ratio is not None
    return {**report, MEASURE_AGAIN: unmeasured or slow}
