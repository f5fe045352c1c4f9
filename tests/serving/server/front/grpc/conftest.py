import pytest

from serving.server.front.grpc import grpc_server
from serving.server.front.http2 import nghttp2


@pytest.fixture(autouse=True, params=["nghttp2", "grpcio"])
def carrier(request, monkeypatch):
    """The library under gRPC: nghttp2, or grpcio as if nghttp2 were not installed."""
    if request.param == "grpcio":
        monkeypatch.setattr(grpc_server, "load", lambda: None)
    elif nghttp2.load() is None:
        pytest.skip("nghttp2 is not installed")
    return request.param
