"""The update of `models.training.optimizer.LayerwiseAdamW` on TensorFlow, in one kernel for each variable.

Keras's own `apply` takes a second to be traced for every twenty variables, and XLA twice as long to compile it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from models.training.optimizer import LayerwiseAdamW

SCOPE = "optimizer"
"""Begins the names of an update's operations, by which a profile knows them."""


def update_on_one_device(
    optimizer: LayerwiseAdamW, variables: Sequence[Any], gradients: Sequence[Any], rate: Any
) -> Any:
    """Updates variables and the state of their optimizer, as its own `apply` does but for the rounding.

    To be called in a `tf.function`, which need not be compiled by XLA.

    Args:
        variables: float32, in the order for which the optimizer was built.
        gradients: of the variables, float32.
        rate: the learning rate, float32 [].

    Returns:
        Float32 [], the gradients' global norm before clipping.
    """
    with tf.name_scope(SCOPE):
        return _update(optimizer, variables, gradients, rate)


def _update(optimizer: LayerwiseAdamW, variables: Sequence[Any], gradients: Sequence[Any], rate: Any) -> Any:
    norm = tf.sqrt(2.0 * tf.add_n([tf.nn.l2_loss(gradient) for gradient in gradients]))
    if optimizer.global_clipnorm is not None:
        # A norm that is not finite makes all of them NaN, as in Keras, so that the next loss ends the training.
        factor = tf.minimum(optimizer.global_clipnorm / norm, 1.0) + (norm - norm)
        gradients = [gradient * factor for gradient in gradients]
    before = tf.cast(optimizer.iterations.value, tf.float32)
    betas = [tf.constant(beta, tf.float32) for beta in (optimizer.beta_1, optimizer.beta_2)]
    powers = [beta ** (before + 1.0) for beta in betas]
    for (multiple, decay), indices in optimizer.groups().items():
        group_rate = rate * multiple
        for index in indices:
            variable = variables[index].value
            if decay:
                variable.assign(variable * (1.0 - group_rate * decay))  # one pass less than assign_sub
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=optimizer._momentums[index].value.handle,
                v=optimizer._velocities[index].value.handle,
                beta1_power=powers[0],
                beta2_power=powers[1],
                lr=group_rate,
                beta1=betas[0],
                beta2=betas[1],
                epsilon=tf.constant(optimizer.epsilon, tf.float32),
                grad=gradients[index],
            )
    if optimizer.averages:
        share = 1.0 - optimizer.average_momentum(before)
        for average, variable in zip(optimizer.averages, variables, strict=True):
            average.value.assign_add(share * (variable.value - average.value))
    optimizer.iterations.value.assign_add(1)
    return norm
