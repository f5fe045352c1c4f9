"""Which outputs of a graph are unbounded: by their own operations, those of functions, and those before them."""

import pytest

from serving.server.run.graph_loops import is_unbounded_op, unbounded_outputs


def graph_of(nodes, **functions):
    """A graph of nodes by name: their operation, inputs and the functions that they call; and functions likewise."""
    from tensorflow.core.framework.graph_pb2 import GraphDef

    def add(into, name, op, inputs=(), called=(), listed=()):
        node = into.add(name=name, op=op, input=inputs)
        if called:
            node.attr["f"].func.name = called[0]
        for one in listed:
            node.attr["branches"].list.func.add(name=one)

    graph = GraphDef()
    for name, node in nodes.items():
        add(graph.node, name, *node)
    for name, node in functions.items():
        function = graph.library.function.add()
        function.signature.name = name
        add(function.node_def, "only", *node)
    return graph


@pytest.mark.parametrize(
    "operation",
    [
        "StatelessWhile",
        "While",
        "NextIteration",
        "QueueDequeueV2",
        "EagerPyFunc",
        "MapUnstage",
        "Stage",
        "OrderedMapPeek",
        "MutexLock",
        "ResourceAccumulatorTakeGradient",
        "BatchFunction",
    ],
)
def test_loops_and_blocking_operations_are_unbounded(operation):
    assert is_unbounded_op(operation)
    graph = graph_of({"a": (operation,), "b": ("Identity", ["a:1"]), "c": ("NoOp", ["^b"]), "d": ("Const",)})
    assert unbounded_outputs(graph, ["a:0", "b:0", "c:0", "d:0", "absent:0"]) == {"a:0", "b:0", "c:0"}


def test_a_loop_in_a_function_is_unbounded_however_it_is_called():
    nodes = {
        "called": ("PartitionedCall", [], ["outer"]),
        "branch": ("Case", [], [], ["quiet", "outer"]),
        "itself": ("outer",),
        "quiet": ("PartitionedCall", [], ["quiet"]),
    }
    graph = graph_of(nodes, outer=("If", [], ["inner"]), inner=("While",), quiet=("Add",))
    assert unbounded_outputs(graph, [f"{name}:0" for name in nodes]) == {"called:0", "branch:0", "itself:0"}


def test_functions_that_call_each_other_are_unbounded():
    nodes = {"a": ("PartitionedCall", [], ["one"]), "b": ("PartitionedCall", [], ["three"])}
    graph = graph_of(nodes, one=("If", [], ["two"]), two=("If", [], ["one"]), three=("Add",))
    assert unbounded_outputs(graph, ["a:0", "b:0"]) == {"a:0"}


def test_a_cyclic_tensorflow_1_loop_is_visited_once():
    graph = graph_of(
        {
            "merge": ("Merge", ["enter", "next"]),
            "enter": ("Enter",),
            "next": ("NextIteration", ["merge"]),
            "exit": ("Exit", ["merge"]),
            "after": ("Identity", ["exit"]),
        }
    )
    assert unbounded_outputs(graph, ["after:0", "enter:0"]) == {"after:0"}


def test_signatures_of_one_model_are_distinguished(saved_models):
    from tiny_servers import config_of, options_of

    from serving.server.models.savedmodel import SavedModel

    model = SavedModel(saved_models[0], options_of(config_of()))
    endless = {
        name
        for name, signature in model.signatures.items()
        if model.is_unbounded([output.tensor for output in signature.outputs.values()])
    }
    assert endless == {"slow"}
    model.close()
