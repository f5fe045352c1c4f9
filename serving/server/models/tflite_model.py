"""A `.tflite` file as a servable (--prefer_tflite_model), on a pool of interpreters.

Source: tensorflow_serving/servables/tensorflow/tflite_session.cc. An interpreter runs one request at a time, after
resizing its inputs; requests wait for a free one. A run cannot be stopped at a deadline or at the server's limit:
TensorFlow Lite's Python API has no call for that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

from serving.errors import Code, StatusError, invalid_argument
from serving.server.calls.inference import PREDICT
from serving.server.calls.servable import DEFAULT_SIGNATURE, ModelSignature
from serving.server.models.tflite_signatures import signatures_in_metadata, with_names_in
from serving.server.options import ServerOptions
from serving.server.run.executor import DEADLINE
from serving.server.run.graph_loops import is_unbounded_op
from serving.server.run.run_time_limit import RunLimitError, limit_comes_first
from serving.wire import dtypes
from serving.wire.protos import SignatureDef

Details = Mapping[str, Mapping[str, Any]]
"""TensorFlow Lite's details of a tensor, by alias."""

Runner = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]
"""Runs inputs by alias to outputs by alias."""


class TfliteModel:
    """A `Servable`.

    Args:
        path: the file.
        options: the size of the pool, and threads.

    Raises:
        StatusError: INVALID_ARGUMENT, the file is invalid; INTERNAL, an operation is missing.
    """

    def __init__(self, path: Path, options: ServerOptions) -> None:
        self._content, self._threads = path.read_bytes(), options.intra_op_parallelism or 1
        self._max_seconds = options.max_run_seconds
        self._pool: SimpleQueue[_Interpreter] = SimpleQueue()
        first = self._new()
        self.signatures: Mapping[str, ModelSignature] = {
            name: ModelSignature(first.definitions.get(name) or _definition(inputs, outputs))
            for name, (inputs, outputs) in first.signatures.items()
        }
        self._endless = _has_loops(self._content)
        self._pool.put(first)
        for _ in range(options.num_tflite_interpreters - 1):
            self._pool.put(self._new())

    def _new(self) -> _Interpreter:
        try:
            return _Interpreter(self._content, self._threads)
        except ValueError as error:
            message = f"Cannot build FlatBufferModel from buffer. {error}"
            raise invalid_argument(message) from error
        except RuntimeError as error:
            raise StatusError(Code.INTERNAL, f"Cannot build Interpreter from buffer. {error}") from error

    def is_unbounded(self, fetches: Sequence[str]) -> bool:
        return self._endless

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], timeout: float | None) -> list[np.ndarray]:
        name = self._signature_of(feeds, fetches)
        signature = self.signatures[name]
        limit_first = self._endless and limit_comes_first(timeout, self._max_seconds)
        try:
            interpreter = self._pool.get(timeout=self._max_seconds if limit_first else timeout)
        except Empty:
            if limit_first:
                raise RunLimitError(
                    "The request waited for an interpreter of this model for", self._max_seconds
                ) from None
            raise StatusError(Code.DEADLINE_EXCEEDED, DEADLINE) from None
        try:
            outputs = interpreter.runners[name](
                {alias: feeds[endpoint.tensor] for alias, endpoint in signature.inputs.items()}
            )
        except (ValueError, RuntimeError) as error:
            interpreter = self._new()  # a failed one may keep sizes that it cannot allocate
            raise StatusError(Code.INTERNAL, f"Failed to invoke TfLite interpreter: {error}") from error
        finally:
            self._pool.put(interpreter)
        by_tensor = {endpoint.tensor: outputs[alias] for alias, endpoint in signature.outputs.items()}
        return [by_tensor[tensor] for tensor in fetches]

    def close(self) -> None:
        self._content = b""
        self._pool = SimpleQueue()

    def _signature_of(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> str:
        for name, signature in self.signatures.items():
            tensors = {endpoint.tensor for endpoint in signature.outputs.values()}
            if feeds.keys() == {one.tensor for one in signature.inputs.values()} and tensors.issuperset(fetches):
                return name
        raise StatusError(Code.INTERNAL, f"No signature has the inputs {sorted(feeds)} and outputs {sorted(fetches)}")


def _has_loops(content: bytes) -> bool:
    model = schema.Model.GetRootAs(content, 0)
    codes = [model.OperatorCodes(index) for index in range(model.OperatorCodesLength())]
    # Which of the two fields is set depends on the file's age.
    built_in = {max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) for code in codes}
    customs = [code.CustomCode() or b"" for code in codes]
    return schema.BuiltinOperator.WHILE in built_in or any(
        is_unbounded_op(one.decode("utf-8", "replace")) for one in customs
    )


