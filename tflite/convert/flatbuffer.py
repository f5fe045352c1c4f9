"""The contents of a .tflite file: its operations, its tensors, and the one rewrite that quantization needs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from models.errors import ModelError

IDENTIFIER = b"TFL3"
_ALIGNMENT = 16
_FEW_ROWS = 32
_OPERATORS: dict[int, str] = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
_TYPES: dict[int, str] = {v: k.lower() for k, v in vars(schema.TensorType).items() if not k.startswith("_")}


@dataclass(frozen=True)
class Constant:
    """A constant in a file: the converter's name, the type of the stored elements ("int8"), and their bytes."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    size: int


def read(content: bytes, what: str = "the file") -> Any:
    """Parses a flatbuffer into a `schema.ModelT`.

    Raises:
        ModelError: it is not a .tflite file, or an incomplete one.
    """
    expected = "a complete .tflite file"
    if len(content) < 8 or content[4:8] != IDENTIFIER:
        raise ModelError(
            f"{what} is not a .tflite file", got=f"{len(content):,} bytes {content[:8]!r}", expected=expected
        )
    try:
        return flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    except Exception as error:  # wrong offsets can cause any exception
        raise ModelError(
            f"{what} cannot be read", got=f"{type(error).__name__}: {error}", expected=expected, fix="copy it again"
        ) from error


def write(model: Any) -> bytes:
    """Serializes the model, storing equal scales and zero points once.

    A scale and a zero point per table row take 12 bytes a row, in every signature: for MiniLM-L6 with two signatures,
    a million duplicate bytes.
    """
    written: dict[tuple[str, bytes], int] = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.quantization is not None:
                tensor.quantization = _SharedQuantization(tensor.quantization, written)
    model.buffers = [_AlignedBuffer(buffer) for buffer in model.buffers]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


class _AlignedBuffer:
    """A `BufferT` whose data start at a multiple of 16 bytes, as the schema requires; the class does not align."""

    def __init__(self, buffer: Any) -> None:
        data = buffer.data
        self.data = None if data is None else np.frombuffer(bytes(data), np.uint8)
        self.offset = self.size = 0

    def Pack(self, builder: Any) -> int:
        """See `BufferT.Pack`."""
        data = None
        if self.data is not None:
            builder.StartVector(1, len(self.data), _ALIGNMENT)
            builder.head -= len(self.data)
            builder.Bytes[builder.head : builder.head + len(self.data)] = self.data.tobytes()
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return int(schema.BufferEnd(builder))


class _SharedQuantization:
    """Quantization parameters that refer to equal vectors already in the file.

    Args:
        parameters: `schema.QuantizationParametersT`.
        written: field and content to the vector's offset in the file.
    """

    def __init__(self, parameters: Any, written: dict[tuple[str, bytes], int]) -> None:
        # When a model is written twice, unwrap the parameters.
        self._parameters = parameters.__dict__.get("_parameters", parameters)
        self._written = written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parameters, name)

    def Pack(self, builder: Any) -> int:
        """See `QuantizationParametersT.Pack`; shares the two fields that quantized weights have."""
        given = self._parameters
        if given.details is not None or given.min is not None or given.max is not None:
            return int(given.Pack(builder))
        scale = self._vector(builder, "scale", given.scale, np.float32)
        zero_point = self._vector(builder, "zeroPoint", given.zeroPoint, np.int64)
        schema.QuantizationParametersStart(builder)
        if scale is not None:
            schema.QuantizationParametersAddScale(builder, scale)
        if zero_point is not None:
            schema.QuantizationParametersAddZeroPoint(builder, zero_point)
        schema.QuantizationParametersAddQuantizedDimension(builder, given.quantizedDimension)
        return int(schema.QuantizationParametersEnd(builder))

    def _vector(self, builder: Any, field: str, values: Any, kind: type) -> int | None:
        if values is None:
            return None
        array: np.ndarray = np.asarray(values, kind)
        key = field, array.tobytes()
        if key not in self._written:
            self._written[key] = int(builder.CreateNumpyVector(array))
        return self._written[key]


def operations(model: Any) -> Counter[str]:
    """Counts the operations by their TFLite name; a custom operation is called "custom NAME"."""
    return Counter(operation_name(model, operation) for graph in model.subgraphs for operation in graph.operators)


