"""Transform: TFX's own step, with the tokenizer as another input.

TFX passes only the examples to a `preprocessing_fn`. This component adds the input `tokenizer` and passes its folder to
the function through `custom_config`.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tfx import types
from tfx.components import Transform as TfxTransform
from tfx.components.transform import executor as tfx_transform
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import json_utils

from components.artifacts import Artifacts, TokenizerArtifact
from components.tfx_step import Step
from models.config import TaskConfig
from models.text.preprocessing import Preprocessor
from tflite.host.labels import LabelSpace
from tflite.host.tokenizer import Tokenizer


class Executor(tfx_transform.Executor):
    """TFX's executor, with the tokenizer's folder in the `custom_config` of `preprocessing_fn`."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """See TFX's `BaseExecutor.Do`."""
        inputs = dict(input_dict)
        folder = artifact_utils.get_single_uri(inputs.pop("tokenizer"))
        custom = json_utils.loads(exec_properties["custom_config"])
        properties = {**exec_properties, "custom_config": json_utils.dumps({**custom, "tokenizer": folder})}
        super().Do(inputs, output_dict, properties)


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, Any]:
    """Turns raw columns into the Trainer's features. TFX's Transform calls it once, to trace a graph.

    Args:
        inputs: column to tensor, dense [B, 1] or sparse, according to the schema.
        custom_config: "task": a TaskConfig as a dict; "tokenizer": the tokenizer's folder.

    Returns:
        `token_ids` sparse int64 [B, L], for pairs also `segment_ids` of the same shape, and `target`: int64 [B, 1] (-1:
        a label that is not in training), float32 [B, C] or float32 [B, 1], depending on the task.
    """
    task = TaskConfig.model_validate(custom_config["task"])
    labels = LabelSpace.load(custom_config["tokenizer"])
    preprocessor = Preprocessor(Tokenizer.load(custom_config["tokenizer"]))
    texts = [_one(inputs[column], "") for column in (task.text, task.text_pair) if column is not None]
    ids = preprocessor(*texts)
    # Sparse, because TFT writes a ragged tensor as two features, values and lengths.
    outputs = {"token_ids": tf.cast(ids["token_ids"], tf.int64).to_sparse()}
    if task.text_pair is not None:
        outputs["segment_ids"] = tf.cast(ids["segment_ids"], tf.int64).to_sparse()
    outputs["target"] = _target(inputs[task.label], task, labels)
    return outputs


def _one(column: Any, missing: Any) -> tf.Tensor:
    """The only value of each row [B]; `missing` for a row without one."""
    if isinstance(column, tf.SparseTensor):
        column = tf.sparse.to_dense(tf.sparse.reset_shape(column), default_value=missing)
        column = tf.pad(column, [[0, 0], [0, 1]], constant_values=missing)[:, :1]
    return tf.reshape(column, [-1])


def _target(column: Any, task: TaskConfig, labels: LabelSpace) -> tf.Tensor:
    if task.type == "regression":
        return tf.reshape(_one(column, 0.0), [-1, 1])
    names = tf.constant(labels.labels)
    if task.type == "single_label":
        same = tf.equal(_one(column, "")[:, tf.newaxis], names)
        found = tf.argmax(tf.cast(same, tf.int32), axis=-1, output_type=tf.int64)
        return tf.where(tf.reduce_any(same, axis=-1), found, tf.cast(-1, tf.int64))[:, tf.newaxis]
    dense = tf.sparse.to_dense(column) if isinstance(column, tf.SparseTensor) else column
    return tf.cast(tf.reduce_any(tf.equal(dense[:, :, tf.newaxis], names), axis=1), tf.float32)


class Transform(Step, executor=Executor, extends=TfxTransform, code=("tensorflow_transform", "tfx_bsl")):
    """TFX's Transform with Transom's preprocessing function; writes the transformed examples of every split."""

    INPUTS = {"tokenizer": TokenizerArtifact}

    def __init__(
        self, examples: types.BaseChannel, schema: types.BaseChannel, tokenizer: types.BaseChannel, *, task: TaskConfig
    ) -> None:
        transformed = types.Channel(type=standard_artifacts.Examples)
        transformed.matching_channel_name = "examples"
        super().__init__(
            examples=examples,
            schema=schema,
            tokenizer=tokenizer,
            preprocessing_fn=f"{__name__}.preprocessing_fn",
            custom_config=json_utils.dumps({"task": task.model_dump()}),
            disable_statistics=1,
            force_tf_compat_v1=0,
            transformed_examples=transformed,
        )
