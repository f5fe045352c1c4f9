"""Whether two SavedModels are the same model: what they compute, and how text is given to them.

Two exports of the same weights are never the same bytes: TensorFlow numbers its functions with a counter of the process
and writes them in the order of their names' hashes, Keras numbers its layers, and `fingerprint.pb` holds a random
number. So nothing is compared by name. A signature is digested as a tree (Merkle, 1987): each operation by its kind,
its attributes and the digests of its inputs, a called function by its body, a variable by its value.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework import attr_value_pb2, function_pb2, node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2, trackable_object_graph_pb2

from models.config import CONFIG_FILE
from models.presets.architecture import ARCHITECTURE_FILE
from models.saved.model_locations import CHECKPOINT, EXTRA_FOLDER, MODEL_FILE, OBJECT_GRAPH
from tflite.host.json_text import to_json
from tflite.host.labels import LABELS_FILE
from tflite.host.tokenizer import MERGES_FILE, TOKENIZER_FILE, VOCABULARY_FILES

_FILES = (LABELS_FILE, TOKENIZER_FILE, *VOCABULARY_FILES.values(), MERGES_FILE, ARCHITECTURE_FILE)
# Sections of the stored configuration; the data and the project's name are not part of the model.
_SETTINGS = ("task", "tokenizer", "model", "train")
_NOT_OF_THE_MODEL = {"model": ("preset",), "train": ("checkpoint_steps",)}
# Names, and what depends on the devices of the exporting machine.
_IGNORED = ("shared_name", "container", "debug_name", "config_proto", "executor_type")


def same_model(first: Path, second: Path) -> bool:
    """Whether two folders hold the same model; False if one cannot be read."""
    digest = model_digest(first)
    return digest is not None and digest == model_digest(second)


def model_digest(folder: Path) -> str | None:
    """A digest of the model in a folder, the same for every export of it.

    It covers the signatures and all that they compute, the weights, labels, tokenizer, and the settings of task,
    tokenizer, model and training. It leaves out the course of the training and its data.

    Returns:
        None if the folder holds no SavedModel that Transom exported.
    """
    try:
        return _identity(folder)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, DecodeError, tf.errors.OpError):
        return None


def _identity(folder: Path) -> str:
    extra = folder / EXTRA_FOLDER
    stored = json.loads((extra / CONFIG_FILE).read_text(encoding="utf-8"))
    settings = {key: _without(stored.get(key, {}), _NOT_OF_THE_MODEL.get(key, ())) for key in _SETTINGS}
    parts = [to_json(settings, sort_keys=True, ascii=True)]
    parts += [f"{name} {_digest((extra / name).read_bytes())}" for name in _FILES if (extra / name).is_file()]
    saved = saved_model_pb2.SavedModel.FromString((folder / MODEL_FILE).read_bytes())
    graph = _Graph(saved.meta_graphs[0], tf.train.load_checkpoint(str(folder / CHECKPOINT)))
    return _digest(*parts, *(f"{name} {graph.signature(name)}" for name in sorted(graph.signatures)))


def _without(settings: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in keys}


def _digest(*parts: str | bytes) -> str:
    """Digest of the parts and of their lengths."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        whole.update(b"%d:" % len(data))
        whole.update(data)
    return whole.hexdigest()


