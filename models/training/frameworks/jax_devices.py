"""The devices of a training on JAX, as a mesh of `keras.distribution`: copies of the model by parts of its weights."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import jax
import keras
import numpy as np

from models.errors import TrainingError
from models.training.batches import Features
from models.training.frameworks.devices import TrainingDevices, check_cpu_parts, most_cpu_parts, too_few_devices
from models.training_config import TrainConfig

COPIES, PARTS = "copies", "parts"
"""The mesh's axes."""


def find_devices(config: TrainConfig) -> list[Any]:
    """The accelerators, or else this machine's CPU: as one device, or in as many parts as are wanted.

    Raises:
        TrainingError: there are fewer than `train.devices`, or their number is no multiple of `train.shards`.
    """
    parts = config.devices or config.shards
    if parts > 1:
        parts = min(parts, most_cpu_parts() + 1)  # a few too many are refused below, where there is no other device
        with contextlib.suppress(RuntimeError):  # JAX has begun to compute, and has its devices
            jax.config.update("jax_num_cpu_devices", parts)
    found = jax.devices()
    on_cpu = found[0].platform == "cpu"
    if on_cpu:
        check_cpu_parts(config)
    if config.devices is not None and len(found) < config.devices:
        kind = "parts of the CPU" if on_cpu else found[0].device_kind
        raise too_few_devices(config.devices, len(found), f"{len(found)} {kind}")
    if config.devices is None:
        found = found[: config.shards] if on_cpu or config.strategy == "none" else found
    else:
        found = found[: config.devices]
    if len(found) % config.shards:
        raise TrainingError(
            f"train.shards is {config.shards}",
            got=f"{len(found)} device{'' if len(found) == 1 else 's'}",
            expected="a number that divides the number of devices",
            fix="change train.shards, or set train.devices to a multiple of it",
        )
    return list(found)


def distribute(devices: list[Any], shards: int) -> keras.distribution.Distribution:
    """How the model's variables lie on the devices: whole on each, or in `shards` parts, which are on as many devices.

    Args:
        devices: a multiple of `shards`.
    """
    names = [f"{device.platform}:{device.id}" for device in devices]
    if shards == 1:
        mesh = keras.distribution.DeviceMesh((len(names),), [COPIES], np.array(names))
        return keras.distribution.DataParallel(device_mesh=mesh)
    shape = (len(names) // shards, shards)
    return SplitLayers(keras.distribution.DeviceMesh(shape, [COPIES, PARTS], np.array(names).reshape(shape)))


def spread(features: Features, devices: TrainingDevices) -> Mapping[str, Any]:
    """The features with their lines, or rows of padded ones, divided among the copies of the model."""
    if devices.strategy is None:
        return features

    def place(value: np.ndarray) -> Any:
        divided = value.ndim > 1 and len(value) % devices.replicas == 0
        layout = keras.distribution.TensorLayout(
            [COPIES if divided else None, *[None] * (value.ndim - 1)], devices.strategy.device_mesh
        )
        return keras.distribution.distribute_tensor(value, layout)

    return {name: place(value) for name, value in features.items()}


class SplitLayers(keras.distribution.ModelParallel):
    """Splits the Transformer layers as Megatron-LM does, and the embeddings by their width.

    Each device has some attention heads, and some units between the two dense layers; so two sums over the devices are
    all that a layer needs to exchange (Shoeybi et al. 2019, https://arxiv.org/abs/1909.08053). Other weights whose
    number does not divide are whole on each device.
    """

    def __init__(self, mesh: keras.distribution.DeviceMesh) -> None:
        super().__init__(layout_map=keras.distribution.LayoutMap(mesh), batch_dim_name=COPIES)
        self._shards = mesh.shape[1]

    def get_variable_layout(self, variable: Any) -> Any:
        """The layout by the variable's name and shape.

        Raises:
            TrainingError: the attention heads cannot be divided.
        """
        path = variable.path.split("/")
        axis = _split_axis(path, len(variable.shape))
        axes: list[str | None] = [None] * len(variable.shape)
        if path[-2:] == ["query", "kernel"] and variable.shape[1] % self._shards:
            raise TrainingError(
                f"train.shards is {self._shards}",
                got=f"a model with {variable.shape[1]} attention heads",
                expected="a divisor of that number",
                fix="change train.shards",
            )
        if axis is not None and variable.shape[axis] % self._shards == 0:
            axes[axis] = PARTS
        return keras.distribution.TensorLayout(axes, self.device_mesh)


def _split_axis(path: list[str], rank: int) -> int | None:
    """The axis along which a variable is split; None: it is whole on each device."""
    layer, name = path[-2] if len(path) > 1 else "", path[-1]
    if name == "embeddings":
        return 1
    if layer in ("query", "key", "value"):
        return {"kernel": 1, "bias": 0}.get(name)  # by heads: [width, heads, size] and [heads, size]
    if layer == "attention_output":
        return 0 if name == "kernel" else None  # [heads, size, width]
    if layer.endswith("intermediate_dense"):
        return rank - 1
    if layer.endswith("output_dense"):
        return 0 if name == "kernel" else None
    return None
