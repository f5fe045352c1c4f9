"""Exports a trained model as a SavedModel that reads strings. The folder appears atomically, after a check."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.saved_model import fingerprinting_utils  # the only way to renew a fingerprint

from models import runtime
from models.config import TaskConfig
from models.errors import ModelError
from models.network.precision import computes_in_half
from models.saved.kept_graph import KeptGraph, kept_graph
from models.saved.model_locations import EXTRA_FOLDER, MODEL_FILE
from models.saved.postprocessing import postprocess
from models.saved.serving_module import ServingModule
from models.saved.warmup_requests import write_warmup
from models.text.preprocessing import Preprocessor, to_dense
from models.whole_writes import atomic_directory
from tflite.host.json_text import to_json
from tflite.host.labels import LabelSpace
from tflite.host.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

# TF Serving serves Classify and Regress only through signatures with these method names
# (tensorflow/cc/saved_model/signature_constants.h); tf.saved_model.save names every method "predict".
METHOD_NAMES = {"classify": "tensorflow/serving/classify", "regress": "tensorflow/serving/regress"}
# Between eager Keras and the reloaded graph, whose operations a device may fuse differently; of probabilities, or of
# standard deviations of a regression. In half precision, fused operations round at other places.
TOLERANCE = {"float32": 1e-4, "half": 2e-2}
_CHECKED_TEXTS = 4


def export_saved_model(
    model: keras.Model,
    directory: Path | str,
    *,
    tokenizer: Tokenizer,
    labels: LabelSpace,
    task: TaskConfig,
    extra_files: Mapping[str, bytes] | None = None,
    warmup_texts: Sequence[str] = (),
    program_key: str | None = None,
    attributions: bool = False,
) -> None:
    """Writes a SavedModel with the signatures of `models.saved.serving_module`, and checks it before publishing it.

    Loading it needs TensorFlow and tensorflow_text, but neither Keras nor this project. It has no lookup tables and no
    assets; `assets.extra` has labels.json, the tokenizer's files, `extra_files` and the warm-up requests.

    Args:
        model: from {"token_ids", "padding_mask", "segment_ids"} int32 [B, L] to logits [B, C].
        directory: the SavedModel's folder; it appears complete or not at all.
        tokenizer, labels, task: for preprocessing and postprocessing.
        extra_files: names in `assets.extra` to contents.
        warmup_texts: texts of the warm-up requests. Default: a short text and one of `max_length` tokens.
        program_key: a digest of code, model settings and versions. With it, and if the process has a cache
            (`models.compile_cache`), the graph of an earlier export is used again; it is checked like a new one.
        attributions: whether to add the signature that explains answers.

    Raises:
        ModelError: the folder is not empty, the model does not fit the labels, the call is in a strategy's scope, or
            the saved model's predictions differ from the Keras model's.
    """
    if model.output_shape[-1] != labels.outputs:
        raise ModelError(
            "the model does not fit its labels",
            got=f"{model.output_shape[-1]} outputs",
            expected=f"{labels.outputs}, one for each label",
            fix="build the model with outputs=labels.outputs",
        )
    if tf.distribute.has_strategy():
        raise ModelError(
            "export_saved_model was called in the scope of a strategy",
            expected="a call outside it; the model may have been made and trained inside",
        )
    described: dict[str, Any] = {"tokenizer": tokenizer, "labels": labels, "task": task}
    texts = list(warmup_texts) or ["warm", "warm " * tokenizer.max_length]
    module = ServingModule(model, **described, attributions=attributions)
    settings = task.model_dump(mode="json", exclude={"threshold"})  # a variable, like all that `labels` has fitted
    key = to_json([program_key, tokenizer.digest(), labels.labels, settings, attributions]) if program_key else None
    kept = kept_graph(key, module.saved_variables())
    with atomic_directory(Path(directory)) as folder:
        check = partial(_check, folder, model, ["", *texts[:_CHECKED_TEXTS]], **described)
        if kept is None or not _write_kept(kept, folder, check):
            _save(module, folder)
            check()
            if kept is not None:
                kept.keep(folder)
        extra = folder / EXTRA_FOLDER
        extra.mkdir()
        labels.save(extra)
        tokenizer.save(extra)
        write_warmup(extra, texts, task)
        for name, content in (extra_files or {}).items():
            (extra / name).write_bytes(content)


def _write_kept(kept: KeptGraph, folder: Path, check: Callable[[], None]) -> bool:
    """Writes the SavedModel with a graph that is kept; False if there is none, or if its predictions differ."""
    try:
        if not kept.write(folder):
            return False
        fingerprinting_utils.write_fingerprint(str(folder))
        check()
    except Exception:  # weights that are not finite, a full disk, a graph that does not fit: the traced one will tell
        logger.warning("the graph of an earlier export is not used", exc_info=True)
        return False
    return True


def _save(module: ServingModule, folder: Path) -> None:
    options = tf.saved_model.SaveOptions(namespace_whitelist=["TFText"])
    tf.saved_model.save(module, str(folder), signatures=module.signatures(), options=options)
    path = folder / MODEL_FILE
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for graph in saved.meta_graphs:
        for name, method in METHOD_NAMES.items():
            if name in graph.signature_def:
                graph.signature_def[name].method_name = method
    path.write_bytes(saved.SerializeToString(deterministic=True))
    fingerprinting_utils.write_fingerprint(str(folder))


def _check(
    folder: Path,
    model: keras.Model,
    texts: Sequence[str],
    *,
    tokenizer: Tokenizer,
    labels: LabelSpace,
    task: TaskConfig,
) -> None:
    """Compares the predictions of the saved model and the Keras model for the same texts.

    Raises:
        ModelError: they differ, or are not finite.
    """
    batch = [tf.constant(texts)] * (2 if task.text_pair else 1)
    features = to_dense(Preprocessor(tokenizer).once(*batch), tokenizer.pad_id)
    logits = tf.cast(tf.convert_to_tensor(model(features, training=False)), tf.float32)
    wanted = postprocess(logits, task, labels)
    names = ("text", "text_pair")[: len(batch)]
    with runtime.without_grappler():  # which would take longer than the call; ServingGate has it
        got = tf.saved_model.load(str(folder)).signatures["serving_default"](**dict(zip(names, batch, strict=True)))
    key = "score" if task.type == "regression" else "probabilities"
    tolerance = tolerance_of(model) * (labels.std if task.type == "regression" else 1.0)
    actual, expected = got[key].numpy(), wanted[key].numpy()
    if not np.allclose(actual, expected, rtol=1e-5, atol=tolerance):  # a NaN is never close
        raise ModelError(
            "the saved model's predictions differ from the trained model's",
            got=f"{key} up to {np.max(np.abs(actual - expected)):.3g} apart over {len(texts)} texts",
            expected=f"at most {tolerance:g}",
            fix="look at the training report: weights that are not finite cause this",
        )


def tolerance_of(model: keras.Model) -> float:
    """How far apart the predictions may be: more if any layer computes in half precision, at any depth."""
    return TOLERANCE["half" if computes_in_half(model) else "float32"]
