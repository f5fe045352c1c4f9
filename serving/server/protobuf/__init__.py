"""Protobuf's wire format: counts large requests and reads their tensors from the message's bytes.

Nothing here interprets tensors or waits.
"""

from serving.server.protobuf.example_bytes import serialized_examples
from serving.server.protobuf.parsing import parse
from serving.server.protobuf.response_bytes import encode_response

__all__ = ["encode_response", "parse", "serialized_examples"]
