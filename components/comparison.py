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

from models.config import CONFIG_FILE, TaskConfig
from models.labels import LabelSpace

SIGNATURE = "tf_example"
EXTRA_FOLDER = "assets.extra"

_LOG = logging.getLogger(__name__)


def output_name(task: TaskConfig) -> str:
    """The output of signature `tf_example` that is measured."""
    return "score" if task.type == "regression" else "probabilities"


def why_not_comparable(folder: Path, task: TaskConfig, labels: tuple[str, ...], row: bytes) -> str:
    """What keeps the model in `folder` from being measured beside a candidate; "" where nothing does.

    Args:
        folder: the live SavedModel.
        task: the candidate's task.
        labels: the candidate's labels.
        row: one serialized tf.Example of the evaluated rows; the model is asked for its answer.
    """
    for check in (_other_task, _other_labels):
        reason = check(folder, task, labels)
        if reason:
            return reason
    return _no_answer(folder, task, len(labels) or 1, row)


def output_order(folder: Path, labels: tuple[str, ...]) -> list[int]:
    """For each of `labels`, its index among the outputs of the model in `folder`, which has the same labels."""
    own = LabelSpace.load(folder / EXTRA_FOLDER).labels
    return [own.index(label) for label in labels]


def _other_task(folder: Path, task: TaskConfig, labels: tuple[str, ...]) -> str:
    stored = _read(lambda: json.loads((folder / EXTRA_FOLDER / CONFIG_FILE).read_text(encoding="utf-8"))["task"])
    if not isinstance(stored, dict):
        return f"its {EXTRA_FOLDER}/{CONFIG_FILE} is missing or broken"
    for key, own in (("type", task.type), ("text", task.text), ("text_pair", task.text_pair)):
        if stored.get(key) != own:
            return f"its task.{key} is {stored.get(key)!r}, the candidate's is {own!r}"
    return ""


def _other_labels(folder: Path, task: TaskConfig, labels: tuple[str, ...]) -> str:
    space = _read(lambda: LabelSpace.load(folder / EXTRA_FOLDER))
    if not isinstance(space, LabelSpace):
        return f"its {EXTRA_FOLDER}/labels.json is missing or broken"
    gone, new = sorted(set(space.labels) - set(labels)), sorted(set(labels) - set(space.labels))
    if gone or new:
        changes = [f"{kind} {', '.join(names[:5])}" for kind, names in (("without", new), ("with", gone)) if names]
        return f"it has other labels ({' and '.join(changes)})"
    return ""


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
    return "" if size == outputs else f"its output {name!r} has {size} numbers a row, the candidate has {outputs}"


def _read(load: Callable[[], Any]) -> Any:
    """What `load` returns, or None where the file is absent or not what it should be."""
    try:
        return load()
    except (OSError, ValueError, KeyError, TypeError):
        return None
