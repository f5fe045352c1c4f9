"""A model version as the rest of the server sees it, independent of its file format: signatures and runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from serving.server.calls import request_tensors

DEFAULT_SIGNATURE = "serving_default"


@dataclass(frozen=True)
class Endpoint:
    """An input or output of a signature: the graph's tensor, and the number of its type."""

    tensor: str
    dtype: int


class ModelSignature:
    """A `SignatureDef` message, parsed once.

    Attributes:
        inputs, outputs: by alias, in alphabetical order.
        input_dtypes: the numbers of the inputs' types, in the message's order.
        defaults: values of inputs that a request may omit.
    """

    def __init__(self, definition: Any) -> None:
        self.definition, self.method_name = definition, str(definition.method_name)
        self.inputs, self.outputs = _endpoints(definition.inputs), _endpoints(definition.outputs)
        self.input_dtypes = {alias: info.dtype for alias, info in definition.inputs.items()}
        self.defaults: Mapping[str, np.ndarray] = request_tensors.decode_inputs(definition.defaults)


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
