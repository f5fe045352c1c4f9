"""Whether the live model can be measured on the same rows as the candidate, and why not."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_text  # noqa: F401  (registers the operations that the models need)
from google.protobuf.message import DecodeError

from components.data.formats.files import abbreviate
from components.evaluation.comparison import Baseline
from models.config import CONFIG_FILE, TaskConfig
from tflite.host.labels import LabelSpace

SIGNATURE = "tf_example"
EXTRA_FOLDER = "assets.extra"

_LOG = logging.getLogger(__name__)


def output_name(task: TaskConfig) -> str:
    """The output of signature `tf_example` that is measured."""
    return "score" if task.type == "regression" else "probabilities"


def baseline_of(folder: Path, task: TaskConfig, labels: tuple[str, ...], row: bytes) -> tuple[Baseline | None, str]:
    """What must be known of the live model to measure it beside a candidate; or None and what keeps it from that.

    Other labels keep it from nothing where it has enough of the candidate's: see `components.evaluation.comparison`.

    Args:
        folder: the live SavedModel.
        task: the candidate's task.
        labels: the candidate's labels.
        row: one serialized tf.Example of the evaluated rows; the model is asked for its answer.
    """
    own, reason = _task_of(folder, task)
    if own is None:
        return None, reason
    space = _read(lambda: LabelSpace.load(folder / EXTRA_FOLDER))
    if not isinstance(space, LabelSpace):
        return None, f"its {EXTRA_FOLDER}/labels.json is missing or broken"
    baseline = Baseline(space.labels, own.threshold)
    reason = _too_few_labels(baseline, task, labels) or _no_answer(folder, task, space.outputs, row)
    return (None, reason) if reason else (baseline, "")


def _task_of(folder: Path, task: TaskConfig) -> tuple[TaskConfig | None, str]:
    """The live model's task where the rows mean the same to it, or None and what is other."""
    stored = _read(lambda: json.loads((folder / EXTRA_FOLDER / CONFIG_FILE).read_text(encoding="utf-8"))["task"])
    if not isinstance(stored, dict):
        return None, f"its {EXTRA_FOLDER}/{CONFIG_FILE} is missing or broken"
    for key, own in (("type", task.type), ("text", task.text), ("text_pair", task.text_pair)):
        if stored.get(key) != own:
            return None, f"its task.{key} is {stored.get(key)!r}, the candidate's is {own!r}"
    # An older version of Transom knew fewer keys, a newer one knows more: the threshold alone is of interest.
    known = {key: stored[key] for key in ("type", "text", "text_pair", "label", "threshold") if key in stored}
    read = _read(lambda: TaskConfig.model_validate(known))
    if not isinstance(read, TaskConfig):
        return None, f"its {EXTRA_FOLDER}/{CONFIG_FILE} is missing or broken"
    return read, ""


def _too_few_labels(baseline: Baseline, task: TaskConfig, labels: tuple[str, ...]) -> str:
    """Among fewer than two labels there is nothing to choose: whoever always says the one would never be wrong."""
    if task.type == "regression":
        return ""
    shared, least = baseline.shared(labels), 2 if task.type == "single_label" else 1
    if len(shared) >= least:
        return ""
    common = f"only {shared[0]!r}" if shared else "none"
    return f"it has other labels ({abbreviate(baseline.labels)}; of the candidate's {abbreviate(labels)} {common})"


def _no_answer(folder: Path, task: TaskConfig, outputs: int, row: bytes) -> str:
    name = output_name(task)
    try:
        signatures = tf.saved_model.load(str(folder)).signatures
        if SIGNATURE not in signatures:
            return f"it has no signature {SIGNATURE!r}"
        answer = signatures[SIGNATURE](tf.constant([row]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, DecodeError, tf.errors.OpError) as error:
        _LOG.warning("the live model in %s cannot be asked", folder, exc_info=True)
        return f"it cannot be loaded or asked ({type(error).__name__})"
    if name not in answer:
        return f"its signature {SIGNATURE!r} has no output {name!r}"
    size = int(tf.size(answer[name]))
    return "" if size == outputs else f"its output {name!r} has {size} numbers a row, where {outputs} are expected"


def _read(load: Callable[[], Any]) -> Any:
    """What `load` returns, or None where the file is absent or not what it should be."""
    try:
        return load()
    except (OSError, ValueError, KeyError, TypeError):
        return None
