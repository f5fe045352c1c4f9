"""TensorFlow's programs of a training on one device: functions as graphs, which a later process finds again.

To trace a function takes as long as dozens of steps, and to compile it even longer. A graph is found by a key, which
covers all that decides it: code, settings, tokenizer, variables, shapes. What XLA has compiled is found by the
function's name. TensorFlow puts a count of all that the process has made into it, so a graph that is kept has a name
of its own: the digest of what the function does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import function_pb2
from tensorflow.python.eager import context

from models import compile_cache
from models.compile_cache import CompileCache
from tflite.host.json_text import to_json

_FUNCTION, _CALLED, _CAPTURES = "function.pb", "called.pb", "captures.json"
_DIGITS = 32

_Run = Callable[[Sequence[tf.Tensor]], Sequence[tf.Tensor]]


class KeptGraphs:
    """The graphs of a training that are kept.

    Args:
        cache: where they are.
        key: of all that decides the training's functions, but for the variables and the inputs.
        variables: all that the functions use, in an order that does not change; a graph names them by their index.
    """

    def __init__(self, cache: CompileCache, key: str, variables: Sequence[Any]) -> None:
        self.cache = cache
        self._handles = [variable.value.handle for variable in variables]
        self._key = [key, *([v.path, list(v.shape), str(v.dtype), bool(v.trainable)] for v in variables)]

    def key(self, role: str, inputs: Any) -> str:
        """Of a function by its role in the training and the description of its inputs."""
        return hashlib.sha256(to_json([*self._key, role, inputs]).encode()).hexdigest()[:_DIGITS]

    def load(self, key: str) -> _Run | None:
        """The function that was kept, to be run."""
        files = self.cache.graph(key)
        if files is None or set(files) != {_FUNCTION, _CALLED, _CAPTURES}:
            return None
        function = function_pb2.FunctionDef.FromString(files[_FUNCTION])
        called = function_pb2.FunctionDefLibrary.FromString(files[_CALLED])
        return self._run(function, called.function, json.loads(files[_CAPTURES]))

    def keep(self, key: str, traced: Any) -> _Run | None:
        """Keeps a traced function; None if it uses more than variables, or its functions call others."""
        places = {id(handle): index for index, handle in enumerate(self._handles)}
        given = traced.captured_inputs
        captures = [places[id(capture)] for capture in given if id(capture) in places]
        called = traced.graph.as_graph_def().library.function
        if len(captures) < len(given) or any(attribute for each in called for attribute in _functions_in(each)):
            return None
        renamed = [_renamed(each, {}) for each in called]
        names = {each.signature.name: new.signature.name for each, new in zip(called, renamed, strict=True)}
        function, called = _renamed(traced.function_def, names), renamed
        self.cache.keep_graph(
            key,
            {
                _FUNCTION: function.SerializeToString(deterministic=True),
                _CALLED: function_pb2.FunctionDefLibrary(function=called).SerializeToString(deterministic=True),
                _CAPTURES: to_json(captures).encode(),
            },
        )
        return self._run(function, called, captures)

    def _run(
        self, function: function_pb2.FunctionDef, called: Sequence[function_pb2.FunctionDef], captures: Sequence[int]
    ) -> _Run:
        # TensorFlow has no public call for a function by name.
        ctx, name, outputs = context.context(), function.signature.name, len(function.signature.output_arg)
        for each in (*called, function):
            if not ctx.has_function(each.signature.name):
                ctx.add_function_def(each)
        handles = [self._handles[index] for index in captures]

        def run(inputs: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
            found: Sequence[tf.Tensor] = ctx.call_function(name.encode(), [*inputs, *handles], outputs) or []
            return found

        compiled = any(each.attr["_XlaMustCompile"].b for each in (*called, function))
        return self._compiling(name, run) if compiled else run

    def _compiling(self, name: str, run: _Run) -> _Run:
        ran = False

        def first(inputs: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
            nonlocal ran
            if ran:
                return run(inputs)
            with self.cache.compiling(name):
                found = run(inputs)
            ran = True
            return found

        return first


def _functions_in(function: function_pb2.FunctionDef) -> Iterator[Any]:
    """The names of functions that a function calls, to be changed."""
    for node in function.node_def:
        for attribute in node.attr.values():
            if attribute.HasField("func"):
                yield attribute.func
            yield from attribute.list.func


def _renamed(function: function_pb2.FunctionDef, names: Mapping[str, str]) -> function_pb2.FunctionDef:
    """A copy that calls functions by their new names, and whose own name is the digest of what it does."""
    made = function_pb2.FunctionDef()
    made.CopyFrom(function)
    for called in _functions_in(made):
        called.name = names.get(called.name, called.name)
    made.signature.name = ""
    # Gradients were taken when the function was traced; what names them is counted by the process.
    for node in made.node_def:
        node.attr.pop("_gradient_op_type", None)
    digest = hashlib.sha256(made.SerializeToString(deterministic=True)).hexdigest()
    made.signature.name = f"transom_{digest[:_DIGITS]}"
    return made


def kept_graphs(key: str | None, variables: Sequence[Any]) -> KeptGraphs | None:
    """Those of this process's cache; None without a key or a cache, or with a GPU, where they have not been tried."""
    cache = compile_cache.current()
    if key is None or cache is None or tf.config.list_physical_devices("GPU"):
        return None
    unique = {id(variable): variable for variable in variables}
    return KeptGraphs(cache, key, list(unique.values()))


class Program:
    """A function as a graph for each shape of its inputs.

    Args:
        function: of nested inputs, to a list of tensors.
        role: which of a training's functions it is.
        xla: whether XLA compiles it.
        kept: where its graphs are looked for and kept; None: nowhere.
        on_new: called before a graph is made or loaded.
    """

    def __init__(
        self,
        function: Callable[..., Sequence[Any]],
        role: str,
        *,
        xla: bool,
        kept: KeptGraphs | None,
        on_new: Callable[[], None] = lambda: None,
    ) -> None:
        self._function, self._role, self._xla, self._kept, self._on_new = function, role, xla, kept, on_new
        self._ready: dict[Any, _Run] = {}

    def __call__(self, *inputs: Any) -> Sequence[tf.Tensor]:
        """The function's tensors. While TensorFlow runs functions eagerly, it is called as it is."""
        if tf.config.functions_run_eagerly():
            return self._function(*tf.nest.map_structure(tf.convert_to_tensor, inputs))
        tensors = [tf.convert_to_tensor(value) for value in tf.nest.flatten(inputs)]
        signature = tuple((tuple(tensor.shape), tensor.dtype.name) for tensor in tensors)
        names = tuple(tuple(sorted(value)) for value in inputs if isinstance(value, dict))
        if (signature, names) not in self._ready:
            self._on_new()
            self._ready[signature, names] = self._make(inputs, tensors, [self._xla, signature, names])
        return self._ready[signature, names](tensors)

    def _make(self, inputs: Any, tensors: Sequence[tf.Tensor], description: Any) -> _Run:
        key = "" if self._kept is None else self._kept.key(self._role, description)
        if self._kept is not None and (found := self._kept.load(key)) is not None:
            return found

        structure = tf.nest.map_structure(lambda _: None, inputs)  # without the values, which would stay in memory

        def function(*values: Any) -> Sequence[Any]:
            return self._function(*tf.nest.pack_sequence_as(structure, values))

        specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in tensors]
        traced = tf.function(function, jit_compile=self._xla or None).get_concrete_function(*specs)
        kept = None if self._kept is None else self._kept.keep(key, traced)
        return kept or (lambda values: traced(*values))
