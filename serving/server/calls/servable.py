"""A model version as the rest of the server sees it, independent of its file format: signatures and runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from serving.server.calls import request_tensors
from serving.server.calls.service_interface import TensorInfo

DEFAULT_SIGNATURE = "serving_default"


@dataclass(frozen=True)
class Endpoint:
    """An input or output of a signature: the graph's tensor, and the number of its type."""

    tensor: str
    dtype: int


@dataclass(frozen=True)
class ModelSignature:
    """A `SignatureDef` message, parsed once.

    Attributes:
        inputs, outputs: by alias, in alphabetical order.
        defaults: values of inputs that a request may omit.
    """

    definition: Any
    inputs: Mapping[str, Endpoint] = field(init=False)
    outputs: Mapping[str, Endpoint] = field(init=False)
    defaults: Mapping[str, np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", _endpoints(self.definition.inputs))
        object.__setattr__(self, "outputs", _endpoints(self.definition.outputs))
        object.__setattr__(self, "defaults", request_tensors.decode_inputs(self.definition.defaults))

    @cached_property
    def input_infos(self) -> Mapping[str, TensorInfo]:
        return {alias: _info(info) for alias, info in self.definition.inputs.items()}

    @cached_property
    def method_name(self) -> str:
        return str(self.definition.method_name)


class Servable(Protocol):
    """One loaded version of a model. `run` is thread-safe."""

    signatures: Mapping[str, ModelSignature]

    def is_unbounded(self, fetches: Sequence[str]) -> bool:
        """Whether the request's size does not limit the run time for these tensors, as with a loop."""
        ...

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], timeout: float | None) -> list[np.ndarray]:
        """Computes the tensors `fetches` from the tensors `feeds`, both by their names in the graph.

        `timeout` is in seconds, None for none.

        Raises:
            StatusError: the run failed; DEADLINE_EXCEEDED, it took longer than `timeout`.
            RunLimitError: an unbounded run reached the server's limit.
        """
        ...

    def close(self) -> None:
        """Frees the model; no run is active or will start."""
        ...


def _endpoints(infos: Mapping[str, Any]) -> dict[str, Endpoint]:
    return {alias: Endpoint(infos[alias].name, infos[alias].dtype) for alias in sorted(infos)}


def _info(info: Any) -> TensorInfo:
    shape = None if info.tensor_shape.unknown_rank else tuple([dim.size for dim in info.tensor_shape.dim])
    return TensorInfo(info.dtype, shape)