def operation_name(model: Any, operation: Any) -> str:
    """The name of one operation, as `operations` counts it."""
    code = model.operatorCodes[operation.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    if number == schema.BuiltinOperator.CUSTOM:
        return f"custom {(code.customCode or b'').decode('utf-8', errors='replace')}"
    return _OPERATORS.get(number, f"unknown operation {number}")


def constants(model: Any) -> list[Constant]:
    """The constants in the file, largest first; those that several graphs share are listed once."""
    found: dict[int, Constant] = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            if data is None or not len(data):
                continue
            name = (tensor.name or b"").decode("utf-8", errors="replace")
            shape = tuple(int(size) for size in tensor.shape) if tensor.shape is not None else ()
            found.setdefault(tensor.buffer, Constant(name, shape, _TYPES.get(tensor.type, "?"), len(data)))
    return sorted(found.values(), key=lambda one: -one.size)


def use_embedding_lookups(model: Any) -> int:
    """Turns each GATHER on a constant table into an EMBEDDING_LOOKUP; returns the number of changes.

    Both compute the same. Quantizers treat the table of EMBEDDING_LOOKUP as weights, with a scale per row, but that of
    GATHER as an activation, which dynamic and weight-only recipes leave in float32: most of a small model. Tables of a
    few rows, such as segments, keep their GATHER: they are small, and their error would be in every token.
    """
    changed = 0
    for graph in model.subgraphs:
        rewritten: list[Any] = []
        for operation in graph.operators:
            parts = _embedding_lookup(model, graph, operation)
            rewritten += parts or [operation]
            changed += bool(parts)
        graph.operators = rewritten
    return changed


def _embedding_lookup(model: Any, graph: Any, operation: Any) -> list[Any]:
    """The operations that replace a GATHER on a table; empty for any other operation."""
    if operation_name(model, operation) != "GATHER":
        return []
    table, rows = (graph.tensors[index] for index in operation.inputs[:2])
    data = model.buffers[table.buffer].data
    options = operation.builtinOptions
    is_table = data is not None and len(data) and len(table.shape) == 2 and table.type == schema.TensorType.FLOAT32
    if is_table and table.shape[0] < _FEW_ROWS:
        return []
    if not is_table or options.axis or options.batchDims or rows.type != schema.TensorType.INT32:
        return []
    # EMBEDDING_LOOKUP takes a vector of row numbers: flatten before it, restore the shape after it.
    result = graph.tensors[operation.outputs[0]]
    count = int(np.prod(rows.shape))
    flat = _tensor(graph, result.name + b"/flat", [count], schema.TensorType.INT32)
    looked_up = _tensor(graph, result.name + b"/rows", [count, int(table.shape[1])], schema.TensorType.FLOAT32)
    lookup = schema.OperatorT()
    lookup.opcodeIndex = _operator_code(model, schema.BuiltinOperator.EMBEDDING_LOOKUP)
    lookup.inputs, lookup.outputs = [flat, int(operation.inputs[0])], [looked_up]
    return [
        _reshape(model, graph, int(operation.inputs[1]), flat),
        lookup,
        _reshape(model, graph, looked_up, int(operation.outputs[0])),
    ]


def _tensor(graph: Any, name: bytes, shape: list[int], kind: int, buffer: int = 0) -> int:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer, tensor.hasRank = name, shape, kind, buffer, True
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _reshape(model: Any, graph: Any, source: int, target: int) -> Any:
    shape = [int(size) for size in graph.tensors[target].shape]
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(np.array(shape, np.int32).tobytes(), np.uint8)
    model.buffers.append(buffer)
    name = graph.tensors[target].name + b"/shape"
    sizes = _tensor(graph, name, [len(shape)], schema.TensorType.INT32, len(model.buffers) - 1)
    options = schema.ReshapeOptionsT()
    options.newShape = shape
    operation = schema.OperatorT()
    operation.opcodeIndex = _operator_code(model, schema.BuiltinOperator.RESHAPE)
    operation.inputs, operation.outputs = [source, sizes], [target]
    operation.builtinOptionsType, operation.builtinOptions = schema.BuiltinOptions.ReshapeOptions, options
    return operation


def _operator_code(model: Any, operator: int) -> int:
    """The index of a built-in operation in the file, added if missing."""
    for index, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == operator:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = operator
    code.version = 3 if operator == schema.BuiltinOperator.EMBEDDING_LOOKUP else 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
