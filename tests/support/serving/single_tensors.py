"""One tensor to and from its `TensorProto`, as the server reads and writes those of a request."""

from __future__ import annotations

from typing import Any

import numpy as np

from serving.server.calls.request_tensors import decode_inputs
from serving.wire.protos import TensorProto
from serving.wire.tensor_values import encode_into


def decode(proto: Any, name: str = "", *limits_and_check: Any, **options: Any) -> np.ndarray:
    return decode_inputs({name: proto}, *limits_and_check, **options)[name]


def encode(array: np.ndarray, as_content: bool = False) -> Any:
    proto = TensorProto()
    encode_into(proto, array, as_content)
    return proto
