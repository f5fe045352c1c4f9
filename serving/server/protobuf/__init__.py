"""Protobuf's wire format: large requests are counted, and their tensors read, where they lie. What the tensors mean is
not in here, and nothing that waits."""

from serving.server.protobuf.example_bytes import serialized_examples
from serving.server.protobuf.parsing import parse
from serving.server.protobuf.response_bytes import encode_response

__all__ = ["encode_response", "parse", "serialized_examples"]
