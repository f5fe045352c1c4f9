"""Warm-up requests, which TF Serving sends to a model before the first caller does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from models.config import TaskConfig

WARMUP_FILE = "tf_serving_warmup_requests"


def write_warmup(folder: Path, texts: Sequence[str], task: TaskConfig, name: str = "transom") -> None:
    """Writes `tf_serving_warmup_requests`, a TFRecord of PredictionLogs.

    See https://www.tensorflow.org/tfx/serving/saved_model_warmup. One request for each text, then one for all of them,
    then one for each of the other signatures that read texts: the first run of a signature takes most of a second.

    Args:
        folder: the SavedModel's `assets.extra`.
        texts: of the requests; for pairs, each text is also its second text.
        task: decides whether there are second texts.
        name: model name in the requests; TF Serving ignores it.
    """
    with tf.io.TFRecordWriter(str(folder / WARMUP_FILE)) as writer:
        for log in (*_predictions(texts, task, name), *_other_signatures(texts[:1], task, name)):
            writer.write(log.SerializeToString(deterministic=True))


def _predictions(texts: Sequence[str], task: TaskConfig, name: str) -> Iterator[prediction_log_pb2.PredictionLog]:
    batches = [[text] for text in texts] + ([list(texts)] if len(texts) > 1 else [])
    for batch in batches:
        tensor = tf.make_tensor_proto([text.encode("utf-8") for text in batch], tf.string)
        inputs = dict.fromkeys(("text", "text_pair") if task.text_pair else ("text",), tensor)
        yield _prediction(name, "serving_default", inputs)


def _prediction(name: str, signature: str, inputs: Mapping[str, Any]) -> prediction_log_pb2.PredictionLog:
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name, request.model_spec.signature_name = name, signature
    for key, tensor in inputs.items():
        request.inputs[key].CopyFrom(tensor)
    return log


def _other_signatures(texts: Sequence[str], task: TaskConfig, name: str) -> Iterator[prediction_log_pb2.PredictionLog]:
    examples = [tf.train.Example() for _ in texts]
    for example, text in zip(examples, texts, strict=True):
        for column in (task.text, task.text_pair):
            if column is not None:
                example.features.feature[column].bytes_list.value.append(text.encode("utf-8"))
    serialized = tf.make_tensor_proto([example.SerializeToString() for example in examples], tf.string)
    yield _prediction(name, "tf_example", {"examples": serialized})
    log = prediction_log_pb2.PredictionLog()
    kind = "regress" if task.type == "regression" else "classify"
    request = getattr(log, f"{kind}_log").request
    request.model_spec.name, request.model_spec.signature_name = name, kind
    request.input.example_list.examples.extend(examples)
    yield log
