"""Kinds of operations, by the names that TensorFlow and XLA have for them in a trace."""

from __future__ import annotations

import re

from models.training.frameworks.tensorflow_update import SCOPE

PRODUCTS, REDUCTIONS, ELEMENTWISE = "matrix products", "sums, norms, softmax", "elementwise"
DROPOUT, MOVING, OPTIMIZER = "dropout", "moving data", "optimizer"
KINDS = (PRODUCTS, REDUCTIONS, ELEMENTWISE, DROPOUT, MOVING, OPTIMIZER)

# The name of a node in the graph, and its type: "encoder/query/MatMul:_MklMatMul". Functions begin with a small letter.
_NODE = re.compile(r"(?P<name>[^\s:]+):(?P<type>\w+)")
_OPERATION = re.compile(r"_?[A-Z]\w*")
_CALLS = re.compile(r"(Stateful)?PartitionedCall|_?Xla(Launch|Run|Compile)\w*")

# What the types, and the names in XLA, begin with or contain; the first that fits decides.
_BY_TYPE = (
    (
        PRODUCTS,
        re.compile(r"matmul|einsum|conv[0-9]|convolution|^dot\b|dot[._]|custom-call|onednn|gemm", re.IGNORECASE),
    ),
    (
        REDUCTIONS,
        re.compile(
            r"softmax|norm|reduce|rsqrt|biasaddgrad|l2loss|^_?(mkl)?(sum|mean|max|min|any|all|cumsum|segment|"
            r"unsortedsegment)",
            re.IGNORECASE,
        ),
    ),
    (
        MOVING,
        re.compile(
            r"gather|scatter|transpose|reshape|concat|slice|split|pack|tile|pad|copy|squeeze|expanddims|cast|"
            r"readvariable|identity|broadcastto|fill|convert|const|shape|where|range|onehot",
            re.IGNORECASE,
        ),
    ),
)


def kind_of_node(event: str) -> str | None:
    """The kind of a TensorFlow operation by its event; None if the event is no operation, or one that calls others."""
    found = _NODE.fullmatch(event)
    if found is None or not _OPERATION.fullmatch(found["type"]) or _CALLS.fullmatch(found["type"]):
        return None
    if found["name"].split("/")[0].startswith(SCOPE):
        return OPTIMIZER
    if "dropout" in found["name"]:
        return DROPOUT
    return _kind(found["type"])


def kind_of_xla(name: str) -> str:
    """The kind of what XLA runs at once, by its name: a fusion is named after its last operations."""
    return _kind(name)


def calls_others(event: str) -> bool:
    """Whether an event is of a function, or of an operation that only calls functions."""
    found = _NODE.fullmatch(event)
    return found is not None and (not _OPERATION.fullmatch(found["type"]) or bool(_CALLS.fullmatch(found["type"])))


def _kind(name: str) -> str:
    return next((kind for kind, pattern in _BY_TYPE if pattern.search(name)), ELEMENTWISE)
