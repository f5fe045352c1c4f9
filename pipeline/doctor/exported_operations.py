"""The operations of a SavedModel, read from its file without TensorFlow and without parsing the weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_LENGTH, _VARINT, _FIXED64, _FIXED32 = 2, 0, 1, 5
# The fields that lead to the operations' names (tensorflow/core/protobuf/saved_model.proto, meta_graph.proto,
# graph.proto, function.proto): SavedModel.meta_graphs, MetaGraphDef.graph_def, then the graph's own nodes and those of
# its functions.
_META_GRAPHS, _GRAPH, _NODES, _LIBRARY, _FUNCTIONS, _FUNCTION_NODES, _OPERATION = 2, 2, 1, 2, 1, 3, 2


def operation_names(file: Path) -> set[str]:
    """The operations in the graphs and functions of a saved_model.pb, without calls of its own functions.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not a SavedModel, or is cut off.
    """
    body = memoryview(file.read_bytes())
    found: set[str] = set()
    functions: set[str] = set()
    for meta_graph in _messages(body, _META_GRAPHS):
        for graph in _messages(meta_graph, _GRAPH):
            found |= _operations(graph, _NODES)
            for library in _messages(graph, _LIBRARY):
                for function in _messages(library, _FUNCTIONS):
                    found |= _operations(function, _FUNCTION_NODES)
                    functions |= _names(function)
    if not found:
        raise ValueError("it has no graph")
    return found - functions


def _operations(message: memoryview, nodes: int) -> set[str]:
    return {str(name, "utf-8") for node in _messages(message, nodes) for name in _messages(node, _OPERATION)}


def _names(function: memoryview) -> set[str]:
    """The function's name: signature (an OpDef), name."""
    return {str(name, "utf-8") for signature in _messages(function, 1) for name in _messages(signature, 1)}


def _messages(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """The values of one field, of those with a length (protobuf.dev/programming-guides/encoding)."""
    position, end = 0, len(message)
    while position < end:
        tag, position = _varint(message, position)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            position = _varint(message, position)[1]
            continue
        if kind == _LENGTH:
            size, position = _varint(message, position)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError("it is not a SavedModel")
        if position + size > end:
            raise ValueError("it is cut off")
        if kind == _LENGTH and number == wanted:
            yield message[position : position + size]
        position += size


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(message) and shift < 64:
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
    raise ValueError("it is cut off")
