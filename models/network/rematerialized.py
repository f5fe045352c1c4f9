"""Layers that compute their activations again in the backward pass instead of keeping them.

That is gradient checkpointing (Chen et al., "Training Deep Nets with Sublinear Memory Cost",
https://arxiv.org/abs/1604.06174): of a layer only its input is kept. Keras has `keras.RematScope`, but there dropout
draws other units the second time, so that the gradients are those of another network than the loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from models.network.dropout import DRAWS_PER_CALL, KeptMasks, is_seed
from models.network.fused import current_lane, lane


class Rematerialized(keras.layers.Layer):
    """A layer, with the same weights, that is run once more for its gradients; the same without training.

    Dropout drops the same units both times. On CPUs they are those that the layer alone would drop, unless a model
    calls the layer more than once.
    """

    def __init__(self, layer: keras.layers.Layer, **kwargs: Any) -> None:
        super().__init__(dtype=layer.dtype_policy, **kwargs)
        self.layer = layer
        self.built = True

    def call(self, *args: Any, training: bool = False, **kwargs: Any) -> Any:
        """The layer's output."""
        if not training:
            return self.layer(*args, training=False, **kwargs)
        flat = keras.tree.flatten((args, kwargs))
        floats = [index for index, value in enumerate(flat) if _is_float(value)]

        def forward(given: list[Any]) -> Any:
            values = dict(zip(floats, given, strict=True))
            whole = [values.get(index, value) for index, value in enumerate(flat)]
            args_, kwargs_ = keras.tree.pack_sequence_as((args, kwargs), whole)
            return self.layer(*args_, training=True, **kwargs_)

        given = [flat[index] for index in floats]  # on TensorFlow, gradients reach only what is an argument
        if keras.backend.backend() == "torch":
            return _on_torch(forward, given)
        # The generators' states are inputs, so that both runs draw the same units.
        seeds = [variable for variable in self.layer.variables if is_seed(variable)]
        drawn = [ops.convert_to_tensor(seed.value) for seed in seeds]
        weights: list[tuple[Any, Any]] = []
        if keras.backend.backend() == "jax":  # TensorFlow finds gradients of variables, but not of their values
            # In half precision these are rounded already, as every sublayer would round them.
            weights = [(variable, variable.value) for variable in self.layer.variables if not is_seed(variable)]

        number = current_lane()

        def run(*given: Any) -> Any:
            with lane(number), keras.StatelessScope(state_mapping=[*weights, *zip(seeds, drawn, strict=True)]):
                return forward(list(given))

        result = _again(run)(*given)
        for seed, state in zip(seeds, drawn, strict=True):
            seed.assign(state + ops.convert_to_tensor([0, DRAWS_PER_CALL], dtype=state.dtype))
        return result

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """That of the layer."""
        return self.layer.compute_output_spec(*args, **kwargs)


def _is_float(value: Any) -> bool:
    return bool(ops.is_tensor(value)) and keras.backend.standardize_dtype(value.dtype).startswith(("float", "bfloat"))


def _again(run: Callable[..., Any]) -> Callable[..., Any]:
    if keras.backend.backend() == "jax":
        import jax

        checkpointed: Callable[..., Any] = jax.checkpoint(run)
        return checkpointed
    import tensorflow as tf

    recomputed: Callable[..., Any] = tf.recompute_grad(run)
    return recomputed


def _on_torch(forward: Callable[[list[Any]], Any], given: list[Any]) -> Any:
    """PyTorch's random numbers have no state that a recorded graph could set back, so the masks are kept."""
    from torch.utils.checkpoint import checkpoint

    kept = KeptMasks()

    def run(*given: Any) -> Any:
        with kept.replayed():
            return forward(list(given))

    return checkpoint(run, *given, use_reentrant=False, preserve_rng_state=False)