class _Graph:
    """The signatures of a SavedModel as digests."""

    def __init__(self, graph: meta_graph_pb2.MetaGraphDef, weights: tf.train.CheckpointReader) -> None:
        self.signatures = {name: one for name, one in graph.signature_def.items() if not name.startswith("__")}
        self._nodes = {node.name: node for node in graph.graph_def.node}
        self._functions = {function.signature.name: function for function in graph.graph_def.library.function}
        self._variables = _variables(weights)
        self._weights = weights
        self._of_functions: dict[str, str] = {}
        self._of_variables: dict[str, str] = {}

    def signature(self, name: str) -> str:
        """The digest of a signature: its method, its inputs, and its outputs as computed from them."""
        signature = self.signatures[name]
        inputs = {tensor.name.partition(":")[0]: key for key, tensor in signature.inputs.items()}
        known = {node: _digest("input", key) for node, key in inputs.items()}
        kinds = [f"{key} {_kind(tensor)}" for key, tensor in sorted(signature.inputs.items())]
        outputs = sorted(signature.outputs.items())
        digests = self._of_edges(self._nodes, known, [tensor.name for _, tensor in outputs])
        kinds += [f"{key} {_kind(tensor)} {digests[tensor.name]}" for key, tensor in outputs]
        return _digest(signature.method_name, *kinds)

    def _of_function(self, name: str) -> str:
        """The digest of a function's body, without its name."""
        if name not in self._of_functions:
            body: function_pb2.FunctionDef = self._functions[name]
            arguments = body.signature.input_arg
            known = {one.name: _digest("argument", str(index), str(one.type)) for index, one in enumerate(arguments)}
            outputs = [body.ret[one.name] for one in body.signature.output_arg]
            controls = [f"^{node}" for node in body.control_ret.values()]
            digests = self._of_edges({node.name: node for node in body.node_def}, known, [*outputs, *controls])
            parts = [*(digests[edge] for edge in outputs), *sorted(digests[edge] for edge in controls)]
            self._of_functions[name] = _digest(*parts)
        return self._of_functions[name]

    def _of_edges(
        self, nodes: Mapping[str, node_def_pb2.NodeDef], known: dict[str, str], edges: Iterable[str]
    ) -> dict[str, str]:
        """The digest of each edge ("node:output", "^node") and of everything before it.

        Args:
            known: node or argument to its digest; new ones are added.
        """
        wanted = list(edges)
        todo = [_source(edge) for edge in wanted]
        while todo:  # a graph is deeper than Python's stack
            if todo[-1] in known:
                todo.pop()
                continue
            node = nodes[todo[-1]]
            missing = [source for source in map(_source, node.input) if source not in known]
            if missing:
                todo += missing
                continue
            known[todo.pop()] = self._of_node(node, known)
        return {edge: _of_edge(edge, known) for edge in wanted}

    def _of_node(self, node: node_def_pb2.NodeDef, known: Mapping[str, str]) -> str:
        if node.op == "VarHandleOp":
            return self._of_variable(node.attr["shared_name"].s.decode())
        data = [_of_edge(edge, known) for edge in node.input if not edge.startswith("^")]
        control = sorted(_of_edge(edge, known) for edge in node.input if edge.startswith("^"))
        kept = [(key, value) for key, value in sorted(node.attr.items()) if key[0] != "_" and key not in _IGNORED]
        attributes = [_digest(key, *self._of_attribute(value)) for key, value in kept]
        return _digest(node.op, str(len(data)), *data, str(len(control)), *control, *attributes)

    def _of_attribute(self, value: attr_value_pb2.AttrValue) -> list[str | bytes]:
        called = [value.func] if value.HasField("func") else list(value.list.func)
        if called:
            return [self._of_function(function.name) for function in called if function.name]
        return [value.SerializeToString(deterministic=True)]

    def _of_variable(self, name: str) -> str:
        """The digest of a variable's value; of all values, where several share the name."""
        if name not in self._of_variables:
            values = [self._weights.get_tensor(key) for key in self._variables[name]]
            self._of_variables[name] = _digest(
                *sorted(_digest(str(v.dtype), str(v.shape), v.tobytes()) for v in values)
            )
        return self._of_variables[name]


def _variables(weights: tf.train.CheckpointReader) -> dict[str, list[str]]:
    """Each variable's name to its keys in the checkpoint."""
    saved = trackable_object_graph_pb2.TrackableObjectGraph.FromString(weights.get_tensor(OBJECT_GRAPH))
    found: dict[str, list[str]] = {}
    for attribute in (attribute for node in saved.nodes for attribute in node.attributes):
        found.setdefault(attribute.full_name, []).append(attribute.checkpoint_key)
    return found


def _source(edge: str) -> str:
    return edge.removeprefix("^").partition(":")[0]


def _of_edge(edge: str, known: Mapping[str, str]) -> str:
    """The digest of "node", "node:0" (the same), "node:output:0" or "^node"."""
    which = edge.partition(":")[2] or "0"
    return _digest(known[_source(edge)], "" if edge.startswith("^") else which)


def _kind(tensor: meta_graph_pb2.TensorInfo) -> str:
    dims = "unknown" if tensor.tensor_shape.unknown_rank else ",".join(str(dim.size) for dim in tensor.tensor_shape.dim)
    return f"{tensor.dtype} [{dims}]"
