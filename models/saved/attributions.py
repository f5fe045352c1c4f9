"""How much each token speaks for a model's answer: integrated gradients, inside the graph.

Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", 2017: the gradient of the answer's score by the
inputs, averaged along the straight line from an input that says nothing to the real one. The inputs are the tokens'
weights (`models.saved.weighted_tokens`), from 0 to 1. The tokens' numbers add up to how much the text changes the
score: exact for a linear model, else up to the error of `STEPS` points.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tflite.host.prediction import TaskType

STEPS = 16
"""Points on the line: with twice as many, the numbers of a trained model change by a few per cent."""


def attribute(score: Callable[[tf.Tensor, int], tf.Tensor], fixed: tf.Tensor) -> tf.Tensor:
    """The attributions of tokens, float32 [B, L]; 0 for fixed ones.

    Args:
        score: from weights [STEPS * B, L] float32 of all texts, STEPS times one after the other, to their scores.
        fixed: [B, L] bool, tokens that keep their weight of 1: special ones and padding.
    """
    places = (tf.range(STEPS, dtype=tf.float32) + 0.5) / STEPS
    weights = tf.where(fixed[None], 1.0, places[:, None, None])  # [STEPS, B, L]
    rows, length = tf.unstack(tf.shape(fixed))
    weights = tf.reshape(weights, [STEPS * rows, length])  # without -1, which needs a row
    with tf.GradientTape() as tape:
        tape.watch(weights)
        scores = score(weights, STEPS)
    gradient = tape.gradient(scores, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    by_point = tf.reshape(gradient, [STEPS, rows, length])
    return tf.where(fixed, 0.0, tf.reduce_mean(by_point, axis=0))


def answer_score(answers: tf.Tensor, task: TaskType) -> Callable[[tf.Tensor], tf.Tensor]:
    """The score that explains answers, as a function of calibrated logits [N * B, C] to [N * B].

    Args:
        answers: [B] int32, the most probable label of each text; of a regression, any.

    Returns:
        One label per row: its log odds, ln p / (1 - p). Several: those of the most probable one. A number: itself.
    """
    if task == "regression":
        return lambda numbers: numbers[:, 0]

    def log_odds(logits: tf.Tensor) -> tf.Tensor:
        times = tf.shape(logits)[0] // tf.maximum(tf.shape(answers)[0], 1)
        chosen = tf.one_hot(tf.tile(answers, [times]), tf.shape(logits)[1])
        own = tf.reduce_sum(logits * chosen, axis=1)
        return own if task == "multi_label" else own - tf.reduce_logsumexp(logits - 1e9 * chosen, axis=1)

    return log_odds
