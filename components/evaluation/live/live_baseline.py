"""Whether the live model can be measured on the same rows as the candidate, and if not, why."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_text  # noqa: F401  (registers operations that the models need)
from google.protobuf.message import DecodeError

from components.data.formats.files import abbreviate
from components.evaluation.comparison import Baseline
from components.evaluation.measurements import LiveState
from models.config import CONFIG_FILE, TaskConfig
from models.saved.model_locations import EXTRA_FOLDER
from tflite.host.labels import LabelSpace

SIGNATURE = "tf_example"

_LOG = logging.getLogger(__name__)


@lru_cache(maxsize=2)  # the candidate and the live model
def load_model(folder: str) -> Any:
    """The SavedModel in a folder, for one evaluation, which asks it several times.

    It stays in memory until `load_model.cache_clear()`. Loading one of a preset takes a second, its first call another.
    """
    return tf.saved_model.load(folder)


def output_name(task: TaskConfig) -> str:
    """The measured output of the signature `tf_example`."""
    return "score" if task.type == "regression" else "probabilities"


def live_state(
    folder: Path | None, version: int, is_candidate: bool, task: TaskConfig, labels: tuple[str, ...], row: bytes
) -> tuple[LiveState, Baseline | None]:
    """The state of the live model, and what is needed to measure it: None if it cannot or need not be measured.

    Args:
        folder: the live SavedModel; None if nothing is live.
        is_candidate: the live model and the candidate are the same model.
        task, labels, row: see `load_baseline`.
    """
    if folder is None:
        return LiveState(), None
    if is_candidate:
        return LiveState(version, same=True), None
    baseline, reason = load_baseline(folder, task, labels, row)
    if baseline is None:
        return LiveState(version, reason), None
    shared = baseline.shared(labels) if set(baseline.labels) != set(labels) else None
    return LiveState(version, labels=shared), baseline


def load_baseline(folder: Path, task: TaskConfig, labels: tuple[str, ...], row: bytes) -> tuple[Baseline | None, str]:
    """What is needed to measure the live model next to a candidate; or None, and the reason why it cannot be measured.

    A model with other labels can be measured if it shares enough of them: see `components.evaluation.comparison`.

    Args:
        folder: the live SavedModel.
        task: the candidate's task.
        labels: the candidate's labels.
        row: one serialized tf.Example of the evaluated rows, to query the model with.
    """
    own, reason = _compatible_task(folder, task)
    if own is None:
        return None, reason
    space = _load_or_none(lambda: LabelSpace.load(folder / EXTRA_FOLDER))
    if not isinstance(space, LabelSpace):
        return None, f"its {EXTRA_FOLDER}/labels.json is missing or broken"
    baseline = Baseline(space.labels, own.probability_threshold)
    reason = _too_few_labels(baseline, task, labels) or _broken_output(folder, task, space.outputs, row)
    return (None, reason) if reason else (baseline, "")


def _compatible_task(folder: Path, task: TaskConfig) -> tuple[TaskConfig | None, str]:
    """The live model's task if it reads the rows in the same way, else None and the difference."""
    stored = _load_or_none(
        lambda: json.loads((folder / EXTRA_FOLDER / CONFIG_FILE).read_text(encoding="utf-8"))["task"]
    )
    if not isinstance(stored, dict):
        return None, f"its {EXTRA_FOLDER}/{CONFIG_FILE} is missing or broken"
    for key, own in (("type", task.type), ("text", task.text), ("text_pair", task.text_pair)):
        if stored.get(key) != own:
            return None, f"its task.{key} is {stored.get(key)!r}, the candidate's is {own!r}"
    # Older and newer versions of Transom have fewer or more keys; only the threshold is needed here.
    known = {key: stored[key] for key in ("type", "text", "text_pair", "label", "threshold") if key in stored}
    live_task = _load_or_none(lambda: TaskConfig.model_validate(known))
    if not isinstance(live_task, TaskConfig):
        return None, f"its {EXTRA_FOLDER}/{CONFIG_FILE} is missing or broken"
    return live_task, ""


def _too_few_labels(baseline: Baseline, task: TaskConfig, labels: tuple[str, ...]) -> str:
    """With a single shared label there is nothing to choose: a model that always predicts it is never wrong."""
    if task.type == "regression":
        return ""
    shared, least = baseline.shared(labels), 2 if task.type == "single_label" else 1
    if len(shared) >= least:
        return ""
    common = f"only {shared[0]!r}" if shared else "none"
    return f"it has other labels ({abbreviate(baseline.labels)}; of the candidate's {abbreviate(labels)} {common})"


def _broken_output(folder: Path, task: TaskConfig, outputs: int, row: bytes) -> str:
    name = output_name(task)
    try:
        signatures = load_model(str(folder)).signatures
        if SIGNATURE not in signatures:
            return f"it has no signature {SIGNATURE!r}"
        outputs_by_name = signatures[SIGNATURE](tf.constant([row]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, DecodeError, tf.errors.OpError) as error:
        _LOG.warning("the live model in %s cannot be queried", folder, exc_info=True)
        return f"it cannot be loaded or queried ({type(error).__name__})"
    if name not in outputs_by_name:
        return f"its signature {SIGNATURE!r} has no output {name!r}"
    size = int(tf.size(outputs_by_name[name]))
    return "" if size == outputs else f"its output {name!r} has {size} numbers per row instead of {outputs}"


def _load_or_none(load: Callable[[], Any]) -> Any:
    """The result of `load`, or None if the file is missing or invalid."""
    try:
        return load()
    except (OSError, ValueError, KeyError, TypeError):
        return None
