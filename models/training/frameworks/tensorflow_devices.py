"""The devices of a training on TensorFlow."""

from __future__ import annotations

import contextlib

import tensorflow as tf

from models import runtime
from models.config import ModelsConfig, may_train_in_parts
from models.errors import TrainingError
from models.training.frameworks.devices import TrainingDevices, check_cpu_parts, too_few_devices
from models.training_config import TrainConfig


def choose(config: TrainConfig) -> TrainingDevices:
    """See `models.training.frameworks.devices.choose_devices`.

    A single device needs no mirror and gives "none". "tpu": the TPU that the environment names. (Several workers would
    be one more case here: the step and the batches already count replicas over all workers.)
    """
    if config.strategy == "tpu":
        return _tpu()
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")] if _has_gpu() else []
    if config.devices is not None and gpus:
        if len(gpus) < config.devices:
            raise too_few_devices(config.devices, len(gpus), f"{len(gpus)} GPUs on this machine")
        gpus = gpus[: config.devices]
    names = gpus or _cpus(config)
    if len(names) > 1 and config.strategy != "none":
        strategy = tf.distribute.MirroredStrategy(names)
        return TrainingDevices("mirrored", strategy, tuple(names), strategy.num_replicas_in_sync)
    shares = 1 if gpus else runtime.operations_at_once()
    return TrainingDevices("none", tf.distribute.get_strategy(), tuple(names[:1]), shares=shares)


def set_up_cpu(config: ModelsConfig) -> None:
    """Sets the CPU's devices and threads for a training on TensorFlow. It has no effect once TensorFlow has computed.

    Even reading rows computes, so this comes first.

    Raises:
        TrainingError: `train.devices` is too large, see `check_cpu_parts`.
    """
    divide_cpu(config.train)
    if may_train_in_parts(config.model, config.train):
        runtime.one_thread_per_operation()


def divide_cpu(config: TrainConfig) -> None:
    """Makes the CPU so many logical devices as are wanted, if there is no GPU and TensorFlow has not computed yet.

    Once it has, it keeps the devices that it has.

    Raises:
        TrainingError: `train.devices` is too large, see `check_cpu_parts`.
    """
    if config.devices is None or config.strategy == "tpu" or _has_gpu():
        return
    check_cpu_parts(config)
    parts = [tf.config.LogicalDeviceConfiguration()] * config.devices
    with contextlib.suppress(RuntimeError, ValueError):
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)


def _has_gpu() -> bool:
    # Asked for logical devices, TensorFlow would fix those of the CPU, too.
    return bool(tf.config.list_physical_devices("GPU"))


def _cpus(config: TrainConfig) -> list[str]:
    """The CPU, as so many logical devices as are wanted; all that there are if `mirrored` does not say how many."""
    divide_cpu(config)
    found = [device.name for device in tf.config.list_logical_devices("CPU")]
    if len(found) < (config.devices or 1):
        already = f"a process in which TensorFlow has {len(found)} already"
        raise too_few_devices(config.devices or 1, len(found), already)
    wanted = config.devices or (len(found) if config.strategy == "mirrored" else 1)
    return found[:wanted]


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
    strategy = tf.distribute.TPUStrategy(resolver)
    return TrainingDevices("tpu", strategy, names, strategy.num_replicas_in_sync)
