from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.doctor.exported_operations import operation_names


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A SavedModel with operations in the graph and in functions, and everything else that a file has."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    for tags, operations in (("serve", ("Const", "Outer")), ("eval", ("Identity",))):
        graph = saved.meta_graphs.add()
        graph.meta_info_def.tags.append(tags)
        graph.meta_info_def.stripped_op_list.op.add(name="NotUsed")
        for number, operation in enumerate(operations):
            node = graph.graph_def.node.add(name=f"node{number}", op=operation)
            node.attr["value"].tensor.tensor_content = bytes(range(256)) * 40
        function = graph.graph_def.library.function.add()
        function.signature.name = "Outer"
        function.signature.input_arg.add(name="x")
        function.node_def.add(name="a", op="MatMul")
        function.node_def.add(name="b", op="Custom>Op")
        graph.graph_def.versions.producer = 2**31 - 1
    file = tmp_path / "saved_model.pb"
    file.write_bytes(saved.SerializeToString())
    return file


def test_operations_of_graphs_and_functions(model: Path) -> None:
    assert operation_names(model) == {"Const", "Identity", "MatMul", "Custom>Op"}


def test_they_are_those_that_the_serving_gate_finds(model: Path) -> None:
    from components.model_gates.serving_gate_report import operation_names as parsed

    assert operation_names(model) == parsed(model.parent)


def test_no_cut_passes_unseen(model: Path) -> None:
    """Cut between the two graphs the file is whole as far as it goes; anywhere else it is refused."""
    content = model.read_bytes()
    whole = 0
    for size in range(0, len(content), 97):
        model.write_bytes(content[:size])
        try:
            operation_names(model)
            whole += 1
        except ValueError:
            continue
    assert whole <= 1


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"\xff" * 100, b"not a model", b"\x12\x00", b"\x0b"])
def test_another_file_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "saved_model.pb"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="it "):
        operation_names(file)
