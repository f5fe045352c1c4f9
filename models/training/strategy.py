"""Which devices train, and how they share the work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from models.errors import TrainingError


@dataclass(frozen=True)
class Placement:
    """The strategy that is in effect, which may be another than the one asked for.

    Attributes:
        name: "none", "mirrored" or "tpu".
        strategy: TensorFlow's; its default one for "none".
        devices: names of the devices that train.
    """

    name: str
    strategy: Any
    devices: tuple[str, ...]

    @property
    def replicas(self) -> int:
        """Copies of the model that each take a share of a batch."""
        return int(self.strategy.num_replicas_in_sync)

    @property
    def compiles_by_itself(self) -> bool:
        """Whether all that runs there is compiled by XLA in any case."""
        return self.name == "tpu"

    @property
    def precision(self) -> str:
        """What `precision: auto` means there: a TPU's matrix units multiply in bfloat16."""
        return "mixed_bfloat16" if self.name == "tpu" else "float32"


def make_strategy(name: str) -> Placement:
    """The devices for `TrainConfig.strategy`.

    "auto": mirrored over the GPUs where there are several, else none. "mirrored": over the GPUs, or where there is
    none, over the logical CPUs; a single device needs no mirror, so that "none" is in effect. "tpu": the TPU that
    the environment names. (Several workers would be one more case here: the step and the batches already count
    replicas over all workers.)

    Raises:
        TrainingError: "tpu", and none is found.
    """
    if name == "tpu":
        return _tpu()
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    cpus = [device.name for device in tf.config.list_logical_devices("CPU")]
    mirrored = {"auto": gpus, "mirrored": gpus or cpus}.get(name, [])
    if len(mirrored) > 1:
        return Placement("mirrored", tf.distribute.MirroredStrategy(mirrored), tuple(mirrored))
    return Placement("none", tf.distribute.get_strategy(), tuple((gpus or cpus)[:1]))


def _tpu() -> Placement:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        raise TrainingError(
            "train.strategy is tpu, and no TPU can be used",
            got=str(error).splitlines()[0],
            expected="a TPU that TensorFlow's TPUClusterResolver finds (TPU_NAME, or a TPU VM with libtpu)",
            fix="run on a TPU VM, or set train.strategy to auto",
        ) from error
    devices = tuple(device.name for device in tf.config.list_logical_devices("TPU"))
    return Placement("tpu", tf.distribute.TPUStrategy(resolver), devices)
