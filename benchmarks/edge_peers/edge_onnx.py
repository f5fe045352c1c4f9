"""Translates a float32 .tflite file to ONNX: the same operations on the same weights, for ONNX Runtime.

Layer normalizations, which the TFLite converter decomposes, are fused, and weights become the right-hand side of a
MatMul, which ONNX Runtime's int8 kernels look for: the peer gets the graph that it runs fastest.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tflite.convert import flatbuffer

OPSET = 20
_TYPES = {0: (np.float32, TensorProto.FLOAT), 2: (np.int32, TensorProto.INT32), 6: (np.bool_, TensorProto.BOOL)}
_SAME_INPUTS = {
    "MAXIMUM": "Max",
    "LESS": "Less",
    "GREATER": "Greater",
    "EQUAL": "Equal",
    "LOGICAL_AND": "And",
    "ADD": "Add",
    "SUB": "Sub",
    "MUL": "Mul",
    "DIV": "Div",
    "NEG": "Neg",
    "SELECT": "Where",
    "SELECT_V2": "Where",
    "FLOOR_MOD": "Mod",
    "GATHER": "Gather",
    "RESHAPE": "Reshape",
}
# The operations of a Keras `LayerNormalization`, from the mean on; those of an untrained one, whose offset is 0.
_NORM = ["MEAN", "NEG", "SQUARED_DIFFERENCE", "MEAN", "ADD", "RSQRT", "MUL", "MUL", "ADD", "MUL", "ADD"]
_NORM_WITHOUT_OFFSET = [*_NORM[:8], *_NORM[9:]]


def to_onnx(content: bytes) -> onnx.ModelProto:
    """The first signature of a float32 file as an ONNX model.

    Raises:
        ValueError: an unsupported operation.
    """
    return _Translation(content).model()


class _Translation:
    def __init__(self, content: bytes) -> None:
        self._file = flatbuffer.read(content)
        self._graph = self._file.subgraphs[0]
        self._nodes: list[Any] = []
        self._constants: dict[str, np.ndarray] = {}

    def model(self) -> onnx.ModelProto:
        operations = list(self._graph.operators)
        names = [flatbuffer.operation_name(self._file, one) for one in operations]
        at = 0
        while at < len(operations):
            for norm in (_NORM, _NORM_WITHOUT_OFFSET):
                if names[at : at + len(norm)] == norm:
                    self._norm(operations[at : at + len(norm)])
                    at += len(norm)
                    break
            else:
                self._translate(names[at], operations[at])
                at += 1
        signature = self._file.signatureDefs[0]
        inputs, outputs = ([self._value(one) for one in side] for side in (signature.inputs, signature.outputs))
        graph = helper.make_graph(
            self._nodes,
            "edge",
            inputs,
            outputs,
            [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in self._constants.items()],
        )
        for side in (signature.inputs, signature.outputs):
            for one in side:
                _rename(graph, f"t{one.tensorIndex}", one.name.decode())
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
        onnx.checker.check_model(made)
        return made

    def _value(self, mapped: Any) -> Any:
        tensor = self._graph.tensors[mapped.tensorIndex]
        return helper.make_tensor_value_info(f"t{mapped.tensorIndex}", _TYPES[tensor.type][1], list(tensor.shape))

    def _array(self, index: int) -> np.ndarray | None:
        tensor = self._graph.tensors[index]
        data = self._file.buffers[tensor.buffer].data
        if data is None or not len(data):
            return None
        shape = [] if tensor.shape is None else [int(size) for size in tensor.shape]
        return np.frombuffer(bytes(data), _TYPES[tensor.type][0]).reshape(shape)

    def _name(self, index: int) -> str:
        array = self._array(index)
        return f"t{index}" if array is None else self._constant(f"t{index}", array)

    def _constant(self, name: str, array: np.ndarray) -> str:
        self._constants[name] = array
        return name

    def _add(self, kind: str, inputs: Iterable[str], output: str, **attributes: Any) -> None:
        self._nodes.append(
            helper.make_node(kind, list(inputs), [output], name=f"{kind}_{len(self._nodes)}", **attributes)
        )

    def _norm(self, operations: list[Any]) -> None:
        """Fuses a layer normalization. Scale: in the first MUL; offset: in the ADD before the last two operations."""
        epsilon, scale = self._array(int(operations[4].inputs[1])), self._array(int(operations[6].inputs[1]))
        assert epsilon is not None
        assert scale is not None
        offset: np.ndarray | None = np.zeros_like(scale)
        if len(operations) == len(_NORM):
            offset = self._array(int(operations[8].inputs[1]))
        assert offset is not None
        source, target = int(operations[0].inputs[0]), int(operations[-1].outputs[0])
        parameters = [
            self._constant(f"t{target}/{n}", a.reshape(-1)) for n, a in (("scale", scale), ("offset", offset))
        ]
        self._add(
            "LayerNormalization", [f"t{source}", *parameters], f"t{target}", axis=-1, epsilon=float(epsilon.reshape(()))
        )

    def _translate(self, kind: str, operation: Any) -> None:
        inputs, output = [int(index) for index in operation.inputs], f"t{int(operation.outputs[0])}"
        options = operation.builtinOptions
        if kind in _SAME_INPUTS:
            names = [self._name(index) for index in inputs]
            if kind == "RESHAPE":
                shape = np.array(self._graph.tensors[operation.outputs[0]].shape, np.int64)
                names = [names[0], self._constant(f"{output}/shape", shape)]
            self._add(_SAME_INPUTS[kind], names, output)
        elif kind == "EMBEDDING_LOOKUP":
            self._add("Gather", [self._name(inputs[1]), self._name(inputs[0])], output)
        elif kind == "RSQRT":
            self._add("Sqrt", [self._name(inputs[0])], f"{output}/root")
            self._add("Reciprocal", [f"{output}/root"], output)
        elif kind == "CAST":
            self._add(
                "Cast", [self._name(inputs[0])], output, to=_TYPES[self._graph.tensors[operation.outputs[0]].type][1]
            )
        elif kind in ("SUM", "MEAN", "REDUCE_MAX"):
            axes = self._array(inputs[1])
            assert axes is not None
            name = self._constant(f"{output}/axes", axes.astype(np.int64).reshape(-1))
            reduced = {"SUM": "ReduceSum", "MEAN": "ReduceMean", "REDUCE_MAX": "ReduceMax"}[kind]
            self._add(reduced, [self._name(inputs[0]), name], output, keepdims=int(options.keepDims))
        elif kind in ("GELU", "SOFTMAX"):
            how = {"approximate": "tanh" if options.approximate else "none"} if kind == "GELU" else {"axis": -1}
            self._add({"GELU": "Gelu", "SOFTMAX": "Softmax"}[kind], [self._name(inputs[0])], output, **how)
        elif kind == "CONCATENATION":
            self._add("Concat", [self._name(index) for index in inputs], output, axis=int(options.axis))
        elif kind == "TRANSPOSE":
            order = self._array(inputs[1])
            assert order is not None
            self._add("Transpose", [self._name(inputs[0])], output, perm=order.tolist())
        elif kind == "PAD":
            widths = self._array(inputs[1])
            assert widths is not None
            name = self._constant(f"{output}/widths", widths.T.reshape(-1).astype(np.int64))
            self._add("Pad", [self._name(inputs[0]), name], output)
        elif kind == "STRIDED_SLICE":
            self._slice(inputs, output, options)
        elif kind in ("FULLY_CONNECTED", "CONV_2D", "BATCH_MATMUL"):
            self._multiply(kind, inputs, output, options)
        else:
            raise ValueError(f"no ONNX for {kind}")

    def _slice(self, inputs: list[int], output: str, options: Any) -> None:
        begin, end, strides = (self._array(index) for index in inputs[1:4])
        assert begin is not None
        assert end is not None
        assert strides is not None
        if options.ellipsisMask or options.newAxisMask or options.shrinkAxisMask or (strides != 1).any():
            raise ValueError("a slice of another kind")
        shape = self._graph.tensors[inputs[0]].shape
        starts = [0 if options.beginMask >> axis & 1 else int(value) for axis, value in enumerate(begin)]
        ends = [int(shape[axis]) if options.endMask >> axis & 1 else int(value) for axis, value in enumerate(end)]
        parts = [
            self._constant(f"{output}/{n}", np.array(v, np.int64)) for n, v in (("starts", starts), ("ends", ends))
        ]
        self._add("Slice", [self._name(inputs[0]), *parts], output)

    def _multiply(self, kind: str, inputs: list[int], output: str, options: Any) -> None:
        if kind == "BATCH_MATMUL":
            if options.adjX or options.adjY:
                raise ValueError("a BATCH_MATMUL of adjoints")
            self._add("MatMul", [self._name(index) for index in inputs], output)
            return
        weights = self._array(inputs[1])
        assert weights is not None
        shape = [int(size) for size in self._graph.tensors[inputs[0]].shape]
        if options.fusedActivationFunction:
            raise ValueError("a fused activation")
        if kind == "FULLY_CONNECTED":
            product = self._constant(f"{output}/weights", np.ascontiguousarray(weights.T))
            biased = len(inputs) > 2 and inputs[2] >= 0
            self._add("MatMul", [self._name(inputs[0]), product], f"{output}/product" if biased else output)
            if biased:
                self._add("Add", [f"{output}/product", self._name(inputs[2])], output)
            return
        # [1, 1, L, D] with weights [F, 1, K, D], "same": one dimension, channels first.
        if shape[1] != 1 or weights.shape[1] != 1 or options.padding != 0:
            raise ValueError("a convolution of another kind")
        kernel = self._constant(f"{output}/weights", np.ascontiguousarray(weights.transpose(0, 3, 1, 2)))
        self._add("Transpose", [self._name(inputs[0])], f"{output}/first", perm=[0, 3, 1, 2])
        names = [f"{output}/first", kernel, *([self._name(inputs[2])] if len(inputs) > 2 else [])]
        self._add("Conv", names, f"{output}/convolved", auto_pad="SAME_UPPER")
        self._add("Transpose", [f"{output}/convolved"], output, perm=[0, 2, 3, 1])


def _rename(graph: Any, old: str, new: str) -> None:
    for value in (*graph.input, *graph.output):
        value.name = new if value.name == old else value.name
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == old:
                    names[place] = new
