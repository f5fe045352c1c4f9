"""Which devices train, and how they share the work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from models.errors import TrainingError


@dataclass(frozen=True)
class TrainingDevices:
    """The devices that train, under a strategy that may differ from the configured one."""

    strategy_name: str  # "none", "mirrored" or "tpu"
    strategy: Any  # TensorFlow's; its default one for "none"
    names: tuple[str, ...]

    @property
    def replicas(self) -> int:
        """Copies of the model that each take a share of a batch."""
        return int(self.strategy.num_replicas_in_sync)

    @property
    def always_compiles(self) -> bool:
        """Whether XLA compiles everything on these devices, configured or not."""
        return self.strategy_name == "tpu"

    @property
    def precision(self) -> str:
        """What `precision: auto` means here: a TPU's matrix units multiply in bfloat16."""
        return "mixed_bfloat16" if self.strategy_name == "tpu" else "float32"


def choose_devices(strategy: str) -> TrainingDevices:
    """The devices for `TrainConfig.strategy`.

    "auto": mirrored over the GPUs if there are several, else none. "mirrored": over the GPUs, or over the logical CPUs
    if there is no GPU; a single device needs no mirror and gives "none". "tpu": the TPU that the environment names.
    (Several workers would be one more case here: the step and the batches already count replicas over all workers.)

    Raises:
        TrainingError: "tpu", and none is found.
    """
    if strategy == "tpu":
        return _tpu()
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    cpus = [device.name for device in tf.config.list_logical_devices("CPU")]
    mirrored = {"auto": gpus, "mirrored": gpus or cpus}.get(strategy, [])
    if len(mirrored) > 1:
        return TrainingDevices("mirrored", tf.distribute.MirroredStrategy(mirrored), tuple(mirrored))
    return TrainingDevices("none", tf.distribute.get_strategy(), tuple((gpus or cpus)[:1]))


def _tpu() -> TrainingDevices:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        raise TrainingError(
            "train.strategy is tpu, but no TPU can be used",
            got=str(error).splitlines()[0],
            expected="a TPU that TensorFlow's TPUClusterResolver finds (TPU_NAME, or a TPU VM with libtpu)",
            fix="run on a TPU VM, or set train.strategy to auto",
        ) from error
    names = tuple(device.name for device in tf.config.list_logical_devices("TPU"))
    return TrainingDevices("tpu", tf.distribute.TPUStrategy(resolver), names)
