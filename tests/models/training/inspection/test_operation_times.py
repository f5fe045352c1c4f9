"""A trace is divided so that the parts make up the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from models.errors import TrainingError
from models.training.inspection.operation_kinds import (
    DROPOUT,
    ELEMENTWISE,
    MOVING,
    OPTIMIZER,
    PRODUCTS,
    REDUCTIONS,
    calls_others,
    kind_of_node,
    kind_of_xla,
)
from models.training.inspection.operation_times import (
    BETWEEN,
    COMPILED,
    STEP,
    WAIT,
    WAITING,
    Operation,
    divide,
    innermost,
    read_trace,
)

SECOND = 10**12


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("packed/layer_0/query/MatMul:_MklMatMul", PRODUCTS),
        ("gradient_tape/packed/layer_0/query/MatMul/MatMul_1:MatMul", PRODUCTS),
        ("einsum/Einsum:Einsum", PRODUCTS),
        ("packed/layer_0/Softmax:_MklSoftmax", REDUCTIONS),
        ("gradient_tape/bias:BiasAddGrad", REDUCTIONS),
        ("packed/row_pooling/UnsortedSegmentMax:UnsortedSegmentMax", REDUCTIONS),
        ("Sum:Sum", REDUCTIONS),
        ("packed/embeddings_dropout/BitwiseXor:BitwiseXor", DROPOUT),
        ("packed/Cast:Cast", MOVING),
        ("embedding/GatherV2:GatherV2", MOVING),
        ("mul_31:Mul", ELEMENTWISE),
        ("Erf:Erf", ELEMENTWISE),
        ("optimizer/mul:Mul", OPTIMIZER),
        ("optimizer_1/ResourceApplyAdam:ResourceApplyAdam", OPTIMIZER),
        ("step/StatefulPartitionedCall:StatefulPartitionedCall", None),
        ("__inference_f_82:__inference_f_82", None),
        ("ThreadpoolListener::Record", None),
        ("EagerLocalExecute: __inference_f_51", None),
        ("end: MatMul.26", None),
        ("transom_step", None),
    ],
)
def test_kinds_of_nodes(event: str, expected: str | None) -> None:
    assert kind_of_node(event) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("matmul.6", PRODUCTS),
        ("convolution.1", PRODUCTS),
        ("bitcast_dot_fusion", PRODUCTS),
        ("wrapped_reduce.2", REDUCTIONS),
        ("add_rsqrt_fusion.4", REDUCTIONS),
        ("transpose_copy_fusion.2", MOVING),
        ("wrapped_scatter.1", MOVING),
        ("select_multiply_fusion", ELEMENTWISE),
    ],
)
def test_kinds_in_xla(name: str, expected: str) -> None:
    assert kind_of_xla(name) == expected


def test_what_calls_others() -> None:
    assert calls_others("__inference_f_82:__inference_f_82")
    assert calls_others("a/PartitionedCall:PartitionedCall")
    assert not calls_others("MatMul:MatMul")
    assert not calls_others("train")


def test_of_nested_operations_the_innermost_counts() -> None:
    nested = [Operation("a", 0, 100), Operation("b", 10, 30), Operation("c", 15, 20), Operation("d", 30, 40)]
    found = list(innermost([*nested, Operation("e", 200, 210)]))
    assert [(one.kind, one.start, one.end) for one in found] == [
        ("a", 0, 10),
        ("b", 10, 15),
        ("c", 15, 20),
        ("b", 20, 30),
        ("d", 30, 40),
        ("a", 40, 100),
        ("e", 200, 210),
    ]


def test_the_time_is_shared_by_what_runs_at_once() -> None:
    operations = [
        Operation("a", 0, 4 * SECOND),  # begins before the step
        Operation("b", 3 * SECOND, 5 * SECOND),
        Operation(COMPILED, 2 * SECOND, 7 * SECOND, calls=True),
        Operation("a", 9 * SECOND, 30 * SECOND),  # ends after it
        Operation("c", 5 * SECOND, 5 * SECOND),
    ]
    parts = divide([(2 * SECOND, 10 * SECOND)], [(1 * SECOND, 2 * SECOND)], operations)
    assert parts == {WAITING: 1.0, "a": 1.0 + 0.5 + 1.0, "b": 1.5, COMPILED: 2.0, BETWEEN: 2.0}
    assert sum(parts.values()) == 9.0


def test_any_operations_make_up_the_whole() -> None:
    generator = np.random.default_rng(0)
    begins = generator.integers(0, 1000, 500)
    operations = [
        Operation("abc"[number % 3], int(begin), int(begin + length), calls=number % 7 == 0)
        for number, (begin, length) in enumerate(zip(begins, generator.integers(0, 60, 500), strict=True))
    ]
    steps, waits = [(50, 300), (320, 700), (710, 2000)], [(40, 50), (300, 320), (700, 710)]
    parts = divide(steps, waits, operations)
    assert sum(parts.values()) == pytest.approx(1960 / SECOND, rel=1e-9)
    assert min(parts.values()) > 0


def _trace(folder: Path, steps: int) -> Path:
    """A trace with steps of 10 ms, of which one operation takes 4."""
    space = xplane_pb2.XSpace()
    plane = space.planes.add(name="/host:CPU")
    names = (STEP, WAIT, "layer/MatMul:MatMul")
    for number, name in enumerate(names):
        plane.event_metadata[number].id = number
        plane.event_metadata[number].name = name
    python, thread = plane.lines.add(name="python"), plane.lines.add(name="tf_Compute/1")
    for number in range(steps):
        begin = number * 20 * 10**9
        python.events.add(metadata_id=1, offset_ps=begin, duration_ps=10**9)
        python.events.add(metadata_id=0, offset_ps=begin + 10**9, duration_ps=10 * 10**9)
        thread.events.add(metadata_id=2, offset_ps=begin + 3 * 10**9, duration_ps=4 * 10**9)
    file = folder / "plugins" / "profile" / "now" / "host.xplane.pb"
    file.parent.mkdir(parents=True)
    file.write_bytes(space.SerializeToString())
    return folder


def test_steps_that_do_not_count_are_left_out(tmp_path: Path) -> None:
    parts = read_trace(_trace(tmp_path, 3), [True, False, True])
    assert parts == pytest.approx({WAITING: 0.002, PRODUCTS: 0.008, BETWEEN: 0.012})


@pytest.mark.parametrize("steps", [0, 2])
def test_a_trace_without_all_steps_is_an_error(tmp_path: Path, steps: int) -> None:
    with pytest.raises(TrainingError, match=f"got: {steps} steps"):
        read_trace(_trace(tmp_path, steps), [True] * 3)
