"""Which devices train, and how they share the work."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any

import keras

from models import runtime
from models.errors import TrainingError
from models.training.frameworks.process_group import OneProcess, ProcessGroup
from models.training_config import TrainConfig, Xla

_PARTS_OF_ANY_CPU = 8


@dataclass(frozen=True)
class TrainingDevices:
    """The devices that train, under a strategy that may differ from the configured one."""

    strategy_name: str  # "none", "mirrored", "sharded" or "tpu"
    strategy: Any  # TensorFlow's, its default one for "none"; JAX: keras.distribution's; else None
    names: tuple[str, ...]
    replicas: int = 1  # copies of the model
    shards: int = 1  # devices of a copy
    shares: int = 1  # parts of a copy's batch that TensorFlow computes side by side, see `runtime.operations_at_once`
    group: ProcessGroup = field(default_factory=OneProcess)

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """In which the model and its optimizer are made and their variables set."""
        return contextlib.nullcontext() if self.strategy is None else self.strategy.scope()

    def running(self) -> contextlib.AbstractContextManager[None]:
        """In which the training's functions are called."""
        return runtime.without_grappler() if self._is_cpu else contextlib.nullcontext()

    @property
    def packing(self) -> dict[str, int]:
        """Arguments of `PackedBatches`: JAX divides the lines of a batch itself, so that it needs a multiple; elsewhere
        each share of a copy's batch is packed by itself."""
        divides = keras.backend.backend() == "jax"
        if self.shares > 1:  # on a CPU, where any length will do, and a share has few rows to fill its lines with
            return {"replicas": self.shares, "length_multiple": 4}
        return {"replicas": 1, "multiple": self.replicas} if divides else {"replicas": self.replicas}

    @property
    def mirrors_variables(self) -> bool:
        """Whether the variables are TensorFlow's mirrored ones, which only a step over all replicas can train."""
        return keras.backend.backend() == "tensorflow" and self.strategy_name != "none"

    @property
    def always_compiles(self) -> bool:
        """Whether XLA compiles everything on these devices, configured or not."""
        return self.strategy_name == "tpu" or keras.backend.backend() == "jax"

    def choose_precision(self, *, preset: bool) -> tuple[str, str]:
        """What `precision: auto` means here, and why (measured: "Training speed" in benchmarks/README.md)."""
        if self.strategy_name == "tpu":
            return "mixed_bfloat16", "a TPU multiplies in bfloat16"
        if keras.backend.backend() != "tensorflow":
            return "float32", f"training on {keras.backend.backend()}"
        if not self._is_cpu:
            return "float32", "an accelerator"
        if runtime.onednn_state() == "off":
            return "float32", "a CPU without oneDNN"
        facts = runtime.cpu_facts()
        units = [name for name in ("amx_bf16", "avx512_bf16") if name in facts["features"]]
        if not units:
            return "float32", "a CPU that does not multiply in bfloat16"
        if units == ["avx512_bf16"] and facts["vendor"] == "GenuineIntel":
            return "float32", "an Intel CPU without AMX, which multiplies faster in float32 than in bfloat16"
        if not preset:
            return "float32", "an encoder from scratch"
        return "mixed_bfloat16", f"a preset on a CPU with {units[0]}"

    def choose_xla(self, *, preset: bool, precision: str) -> tuple[Xla, str]:
        """What `xla: auto` means here, and why (measured: "Training speed" in benchmarks/README.md)."""
        if not self._is_cpu:
            return True, "an accelerator"
        if "avx512f" not in runtime.cpu_facts()["features"]:
            return True, "a CPU without AVX-512"
        if runtime.onednn_state() == "off":
            return True, "a CPU without oneDNN"
        if preset or precision != "float32":
            return "parts", f"a CPU with AVX-512, and {'a preset' if preset else precision}"
        return True, "an encoder from scratch in float32"

    @property
    def _is_cpu(self) -> bool:
        return all("cpu" in name.lower() for name in self.names)


def choose_devices(config: TrainConfig) -> TrainingDevices:
    """The devices for `strategy`, `devices` and `shards` of the configuration.

    On PyTorch, this process joins the others of its group (`models.training.frameworks.torch_group`).

    Raises:
        TrainingError: there are fewer devices; a TPU is asked for, and none is found; or the framework does not have
            the strategy.
    """
    backend = keras.backend.backend()
    if config.strategy == "tpu" and backend != "tensorflow":
        raise _not_on("strategy", config.strategy, backend, "tensorflow")
    if config.shards > 1 and backend != "jax":
        raise _not_on("shards", config.shards, backend, "jax")
    if backend == "jax":
        return _jax(config)
    if backend == "torch":
        return _torch(config)
    from models.training.frameworks import tensorflow_devices

    return tensorflow_devices.choose(config)


def default_device() -> TrainingDevices:
    """Where everything runs that no strategy spreads."""
    if keras.backend.backend() != "tensorflow":
        return TrainingDevices("none", None, ())
    import tensorflow as tf

    shares = 1 if tf.config.list_physical_devices("GPU") else runtime.operations_at_once()
    return TrainingDevices("none", tf.distribute.get_strategy(), (), shares=shares)


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


def _jax(config: TrainConfig) -> TrainingDevices:
    from models.training.frameworks.jax_devices import distribute, find_devices

    found = find_devices(config)
    names, replicas = tuple(map(str, found)), len(found) // config.shards
    if len(found) == 1:
        return TrainingDevices("none", None, names)
    name = "mirrored" if config.shards == 1 else "sharded"
    return TrainingDevices(name, distribute(found, config.shards), names, replicas, config.shards)


def _torch(config: TrainConfig) -> TrainingDevices:
    import torch

    from models.training.frameworks.torch_group import count_processes, join

    wanted, group = count_processes(config), join()
    if group is None:
        if wanted > 1 and config.devices is not None:
            raise TrainingError(
                f"train.devices is {wanted}",
                got="a training in one process",
                expected=f"{wanted} processes, which `transom run` starts",
                fix="run it by `transom run`, or by torchrun",
            )
        return TrainingDevices("none", None, (torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",))
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    names = tuple(f"{kind}:{number}" for number in range(group.size))
    return TrainingDevices("mirrored", None, names, group.size, group=group)


def check_cpu_parts(config: TrainConfig) -> None:
    """Checks that the CPU, the device of this machine, is not to be divided into far more parts than it has cores.

    A few more than cores show that a training works on several devices. But each has the model, or a part of it, and
    threads of its own.

    Raises:
        TrainingError: `train.devices`, or `train.shards` without it, is too large.
    """
    cores, most, wanted = runtime.usable_cores(), most_cpu_parts(), config.devices or config.shards
    if wanted > most:
        got = f"a CPU of {cores} core{'' if cores == 1 else 's'}, and no other device"
        raise too_few_devices(wanted, most, got, key="devices" if config.devices else "shards")


def most_cpu_parts() -> int:
    """Into how many devices a CPU may be divided."""
    return max(_PARTS_OF_ANY_CPU, runtime.usable_cores())


def too_few_devices(wanted: int, most: int, got: str, key: str = "devices") -> TrainingError:
    """The error for a `train.devices` (or other key) of more than there are."""
    return TrainingError(
        f"train.{key} is {wanted}", got=got, expected=f"at most {most}", fix=f"lower train.{key}, or remove it"
    )


def _not_on(key: str, value: object, backend: str, needed: str) -> TrainingError:
    return TrainingError(
        f"train.{key} is {value}",
        got=f"training on {backend}",
        expected=f"train.backend: {needed}, which alone has it",
        fix=f"remove train.{key}, or set train.backend to {needed}",
    )
