"""The module that is exported: one signature per kind of request, all with the same pre- and postprocessing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from models.config import TaskConfig
from models.saved.attributions import answer_score, attribute
from models.saved.model_locations import FITTED, VALUE, WEIGHT
from models.saved.postprocessing import fitted_values, postprocess
from models.saved.weighted_tokens import weighted_tokens
from models.text.preprocessing import Preprocessor, to_dense
from models.text.token_texts import token_texts
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
        attributions (if asked for): the inputs of serving_default, to `tokens` [B, L] string, their texts
            (`models.text.token_texts`), and `attributions` [B, L] float32, how much each speaks for the answer
            (`models.saved.attributions`); with `segment_ids` [B, L] int32, 1 in the second text, `label` and `score`.
    TF Serving passes serialized tf.Examples as `inputs` of the last two, so they read the same as `tf_example`.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        tokenizer: Tokenizer,
        labels: LabelSpace,
        task: TaskConfig,
        attributions: bool = False,
    ) -> None:
        """`attributions`: whether there is that signature, which makes the graph half as large again."""
        super().__init__(name="transom")
        # Only the variables are saved; the Keras model inside the partial is not tracked, so loading needs no Keras.
        self.weights = [variable.value for variable in model.variables]
        # Variables, so that a graph is the same for another training.
        values = fitted_values(task, labels)
        self.fitted = {name: tf.Variable(value, trainable=False, name=name) for name, value in values.items()}
        self._model, self._logits = _Untracked(model), partial(model, training=False)
        self._preprocess, self._pad_id = Preprocessor(tokenizer), tokenizer.pad_id
        self._token_texts = token_texts(tokenizer)
        self._labels, self._task = labels, task
        strings, ids = partial(tf.TensorSpec, [None], tf.string), partial(tf.TensorSpec, [None, None], tf.int32)
        # The signatures call these two, so that the vocabulary and the layers are in the graph once.
        self.token_ids = _function(self._from_token_ids, *map(ids, ("token_ids", "padding_mask", "segment_ids")))
        texts = [strings(name) for name in (("text", "text_pair") if task.text_pair else ("text",))]
        self.features = _function(self._features, *texts)
        self.from_texts = _function(self._from_texts, *texts)
        self.attributions = _function(self._attributions, *texts) if attributions else None

    def signatures(self) -> dict[str, Callable[..., Outputs]]:
        """Name to function, for any number of rows and any length."""
        regression = self._task.type == "regression"
        inputs = tf.TensorSpec([None], tf.string, name="inputs")
        found = {
            "serving_default": self.from_texts,
            "tf_example": _function(self._tf_example, tf.TensorSpec([None], tf.string, name="examples")),
            "token_ids": self.token_ids,
            "regress" if regression else "classify": _function(self._regress if regression else self._classify, inputs),
        }
        return found if self.attributions is None else found | {"attributions": self.attributions}

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

    def _features(self, text: tf.Tensor, text_pair: tf.Tensor | None = None) -> Outputs:
        return to_dense(self._preprocess(text, text_pair), self._pad_id)

    def _from_texts(self, *texts: tf.Tensor) -> Outputs:
        return self.token_ids(**self.features(*texts))

    def _attributions(self, *texts: tf.Tensor) -> Outputs:
        features = self.features(*texts)
        outputs = self.token_ids(**features)
        tokens = tf.gather(tf.constant(self._token_texts, tf.string), features["token_ids"])
        scores = outputs.get("probabilities", outputs["score"][:, None])
        answer = answer_score(tf.argmax(scores, axis=1, output_type=tf.int32), self._task.type)

        def score(weights: tf.Tensor, times: int) -> tf.Tensor:
            repeated = {name: tf.tile(value, [times, 1]) for name, value in features.items()}
            with weighted_tokens(self._model.value, weights, self._pad_id):
                return answer(self._scaled(self._logits(repeated)))

        told: Outputs = {name: outputs[name] for name in ("label", "score") if name in outputs}
        told |= {"tokens": tokens, "segment_ids": features["segment_ids"]}
        return {**told, "attributions": attribute(score, fixed=tokens == "")}

    def _scaled(self, logits: Any) -> tf.Tensor:
        """Calibrated logits; of a regression, the number."""
        logits = tf.cast(tf.convert_to_tensor(logits), tf.float32)
        if self._task.type == "regression":
            return logits * self.fitted["std"] + self.fitted["mean"]
        return logits * self.fitted["scale"]

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


class _Untracked:
    """Holds what must not become a part of the SavedModel."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _function(function: Callable[..., Outputs], *inputs: tf.TensorSpec) -> Callable[..., Outputs]:
    # Never jit_compile: TF Serving refuses XLA on the CPU by default.
    compiled: Callable[..., Outputs] = tf.function(function, input_signature=inputs, autograph=False, jit_compile=False)
    return compiled
