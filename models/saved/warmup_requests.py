"""Warm-up requests, which TF Serving sends to a model before the first caller does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from models.config import TaskConfig

WARMUP_FILE = "tf_serving_warmup_requests"


def write_warmup(folder: Path, texts: Sequence[str], task: TaskConfig, name: str = "transom") -> None:
    """Writes `tf_serving_warmup_requests`, a TFRecord of PredictionLogs.

    See https://www.tensorflow.org/tfx/serving/saved_model_warmup. One request for each text, then one for all of them.

    Args:
        folder: the SavedModel's `assets.extra`.
        texts: of the requests; for pairs, each text is also its second text.
        task: decides whether there are second texts.
        name: model name in the requests; TF Serving ignores it.
    """
    with tf.io.TFRecordWriter(str(folder / WARMUP_FILE)) as writer:
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
