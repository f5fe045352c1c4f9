"""Which devices train, and how they share the work."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import keras

from models.errors import TrainingError


@dataclass(frozen=True)
class TrainingDevices:
    """The devices that train, under a strategy that may differ from the configured one."""

    strategy_name: str  # "none", "mirrored" or "tpu"
    strategy: Any  # TensorFlow's; its default one for "none"; None with another framework
    names: tuple[str, ...]

    @property
    def replicas(self) -> int:
        """Copies of the model that each take a share of a batch."""
        return 1 if self.strategy is None else int(self.strategy.num_replicas_in_sync)

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """In which the model and its optimizer are made and their variables set."""
        return contextlib.nullcontext() if self.strategy is None else self.strategy.scope()

    @property
    def always_compiles(self) -> bool:
        """Whether XLA compiles everything on these devices, configured or not."""
        return self.strategy_name == "tpu" or keras.backend.backend() == "jax"

    @property
    def precision(self) -> str:
        """What `precision: auto` means here: a TPU's matrix units multiply in bfloat16."""
        return "mixed_bfloat16" if self.strategy_name == "tpu" else "float32"


def choose_devices(strategy: str) -> TrainingDevices:
    """The devices for `TrainConfig.strategy`.

    "auto": mirrored over the GPUs if there are several, else none. "mirrored": over the GPUs, or over the logical CPUs
    if there is no GPU; a single device needs no mirror and gives "none". "tpu": the TPU that the environment names.
    (Several workers would be one more case here: the step and the batches already count replicas over all workers.)

    JAX and PyTorch use the first device that they find.

    Raises:
        TrainingError: "tpu", and none is found; or another framework than TensorFlow does not have the strategy.
    """
    if keras.backend.backend() != "tensorflow":
        if strategy in ("mirrored", "tpu"):
            raise TrainingError(
                f"train.strategy is {strategy}",
                got=f"training on {keras.backend.backend()}",
                expected="auto or none: other strategies need TensorFlow",
                fix="set train.strategy to auto",
            )
        return TrainingDevices("none", None, (_first_device(),))
    if strategy == "tpu":
        return _tpu()
    import tensorflow as tf

    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    cpus = [device.name for device in tf.config.list_logical_devices("CPU")]
    mirrored = {"auto": gpus, "mirrored": gpus or cpus}.get(strategy, [])
    if len(mirrored) > 1:
        return TrainingDevices("mirrored", tf.distribute.MirroredStrategy(mirrored), tuple(mirrored))
    return TrainingDevices("none", tf.distribute.get_strategy(), tuple((gpus or cpus)[:1]))


def _first_device() -> str:
    """The device that Keras uses on JAX or PyTorch."""
    if keras.backend.backend() == "jax":
        import jax

        return str(jax.devices()[0])
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def default_device() -> TrainingDevices:
    """Where everything runs that no strategy spreads."""
    if keras.backend.backend() != "tensorflow":
        return TrainingDevices("none", None, ())
    import tensorflow as tf

    return TrainingDevices("none", tf.distribute.get_strategy(), ())


def peak_device_memory_mb() -> dict[str, float]:
    """Peak memory of the framework on each GPU in MB."""
    if keras.backend.backend() == "jax":
        import jax

        peaks = {str(device): (device.memory_stats() or {}).get("peak_bytes_in_use") for device in jax.devices()}
        return {name: peak / 1e6 for name, peak in peaks.items() if peak is not None}
    if keras.backend.backend() == "torch":
        import torch

        return {f"cuda:{i}": torch.cuda.max_memory_allocated(i) / 1e6 for i in range(torch.cuda.device_count())}
    import tensorflow as tf

    gpus = [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices("GPU")]
    return {gpu: tf.config.experimental.get_memory_info(gpu)["peak"] / 1e6 for gpu in gpus}


def _tpu() -> TrainingDevices:
    import tensorflow as tf

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
