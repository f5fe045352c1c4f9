"""Which outputs of a graph have unbounded run time: a request's size does not limit it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_UNBOUNDED = re.compile(
    "While|NextIteration|PyFunc|Queue|Barrier|[Ss]tage|MapPeek|Recv|Iterator|Dataset|Collective"
    "|MutexLock|AccumulatorTakeGradient|Unbatch|BatchFunction"
)
"""Loops, and operations that wait for others."""


def is_unbounded_op(operation: str) -> bool:
    """Whether an operation of this name may run forever."""
    return bool(_UNBOUNDED.search(operation))


def unbounded_outputs(graph_def: Any, tensors: Iterable[str]) -> frozenset[str]:
    """The tensors that depend on an unbounded operation, directly or in a function.

    Args:
        graph_def: a `GraphDef` message.
        tensors: names such as `PartitionedCall:0`; unknown ones are ignored.
    """
    library = {function.signature.name: function.node_def for function in graph_def.library.function}
    endless = library.keys() - _bounded(library)
    nodes = {node.name: node for node in graph_def.node}
    roots = {
        name
        for name, node in nodes.items()
        if is_unbounded_op(node.op) or not endless.isdisjoint(_called(node, library))
    }
    if not roots:
        return frozenset()
    return frozenset(tensor for tensor in tensors if not roots.isdisjoint(_ancestors(_node_of(tensor), nodes)))


def _bounded(library: Mapping[str, Any]) -> set[str]:
    """The functions that are bounded because all that they call is; so functions that call each other are not."""
    ends: set[str] = set()
    called = {name: {one for node in body for one in _called(node, library)} for name, body in library.items()}
    left = {name for name, body in library.items() if not any(is_unbounded_op(node.op) for node in body)}
    while found := {name for name in left if called[name] <= ends}:
        ends |= found
        left -= found
    return ends


def _called(node: Any, library: Mapping[str, Any]) -> Iterator[str]:
    """The functions of the library that a node calls or may call."""
    if node.op in library:
        yield node.op
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        elif value.HasField("list"):
            yield from (function.name for function in value.list.func)


def _ancestors(name: str, nodes: Mapping[str, Any]) -> set[str]:
    """A node and all that must run before it."""
    seen: set[str] = set()
    left = [name]
    while left:
        name = left.pop()
        if name in nodes and name not in seen:
            seen.add(name)
            left += [_node_of(tensor) for tensor in nodes[name].input]
    return seen


def _node_of(tensor: str) -> str:
    """The node of `name`, `name:1` or `^name`."""
    return tensor.removeprefix("^").partition(":")[0]
