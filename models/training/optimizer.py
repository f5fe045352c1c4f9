"""AdamW for Transformers: warm-up and decay of the rate, no weight decay of biases and norms, rates by layer."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from models.training.frameworks.devices import TrainingDevices
from models.training_config import TrainConfig

# Measured on the data sets of benchmarks/README.md: a pretrained encoder learns fast in four epochs if its lower layers
# change slowly (layer-wise rates: Howard and Ruder 2018, Sun et al. 2019) and its new head fast: at the encoder's rate,
# a head of 77 labels is not yet trained when the encoder is. LoRA's fresh matrices need a rate like that of training
# from scratch (Hu et al. 2021, appendix D).
_PRESET_DEFAULTS = {
    "epochs": 4,
    "early_stopping": 2,
    "learning_rate": 1e-4,
    "layer_decay": 0.85,
    "head_multiple": 10.0,
    "ema_momentum": 0.0,
}
# Measured on MRPC and STS-B: with two texts, all layers had better change at the same rate, and the head less fast.
_PAIR_DEFAULTS = {**_PRESET_DEFAULTS, "layer_decay": 1.0, "head_multiple": 3.0}
_LORA_DEFAULTS = {**_PRESET_DEFAULTS, "learning_rate": 1e-3, "layer_decay": 1.0, "head_multiple": 1.0}
# From scratch, the encoder adds nothing to the linear model in its first three or four epochs: waiting only as long
# would end a third of the trainings there.
_SCRATCH_DEFAULTS = {**_LORA_DEFAULTS, "epochs": 10, "early_stopping": 5, "learning_rate": 5e-4, "ema_momentum": 0.99}


# A few rows make so few steps that nothing is learned in the usual number of epochs: 48 rows and 4 epochs make 8.
_FEWEST_STEPS = 100


def resolve_defaults(
    config: TrainConfig, *, preset: bool, lora: bool = False, rows: int | None = None, two_texts: bool = False
) -> TrainConfig:
    """Fills in the defaults that depend on the kind of model: `epochs`, `early_stopping`, rates and their multiples.

    Args:
        preset, lora: whether the model is pretrained, and whether only LoRA's matrices learn.
        rows: training rows. If they are few, there are more epochs, so that `_FEWEST_STEPS` are made, and early
            stopping waits longer. None: the usual number of epochs.
        two_texts: whether a row is a pair of texts.
    """
    pretrained = _LORA_DEFAULTS if lora else _PAIR_DEFAULTS if two_texts else _PRESET_DEFAULTS
    defaults = dict(pretrained if preset else _SCRATCH_DEFAULTS)
    if rows is not None and config.epochs is None:
        steps = math.ceil(math.ceil(rows / config.batch_size) / config.accumulate)  # of an epoch
        times = max(1.0, _FEWEST_STEPS / (steps * defaults["epochs"]))
        defaults |= {name: math.ceil(defaults[name] * times) for name in ("epochs", "early_stopping")}
    return config.model_copy(update={k: v for k, v in defaults.items() if getattr(config, k) is None})


class WarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises linearly to its peak, then falls to 0 ("linear", "cosine") or stays ("constant").

    Args:
        peak: the highest rate.
        steps: optimizer steps of the whole training.
        warmup: share of the steps in which the rate rises; the last of them has the peak rate.
        shape: how it falls.
    """

    def __init__(self, peak: float, steps: int, warmup: float, shape: str) -> None:
        self.peak, self.steps, self.warmup, self.shape = peak, steps, warmup, shape

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        rising = float(math.ceil(self.warmup * self.steps))
        progress = ops.clip((step - rising) / max(self.steps - rising, 1.0), 0.0, 1.0)
        falling = {"linear": 1.0 - progress, "cosine": 0.5 * (1.0 + ops.cos(math.pi * progress))}
        factor = falling.get(self.shape, ops.ones_like(progress))
        return self.peak * ops.where(step < rising, (step + 1.0) / max(rising, 1.0), factor)

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "steps": self.steps, "warmup": self.warmup, "shape": self.shape}