class _Interpreter:
    """An interpreter with its signatures: their inputs, outputs and runners."""

    def __init__(self, content: bytes, threads: int) -> None:
        interpreter = tf.lite.Interpreter(model_content=content, num_threads=threads)
        self.signatures: dict[str, tuple[Details, Details]] = {}
        self.runners: dict[str, Runner] = {}
        self.definitions = self._add_from_metadata(interpreter, content)
        if self.definitions:
            return
        for name in interpreter.get_signature_list():
            runner = interpreter.get_signature_runner(name)
            self.signatures[name] = runner.get_input_details(), runner.get_output_details()
            self.runners[name] = _by_keyword(runner)
        if not self.runners:
            inputs, outputs = _by_name(interpreter.get_input_details()), _by_name(interpreter.get_output_details())
            self.signatures[DEFAULT_SIGNATURE] = inputs, outputs
            self.runners[DEFAULT_SIGNATURE] = _without_signature(interpreter, inputs, outputs)

    def _add_from_metadata(self, interpreter: Any, content: bytes) -> Mapping[str, Any]:
        """Adds the signatures in the metadata, the only ones that TF Serving reads."""
        inputs = {one["name"]: one for one in interpreter.get_input_details()}
        outputs = {one["name"]: one for one in interpreter.get_output_details()}
        definitions = {}
        for name, read in signatures_in_metadata(content).items():
            definitions[name] = definition = with_names_in(read, inputs, outputs)
            ins = {alias: inputs[info.name] for alias, info in definition.inputs.items()}
            outs = {alias: outputs[info.name] for alias, info in definition.outputs.items()}
            self.signatures[name], self.runners[name] = (ins, outs), _without_signature(interpreter, ins, outs)
        return definitions


def _by_keyword(runner: Any) -> Runner:
    return lambda inputs: dict(runner(**inputs))


def _by_name(details: Sequence[Mapping[str, Any]]) -> Details:
    """By alias: the tensor's name without the suffix added by the converter."""
    return {one["name"].split(":")[0]: one for one in details}


def _without_signature(interpreter: Any, inputs: Details, outputs: Details) -> Runner:
    def run(arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        for alias, one in inputs.items():
            interpreter.resize_tensor_input(one["index"], arrays[alias].shape)
        interpreter.allocate_tensors()
        for alias, one in inputs.items():
            interpreter.set_tensor(one["index"], arrays[alias])
        interpreter.invoke()
        return {alias: interpreter.get_tensor(one["index"]) for alias, one in outputs.items()}

    return run


def _definition(inputs: Details, outputs: Details) -> Any:
    definition = SignatureDef(method_name=PREDICT)
    for details, infos in ((inputs, definition.inputs), (outputs, definition.outputs)):
        for alias, one in details.items():
            info = infos[alias]
            info.name, info.dtype = one["name"], _number(one["dtype"])
            info.tensor_shape.SetInParent()
            for size in one["shape_signature"]:
                info.tensor_shape.dim.add(size=int(size))
    return definition


def _number(dtype: Any) -> int:
    return dtypes.STRING if dtype is np.bytes_ else dtypes.NUMBER.get(np.dtype(dtype), 0)
