"""What stands between the front ends (gRPC, REST) and the models: one service, asked in arrays or in protos.

The front ends know no TensorFlow, and what implements `Service` (`model_service.py`) knows neither gRPC nor HTTP.
All methods are called in the process's event loop and do not block it. A request that fails raises `StatusError` with
TF Serving's code and message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from serving.server.calls.call import Call

Arrays = Mapping[str, np.ndarray]
"""Name to array. Strings are arrays of `bytes` objects (dtype object)."""


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a signature.

    Attributes:
        dtype: the number of a `tensorflow.DataType`.
        shape: sizes, -1 where free; None where the rank is.
    """

    dtype: int
    shape: tuple[int, ...] | None


@dataclass(frozen=True)
class Predicted:
    """The outputs of a run, and the `ModelSpec` message of what gave them (name, version, signature)."""

    model_spec: Any
    outputs: Arrays


class Service(Protocol):
    """Models that can be asked. A request that has not begun by the deadline of its `call` is not run, and its caller
    gets DEADLINE_EXCEEDED. None: a call without a deadline and limits."""

    async def predict(
        self, model_spec: Any, inputs: Arrays, output_filter: Sequence[str] = (), call: Call | None = None
    ) -> Predicted:
        """Runs a signature; see `PredictRequest`."""
        ...

    async def classify(self, request: Any, call: Call | None = None) -> Any:
        """`ClassificationRequest` to `ClassificationResponse`."""
        ...

    async def regress(self, request: Any, call: Call | None = None) -> Any:
        """`RegressionRequest` to `RegressionResponse`."""
        ...

    async def multi_inference(self, request: Any, call: Call | None = None) -> Any:
        """`MultiInferenceRequest` to `MultiInferenceResponse`."""
        ...

    def get_model_metadata(self, request: Any) -> Any:
        """`GetModelMetadataRequest` to `GetModelMetadataResponse`."""
        ...

    def get_model_status(self, request: Any) -> Any:
        """`GetModelStatusRequest` to `GetModelStatusResponse`."""
        ...

    async def reload_config(self, request: Any) -> Any:
        """`ReloadConfigRequest` to `ReloadConfigResponse`: waits until the models asked for are served, or failed.

        A failure with UNKNOWN says that a model is not served yet; the configuration is in force all the same. After
        any other failure the one before is.
        """
        ...

    def inputs_of(self, model_spec: Any, signature_name: str) -> Mapping[str, TensorInfo]:
        """The inputs of a signature, by which JSON is read ("" for serving_default); an unknown one is, in REST's own
        words, INVALID_ARGUMENT."""
        ...

    def ready(self) -> bool:
        """Whether every configured model has a version that is served."""
        ...

    async def start(self) -> None:
        """Loads the configured models; returns when each is served or has failed. Then keeps them up to date."""
        ...

    async def stop(self) -> None:
        """Waits for the runs in progress and unloads everything."""
        ...
