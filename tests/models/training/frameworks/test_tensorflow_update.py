from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.training.frameworks.tensorflow_update import update_on_one_device
from models.training.optimizer import LayerwiseAdamW, WarmupDecay

SHAPES = ((5, 3), (3,), (2, 3, 4))


def _made(clip_norm: float | None, momentum: float) -> tuple[list[keras.Variable], LayerwiseAdamW]:
    """Three variables, and an optimizer with another rate or decay for each."""
    source = np.random.default_rng(0)
    variables = [keras.Variable(source.normal(size=shape).astype(np.float32)) for shape in SHAPES]
    optimizer = LayerwiseAdamW(
        WarmupDecay(0.1, 8, 0.3, "linear"),
        decay=0.1,
        clip_norm=clip_norm,
        multiples=[0.5, 1.0, 1.0],
        decayed=[True, True, False],
        momentum=momentum,
    )
    optimizer.build(variables)
    return variables, optimizer


@pytest.mark.parametrize("clip_norm", [None, 1.0])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_it_does_what_the_optimizer_does(clip_norm: float | None, momentum: float) -> None:
    (ours, fused), (theirs, plain) = _made(clip_norm, momentum), _made(clip_norm, momentum)
    update = tf.function(lambda *gradients: update_on_one_device(fused, ours, gradients, fused.learning_rate))
    source = np.random.default_rng(1)
    for size in (3.0, 0.01, 0.0, 1.0, 1.0):  # clipped, and not
        gradients = [(size * source.normal(size=shape)).astype(np.float32) for shape in SHAPES]
        norm = update(*map(tf.constant, gradients))
        plain.apply([tf.constant(gradient) for gradient in gradients], theirs)
        assert float(norm) == pytest.approx(np.sqrt(sum((gradient**2).sum() for gradient in gradients)), rel=1e-5)
    for one, other in zip([*ours, *fused.variables], [*theirs, *plain.variables], strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-4, atol=1e-5, err_msg=other.path)


@pytest.mark.parametrize("value", [np.inf, np.nan, 1e30])
def test_a_norm_that_is_not_finite_spoils_all_weights_as_in_keras(value: float) -> None:
    (ours, fused), (theirs, plain) = _made(1.0, 0.0), _made(1.0, 0.0)
    gradients = [tf.fill(shape, np.float32(value if shape == SHAPES[0] else 1.0)) for shape in SHAPES]
    tf.function(lambda: update_on_one_device(fused, ours, gradients, fused.learning_rate))()
    plain.apply(gradients, theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert np.isnan(other.numpy()).all()
        assert np.isnan(one.numpy()).all()