class LayerwiseAdamW(keras.optimizers.Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019) and a multiple of the rate for each variable.

    With all multiples 1 it is `keras.optimizers.AdamW`.

    The gradients must already be summed over the replicas, so that clipping uses the norm of the whole batch.

    Args:
        schedule: learning rate by optimizer step.
        decay: weight decay per step, as a multiple of the variable's rate.
        clip_norm: largest global norm of the gradients; None: no limit.
        multiples: multiple of the rate for each variable, in the order of `build`.
        decayed: whether weight decay applies to each variable, in the same order.
        momentum: of the variables' moving averages; 0: none are kept.
    """

    def __init__(
        self,
        schedule: WarmupDecay,
        *,
        decay: float,
        clip_norm: float | None,
        multiples: Sequence[float],
        decayed: Sequence[bool],
        momentum: float = 0.0,
    ) -> None:
        super().__init__(learning_rate=schedule, global_clipnorm=clip_norm, name="adamw")
        self._decay, self._multiples, self._decayed = decay, tuple(multiples), tuple(decayed)
        self._momentum = momentum
        self.averages: list[Any] = []
        self._rates = ops.convert_to_numpy(schedule(np.arange(schedule.steps + 1)))

    def build(self, variables: Sequence[Any]) -> None:
        super().build(variables)
        if self._momentum:
            # Not Keras's own average, in which the first steps weigh as much as the last hundred.
            self.averages = self.add_optimizer_variables(variables, "average")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        rate = ops.cast(learning_rate, variable.dtype) * self._multiples[index]
        if self._decay and self._decayed[index]:
            self.assign_sub(variable, variable * (rate * self._decay))
        super().update_step(gradient, variable, rate)
        if self._momentum:
            momentum = self.average_momentum(ops.cast(self.iterations, variable.dtype))
            average = self.averages[index]
            self.assign(average, momentum * average + (1.0 - momentum) * variable)

    def rate(self, step: int) -> np.float32:
        """The learning rate of an optimizer step, from 0 on. TensorFlow takes a millisecond for `learning_rate`."""
        return np.float32(self._rates[min(step, len(self._rates) - 1)])

    def groups(self) -> dict[tuple[float, float], list[int]]:
        """The variables' indices by multiple of the rate and weight decay."""
        found: dict[tuple[float, float], list[int]] = {}
        for index, (multiple, decayed) in enumerate(zip(self._multiples, self._decayed, strict=True)):
            found.setdefault((multiple, self._decay if decayed else 0.0), []).append(index)
        return found

    def average_momentum(self, steps: Any) -> Any:
        """The momentum of the moving averages after this many steps: early on, an average over fewer steps."""
        return ops.minimum(self._momentum, steps / (steps + 10.0))  # as TensorFlow's `num_updates`

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        return grads_and_vars  # the step has already summed them


def make_optimizer(
    model: keras.Model, config: TrainConfig, *, steps: int, depths: Mapping[str, int] | None = None
) -> keras.optimizers.Optimizer:
    """The optimizer of a training of `steps` optimizer steps, built for the model's trainable variables.

    Args:
        config: what `resolve_defaults` returned.
        depths: variable path to depth (0 embeddings, 1..N layers, N+1 head) for layer-wise rates. Without it, all
            variables have the schedule's rate.
    """
    assert config.learning_rate is not None  # resolve_defaults has been called
    variables = model.trainable_variables
    top = max(depths.values()) if depths else 0
    optimizer: keras.optimizers.Optimizer = LayerwiseAdamW(
        WarmupDecay(config.learning_rate, steps, config.warmup, config.schedule),
        decay=config.weight_decay,
        clip_norm=config.clip_norm,
        multiples=[_multiple(top - depths[v.path], config) if depths else 1.0 for v in variables],
        decayed=[_is_decayed(v) for v in variables],
        momentum=config.ema_momentum or 0.0,
    )
    if config.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(variables)
    return optimizer


def moving_averages(optimizer: keras.optimizers.Optimizer) -> list[Any]:
    """The moving averages of the variables, in their order; empty if none are kept."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return list(inner.averages)


@contextlib.contextmanager
def with_moving_averages(
    optimizer: keras.optimizers.Optimizer, variables: Sequence[Any], devices: TrainingDevices
) -> Iterator[None]:
    """Within the block, the variables hold their moving averages, if any are kept."""
    kept = moving_averages(optimizer)
    changed = variables[: len(kept)]

    def assign(values: Sequence[np.ndarray]) -> None:
        with devices.scope():
            for variable, value in zip(changed, values, strict=True):
                variable.assign(value)

    former = [variable.numpy() for variable in changed]
    assign([average.numpy() for average in kept])
    try:
        yield
    finally:
        assign(former)


def _multiple(below_head: int, config: TrainConfig) -> float:
    """Multiple of the rate for a variable `below_head` layers below the head."""
    return (config.layer_decay or 1.0) ** below_head if below_head else config.head_multiple or 1.0


def _is_decayed(variable: Any) -> bool:
    # Vectors are biases and norms. The bias of an attention is a matrix [heads, head size].
    return len(variable.shape) > 1 and variable.name != "bias"
