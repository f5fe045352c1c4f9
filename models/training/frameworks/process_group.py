"""The processes that train together, each with a copy of the model and a share of each batch.

All of them do the same in the same order; only the first writes checkpoints and reports. Where something that only one
of them knows would make them go different ways (a signal, a checkpoint), they agree here first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

Value = TypeVar("Value")

RANK, SIZE, LOCAL_RANK, LOCAL_SIZE = "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"
"""Environment variables, as torchrun sets them."""
RENDEZVOUS = "TRANSOM_RENDEZVOUS"
"""Environment variable: the file by which processes of one machine find each other. Without it, they do as torchrun's:
by MASTER_ADDR and MASTER_PORT."""


class ProcessGroup(Protocol):
    """What the training loop needs of it."""

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        ...

    def from_first(self, value: Value) -> Value:
        """The first process's value, which can be pickled."""
        ...

    def synchronize(self, variables: Sequence[Any]) -> None:
        """Gives Keras's variables the values that they have in the first process."""
        ...


class OneProcess:
    """The group of a process that trains alone."""

    def any(self, flag: bool) -> bool:
        """See `ProcessGroup`."""
        return flag

    def from_first(self, value: Value) -> Value:
        """See `ProcessGroup`."""
        return value

    def synchronize(self, variables: Sequence[Any]) -> None:
        """See `ProcessGroup`."""
