"""Warm-up requests: what TF Serving asks a model before it lets the first caller in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from models.config import TaskConfig

FILE_NAME = "tf_serving_warmup_requests"


def write_warmup(folder: Path, texts: Sequence[str], task: TaskConfig, name: str = "transom") -> None:
    """Writes `tf_serving_warmup_requests`, a TFRecord of PredictionLogs.

    See https://www.tensorflow.org/tfx/serving/saved_model_warmup. Each text is asked alone, then all in one batch.

    Args:
        folder: the SavedModel's `assets.extra`.
        texts: what is asked; for pairs each text is its own second text.
        task: whether it is about pairs.
        name: model name in the requests; TF Serving does not look at it.
    """
    with tf.io.TFRecordWriter(str(folder / FILE_NAME)) as writer:
        for request in _requests(texts, task, name):
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString(deterministic=True))


def _requests(texts: Sequence[str], task: TaskConfig, name: str) -> Iterator[predict_pb2.PredictRequest]:
    batches = [[text] for text in texts] + ([list(texts)] if len(texts) > 1 else [])
    for batch in batches:
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = name, "serving_default"
        tensor = tf.make_tensor_proto([text.encode("utf-8") for text in batch], tf.string)
        for key in ("text", "text_pair") if task.text_pair else ("text",):
            request.inputs[key].CopyFrom(tensor)
        yield request
