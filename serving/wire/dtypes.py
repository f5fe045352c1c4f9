"""TensorFlow's data types as numbers, names and NumPy dtypes, without TensorFlow.

Source: tensorflow/core/framework/types.proto and types.cc.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

FLOAT, DOUBLE, INT32, UINT8, INT16, INT8, STRING, COMPLEX64, INT64, BOOL = range(1, 11)
BFLOAT16, UINT16, COMPLEX128, HALF, UINT32, UINT64 = 14, 17, 18, 19, 22, 23

# Name in TensorFlow's messages (`DataTypeString`), NumPy's dtype, field of a `TensorProto`, and the dtype there.
_TYPES: dict[int, tuple[str, Any, str, Any]] = {
    FLOAT: ("float", np.float32, "float_val", "<f4"),
    DOUBLE: ("double", np.float64, "double_val", "<f8"),
    INT32: ("int32", np.int32, "int_val", np.int32),
    UINT8: ("uint8", np.uint8, "int_val", np.int32),
    INT16: ("int16", np.int16, "int_val", np.int32),
    INT8: ("int8", np.int8, "int_val", np.int32),
    STRING: ("string", object, "string_val", object),
    COMPLEX64: ("complex64", np.complex64, "scomplex_val", "<f4"),
    INT64: ("int64", np.int64, "int64_val", np.int64),
    BOOL: ("bool", np.bool_, "bool_val", np.bool_),
    UINT16: ("uint16", np.uint16, "int_val", np.int32),
    COMPLEX128: ("complex128", np.complex128, "dcomplex_val", "<f8"),
    HALF: ("half", np.float16, "half_val", np.int32),
    UINT32: ("uint32", np.uint32, "uint32_val", np.uint32),
    UINT64: ("uint64", np.uint64, "uint64_val", np.uint64),
    BFLOAT16: ("bfloat16", None, "half_val", np.int32),
}
with contextlib.suppress(ImportError):  # comes with TensorFlow; a client does without
    import ml_dtypes

    _TYPES[BFLOAT16] = ("bfloat16", ml_dtypes.bfloat16, "half_val", np.int32)

NUMPY = {number: np.dtype(dtype) for number, (_, dtype, _, _) in _TYPES.items() if dtype is not None}
"""Number of a `tensorflow.DataType` to the dtype of its arrays, for every type that can be sent."""

NUMBER = {dtype: number for number, dtype in NUMPY.items()}
NAMES = {number: name for number, (name, _, _, _) in _TYPES.items()}
"""The names in TensorFlow's messages."""

VALUES = {number: (field, np.dtype(in_field)) for number, (_, _, field, in_field) in _TYPES.items()}
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
