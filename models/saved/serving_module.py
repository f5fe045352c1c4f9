"""The module that is exported: one signature per kind of request, all with the same pre- and postprocessing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from models.config import TaskConfig
from models.saved.model_locations import FITTED, VALUE, WEIGHT
from models.saved.postprocessing import fitted_values, postprocess
from models.text.preprocessing import Preprocessor, to_dense
from tflite.host.labels import LabelSpace
from tflite.host.tokenizer import Tokenizer

Outputs = dict[str, tf.Tensor]


class ServingModule(tf.Module):
    """A Keras model with its preprocessing and postprocessing.

    Signatures (B rows, L tokens, C labels; the outputs of the first three are those of `models.saved.postprocessing`):
        serving_default: `text` [B] string, for pairs also `text_pair` [B] string.
        tf_example: `examples` [B] string, serialized tf.Examples whose features are named as the task's columns; a
            missing text is the empty text, as in training.
        token_ids: `token_ids`, `padding_mask`, `segment_ids`, [B, L] int32 each.
        classify (not for a regression): `inputs` [B] string to `classes` [B, C] string, `scores` [B, C] float32.
        regress (for a regression): `inputs` [B] string to `outputs` [B] float32.
    TF Serving passes serialized tf.Examples as `inputs` of the last two, so they read the same as `tf_example`.
    """

    def __init__(self, model: keras.Model, *, tokenizer: Tokenizer, labels: LabelSpace, task: TaskConfig) -> None:
        super().__init__(name="transom")
        # Only the variables are saved; the Keras model inside the partial is not tracked, so loading needs no Keras.
        self.weights = [variable.value for variable in model.variables]
        # Variables, so that a graph is the same for another training.
        values = fitted_values(task, labels)
        self.fitted = {name: tf.Variable(value, trainable=False, name=name) for name, value in values.items()}
        self._logits = partial(model, training=False)
        self._preprocess, self._pad_id = Preprocessor(tokenizer), tokenizer.pad_id
        self._labels, self._task = labels, task
        strings, ids = partial(tf.TensorSpec, [None], tf.string), partial(tf.TensorSpec, [None, None], tf.int32)
        # The other signatures call these two, so that the vocabulary and the layers are in the graph once.
        self.token_ids = _function(self._from_token_ids, *map(ids, ("token_ids", "padding_mask", "segment_ids")))
        self.from_texts = _function(
            self._from_texts, *map(strings, ("text", "text_pair") if task.text_pair else ("text",))
        )

    def signatures(self) -> dict[str, Callable[..., Outputs]]:
        """Name to function, for any number of rows and any length."""
        regression = self._task.type == "regression"
        inputs = tf.TensorSpec([None], tf.string, name="inputs")
        return {
            "serving_default": self.from_texts,
            "tf_example": _function(self._tf_example, tf.TensorSpec([None], tf.string, name="examples")),
            "token_ids": self.token_ids,
            "regress" if regression else "classify": _function(self._regress if regression else self._classify, inputs),
        }

    def saved_variables(self) -> dict[str, Any]:
        """The variables by their keys in the SavedModel's checkpoint."""
        named = {WEIGHT.format(index): weight for index, weight in enumerate(self.weights)}
        named |= {FITTED.format(name): variable for name, variable in self.fitted.items()}
        return {VALUE.format(name): variable for name, variable in named.items()}

    def _from_token_ids(self, token_ids: tf.Tensor, padding_mask: tf.Tensor, segment_ids: tf.Tensor) -> Outputs:
        features = {"token_ids": token_ids, "padding_mask": padding_mask, "segment_ids": segment_ids}
        logits = tf.cast(tf.convert_to_tensor(self._logits(features)), tf.float32)
        logits = tf.ensure_shape(logits, [None, self._labels.outputs])
        return postprocess(logits, self._task, self._labels, self.fitted)

    def _from_texts(self, text: tf.Tensor, text_pair: tf.Tensor | None = None) -> Outputs:
        return self.token_ids(**to_dense(self._preprocess(text, text_pair), self._pad_id))

    def _tf_example(self, examples: tf.Tensor) -> Outputs:
        columns = [column for column in (self._task.text, self._task.text_pair) if column is not None]
        one_text = tf.io.FixedLenFeature([], tf.string, default_value="")
        parsed = tf.io.parse_example(examples, dict.fromkeys(columns, one_text))
        return self.from_texts(*(parsed[column] for column in columns))

    def _classify(self, inputs: tf.Tensor) -> Outputs:
        scores = self._tf_example(inputs)["probabilities"]
        names = tf.constant(self._labels.labels, tf.string)
        return {"classes": tf.broadcast_to(names, tf.shape(scores)), "scores": scores}

    def _regress(self, inputs: tf.Tensor) -> Outputs:
        return {"outputs": self._tf_example(inputs)["score"]}


def _function(function: Callable[..., Outputs], *inputs: tf.TensorSpec) -> Callable[..., Outputs]:
    # Never jit_compile: TF Serving refuses XLA on the CPU by default.
    compiled: Callable[..., Outputs] = tf.function(function, input_signature=inputs, autograph=False, jit_compile=False)
    return compiled
