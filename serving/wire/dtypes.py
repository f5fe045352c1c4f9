"""TensorFlow's data types as numbers, names and NumPy dtypes, without TensorFlow.

Source: tensorflow/core/framework/types.proto and types.cc.
"""

from __future__ import annotations

import contextlib

import numpy as np

FLOAT, DOUBLE, INT32, UINT8, INT16, INT8, STRING, COMPLEX64, INT64, BOOL = range(1, 11)
BFLOAT16, UINT16, COMPLEX128, HALF, UINT32, UINT64 = 14, 17, 18, 19, 22, 23

NUMPY: dict[int, np.dtype] = {
    FLOAT: np.dtype(np.float32),
    DOUBLE: np.dtype(np.float64),
    INT32: np.dtype(np.int32),
    UINT8: np.dtype(np.uint8),
    INT16: np.dtype(np.int16),
    INT8: np.dtype(np.int8),
    STRING: np.dtype(object),
    COMPLEX64: np.dtype(np.complex64),
    INT64: np.dtype(np.int64),
    BOOL: np.dtype(np.bool_),
    UINT16: np.dtype(np.uint16),
    COMPLEX128: np.dtype(np.complex128),
    HALF: np.dtype(np.float16),
    UINT32: np.dtype(np.uint32),
    UINT64: np.dtype(np.uint64),
}
"""Number of a `tensorflow.DataType` to the dtype of its arrays, for every type that can be sent."""

with contextlib.suppress(ImportError):  # comes with TensorFlow; a client does without
    import ml_dtypes

    NUMPY[BFLOAT16] = np.dtype(ml_dtypes.bfloat16)

NUMBER: dict[np.dtype, int] = {dtype: number for number, dtype in NUMPY.items()}

NAMES: dict[int, str] = {
    FLOAT: "float",
    DOUBLE: "double",
    INT32: "int32",
    UINT8: "uint8",
    INT16: "int16",
    INT8: "int8",
    STRING: "string",
    COMPLEX64: "complex64",
    INT64: "int64",
    BOOL: "bool",
    BFLOAT16: "bfloat16",
    UINT16: "uint16",
    COMPLEX128: "complex128",
    HALF: "half",
    UINT32: "uint32",
    UINT64: "uint64",
}
"""The names in TensorFlow's messages (`DataTypeString`)."""

VALUES: dict[int, tuple[str, np.dtype]] = {
    FLOAT: ("float_val", np.dtype("<f4")),
    DOUBLE: ("double_val", np.dtype("<f8")),
    COMPLEX64: ("scomplex_val", np.dtype("<f4")),
    COMPLEX128: ("dcomplex_val", np.dtype("<f8")),
    INT32: ("int_val", np.dtype(np.int32)),
    UINT8: ("int_val", np.dtype(np.int32)),
    INT16: ("int_val", np.dtype(np.int32)),
    INT8: ("int_val", np.dtype(np.int32)),
    UINT16: ("int_val", np.dtype(np.int32)),
    HALF: ("half_val", np.dtype(np.int32)),
    BFLOAT16: ("half_val", np.dtype(np.int32)),
    INT64: ("int64_val", np.dtype(np.int64)),
    UINT32: ("uint32_val", np.dtype(np.uint32)),
    UINT64: ("uint64_val", np.dtype(np.uint64)),
    BOOL: ("bool_val", np.dtype(np.bool_)),
}
"""The field of a `TensorProto` that holds a type's values, and their dtype in it."""

FIXED_WIDTH = (FLOAT, DOUBLE, COMPLEX64, COMPLEX128)
"""Types whose values have the same bytes in their field as in memory."""

HALVES = (HALF, BFLOAT16)
COMPLEX = (COMPLEX64, COMPLEX128)


def name_of(number: int) -> str:
    """The name of a type in TensorFlow's messages, or its number if the type cannot be sent."""
    return NAMES.get(number, f"unknown dtype enum ({number})")


def enum_name(number: int) -> str:
    """The name of a type in its proto ("DT_FLOAT")."""
    return f"DT_{name_of(number).upper()}"
