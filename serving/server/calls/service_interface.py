"""The interface between the front ends (gRPC, REST) and the models, in arrays or protos.

The front ends know no TensorFlow, and the implementation (`model_service.py`) knows neither gRPC nor HTTP. All methods
are called in the process's event loop and do not block it. A failed request raises `StatusError` with TF Serving's code
and message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from serving.server.calls.request_context import RequestContext

Arrays = Mapping[str, np.ndarray]
"""Name to array. Strings are arrays of `bytes` objects (dtype object)."""


@dataclass(frozen=True)
class PredictResult:
    """The outputs of a run, and the `ModelSpec` (name, version, signature) that produced them."""

    model_spec: Any
    outputs: Arrays


class Service(Protocol):
    """Models for inference. A request that has not started by the deadline of its `call` is not run, and its caller
    gets DEADLINE_EXCEEDED. Without a `call` there is no deadline and no limit."""

    async def predict(
        self, model_spec: Any, inputs: Arrays, output_filter: Sequence[str] = (), call: RequestContext | None = None
    ) -> PredictResult:
        """Runs a signature; see `PredictRequest`."""
        ...

    async def classify(self, request: Any, call: RequestContext | None = None) -> Any:
        """`ClassificationRequest` to `ClassificationResponse`."""
        ...

    async def regress(self, request: Any, call: RequestContext | None = None) -> Any:
        """`RegressionRequest` to `RegressionResponse`."""
        ...

    async def multi_inference(self, request: Any, call: RequestContext | None = None) -> Any:
        """`MultiInferenceRequest` to `MultiInferenceResponse`."""
        ...

    def get_model_metadata(self, request: Any) -> Any:
        """`GetModelMetadataRequest` to `GetModelMetadataResponse`."""
        ...

    def get_model_status(self, request: Any) -> Any:
        """`GetModelStatusRequest` to `GetModelStatusResponse`."""
        ...

    async def reload_config(self, request: Any) -> Any:
        """`ReloadConfigRequest` to `ReloadConfigResponse`: waits until the new models are served or have failed.

        UNKNOWN means that a model is not served yet, but the new configuration is in force. After any other failure
        the previous one still is.
        """
        ...

    def inputs_of(self, model_spec: Any, signature_name: str) -> Mapping[str, int]:
        """The inputs of a signature ("" for serving_default) with their `tensorflow.DataType`s, needed to read JSON.

        Raises:
            StatusError: INVALID_ARGUMENT in REST's own words, the signature is unknown.
        """
        ...

    def ready(self) -> bool:
        """Whether every configured model has an available version."""
        ...

    async def start(self) -> None:
        """Loads the configured models and keeps them up to date; returns when each is served or has failed."""
        ...

    async def stop(self) -> None:
        """Waits for the runs in progress and unloads everything."""
        ...
