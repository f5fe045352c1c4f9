"""Queries a served model over gRPC or REST; needs protobuf, NumPy, and grpcio or httpx, but not TensorFlow.

from serving.client import Client

with Client("grpc://localhost:8500", model="reviews") as client:
    client.predict(["a fine film"])  # [Prediction(score=0.98, label="pos", probabilities={...})]
"""

from serving.client.asynchronous import AsyncClient
from serving.client.endpoint import Tls
from serving.client.errors import (
    AccessDenied,
    ClientError,
    DeadlineExceeded,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    ServerError,
    Unavailable,
)
from serving.client.model_calls import ModelMetadata, Signature, Tensor, VersionStatus
from serving.client.outputs import Prediction
from serving.client.synchronous import Client

__all__ = [
    "AccessDenied",
    "AsyncClient",
    "Client",
    "ClientError",
    "DeadlineExceeded",
    "InvalidRequest",
    "ModelMetadata",
    "ModelNotFound",
    "Overloaded",
    "Prediction",
    "ServerError",
    "Signature",
    "Tensor",
    "Tls",
    "Unavailable",
    "VersionStatus",
]
