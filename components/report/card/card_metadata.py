"""The metadata of a model card, as Hugging Face's hub reads them: YAML above the Markdown.

Format: https://github.com/huggingface/hub-docs/blob/main/modelcard.md
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from components.report.page_facts import RunFacts
from models.presets.preset_names import PACKAGED

_HF_METRICS = {
    "accuracy": "accuracy",
    "macro_f1": "f1",
    "micro_f1": "f1",
    "macro_precision": "precision",
    "macro_recall": "recall",
    "auc": "roc_auc",
    "mae": "mae",
    "mse": "mse",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
}
"""Our names, and those of https://hf.co/metrics. Other metrics are no part of the metadata."""
# https://huggingface.co/docs/hub/repositories-licenses; the hub refuses any other, but for "other" with a name.
_LICENSE_IDS = """
afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m
bigscience-bloom-rail-1.0 bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0
c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0
cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0
cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m ecl-2.0 epl-1.0
epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 gemma gfdl gpl gpl-2.0 gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 lppl-1.3c mit
mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openrail openrail++ osl-3.0 pddl postgresql unlicense wtfpl zlib
"""
_LICENSES = frozenset(_LICENSE_IDS.split())


def metadata(facts: RunFacts, *, bundle: bool) -> str:
    """The YAML, without the lines of dashes around it.

    Args:
        facts: of the run that made the model.
        bundle: for the edge bundle, not for the SavedModel.
    """
    from huggingface_hub import ModelCardData

    card = facts.config.get("card") or {}
    results = list(_results(facts))
    data = ModelCardData(
        model_name=facts.project or "model",
        language=list(card.get("languages") or []) or None,
        library_name="litert" if bundle else "tensorflow",
        pipeline_tag="text-classification",
        tags=["transom", *(["tflite"] if bundle else ["tf-serving", "keras"])],
        base_model=base_model(facts),
        metrics=sorted({result.metric_type for result in results}) or None,
        eval_results=results or None,
        **licence_metadata(card.get("licence")),
    )
    return data.to_yaml().strip()


def base_model(facts: RunFacts) -> str | None:
    """The model on Hugging Face's hub that was tuned; None: none, or one from elsewhere."""
    preset = str((facts.config.get("model") or {}).get("preset") or "")
    if preset in PACKAGED:
        preset = PACKAGED[preset].handle
    return preset.removeprefix("hf://").partition("@")[0] if preset.startswith("hf://") else None


def licence_metadata(name: str | None) -> dict[str, Any]:
    """The entries that name a licence; none if it is not known."""
    if not name:
        return {}
    known = name.lower()
    for one in (known, known.removesuffix("-only"), known.removesuffix("-or-later")):  # SPDX's names of GNU licences
        if one in _LICENSES:
            return {"license": one}
    return {"license": "other", "license_name": name}


def _results(facts: RunFacts) -> Iterator[Any]:
    from huggingface_hub import EvalResult

    measured = facts.evaluation
    for name, value in measured.get("metrics", {}).items():
        if name in _HF_METRICS and value is not None and math.isfinite(value):
            yield EvalResult(
                task_type="text-classification",
                dataset_type=facts.project or "table",
                dataset_name=f"{facts.project or 'table'}, {measured['split']} rows",
                dataset_split=measured["split"],
                metric_type=_HF_METRICS[name],
                metric_name=name.replace("_", " "),
                metric_value=round(float(value), 6),
            )
