"""Which outputs of a graph may go on: nothing that is sent bounds their time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_MAY_GO_ON = re.compile(
    "While|NextIteration|PyFunc|Queue|Barrier|[Ss]tage|MapPeek|Recv|Iterator|Dataset|Collective"
    "|MutexLock|AccumulatorTakeGradient|Unbatch|BatchFunction"
)
"""Operations of that kind: loops, and those that wait for others."""


def goes_on(operation: str) -> bool:
    """Whether an operation of that name may run without end."""
    return bool(_MAY_GO_ON.search(operation))


def going_on(graph_def: Any, tensors: Iterable[str]) -> frozenset[str]:
    """Those of the tensors that an operation which may go on has a part in, itself or in a function.

    Args:
        graph_def: a `GraphDef` message.
        tensors: names, such as `PartitionedCall:0`; what is not in the graph is passed over.
    """
    library = {function.signature.name: function.node_def for function in graph_def.library.function}
    endless = library.keys() - _that_end(library)
    nodes = {node.name: node for node in graph_def.node}
    roots = {name for name, node in nodes.items() if goes_on(node.op) or not endless.isdisjoint(_called(node, library))}
    if not roots:
        return frozenset()
    return frozenset(tensor for tensor in tensors if not roots.isdisjoint(_before(_node_of(tensor), nodes)))


def _that_end(library: Mapping[str, Any]) -> set[str]:
    """The functions that end by themselves: all that they call does, so that those which call each other do not."""
    ends: set[str] = set()
    called = {name: {one for node in body for one in _called(node, library)} for name, body in library.items()}
    left = {name for name, body in library.items() if not any(goes_on(node.op) for node in body)}
    while found := {name for name in left if called[name] <= ends}:
        ends |= found
        left -= found
    return ends


def _called(node: Any, library: Mapping[str, Any]) -> Iterator[str]:
    """The functions of the library that a node calls, or may."""
    if node.op in library:
        yield node.op
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        elif value.HasField("list"):
            yield from (function.name for function in value.list.func)


def _before(name: str, nodes: Mapping[str, Any]) -> set[str]:
    """A node, and all that must have run before it."""
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
