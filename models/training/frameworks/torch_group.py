"""The processes of a training on PyTorch, which `torch.distributed` connects."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed

from models.errors import TrainingError
from models.runtime import usable_cores
from models.training.frameworks.devices import check_cpu_parts, too_few_devices
from models.training.frameworks.process_group import LOCAL_RANK, LOCAL_SIZE, RANK, RENDEZVOUS, SIZE
from models.training_config import TrainConfig

Value = TypeVar("Value")

# The first process may be busy with a checkpoint or an export for long.
_PATIENCE = timedelta(minutes=30)


class TorchGroup:
    """`models.training.frameworks.process_group.ProcessGroup` on PyTorch."""

    def __init__(self) -> None:
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def any(self, flag: bool) -> bool:
        """See `ProcessGroup`."""
        flags = torch.tensor([float(flag)], device=self._device)
        distributed.all_reduce(flags, distributed.ReduceOp.MAX)
        return bool(flags.item())

    def from_first(self, value: Value) -> Value:
        """See `ProcessGroup`."""
        values = [value]
        distributed.broadcast_object_list(values)
        return values[0]

    def synchronize(self, variables: Sequence[Any]) -> None:
        """See `ProcessGroup`."""
        with torch.no_grad():
            for variable in variables:
                distributed.broadcast(variable.value.detach(), 0)

    def sum(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The sums over all processes, which send them as one tensor."""
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])
        return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]

    def concatenate(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensors of all processes, which have the same shape, one after the other."""
        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        distributed.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)


def join() -> TorchGroup | None:
    """The group that the environment variables of this process name; None if there are none.

    On a machine without a GPU, the processes share its cores.

    Raises:
        TrainingError: the other processes did not come.
    """
    if int(os.environ.get(SIZE, "1")) == 1:
        return None
    local = int(os.environ.get(LOCAL_RANK, os.environ[RANK]))
    if torch.cuda.is_available():
        torch.cuda.set_device(local)
    else:
        torch.set_num_threads(max(1, usable_cores() // int(os.environ.get(LOCAL_SIZE, os.environ[SIZE]))))
    if not distributed.is_initialized():
        file = os.environ.get(RENDEZVOUS)
        try:
            distributed.init_process_group(
                "nccl" if torch.cuda.is_available() else "gloo",
                init_method="env://" if file is None else f"file://{file}",
                rank=int(os.environ[RANK]),
                world_size=int(os.environ[SIZE]),
                timeout=_PATIENCE,
            )
        except (RuntimeError, ValueError) as error:
            raise TrainingError(
                "the processes of the training did not find each other",
                got=str(error).splitlines()[0],
                expected=f"{os.environ[SIZE]} processes",
                fix="set train.devices to 1, or look for the error of another process above",
            ) from error
    return TorchGroup()


def count_processes(config: TrainConfig) -> int:
    """The processes that train together on this machine: one for each device.

    Raises:
        TrainingError: there are fewer GPUs, or far fewer cores.
    """
    gpus, wanted = torch.cuda.device_count(), config.devices or 0
    if gpus and wanted > gpus:
        raise too_few_devices(wanted, gpus, f"{gpus} GPUs on this machine")
    if not gpus:
        check_cpu_parts(config)
    return 1 if config.strategy == "none" else wanted or gpus or 1
