"""Tables in int4: a file holds the rounded values, and the rounding protects the sensitive directions."""

from __future__ import annotations

from typing import Any

import golden_text
import keras
import numpy as np
import pytest
import tiny_edge as tiny
from ai_edge_litert.interpreter import Interpreter

from models.config import TaskConfig
from models.saved.restore import RestoredModel
from tflite.convert import flatbuffer
from tflite.convert.embedding_tables import embedding_sensitivity, quantize_tables, round_to_int4
from tflite.measure.parity import TextRow


def restored(model: keras.Model | None = None) -> RestoredModel:
    return RestoredModel(model or tiny.model(), golden_text.tokenizer(max_length=16), tiny.LABELS, TaskConfig())


TEXTS = [TextRow(text) for text in ("a good film", "bad , bad acting", "the plot is so so", "unbelievable !") * 5]


def test_sensitive_directions_are_protected() -> None:
    generator = np.random.default_rng(0)
    table = generator.normal(size=(3000, 80)).astype(np.float32)  # several blocks of values, several of rows
    directions = generator.normal(size=(3, 80))
    sensitivity = directions.T @ directions

    def error(numbers: np.ndarray, scale: float) -> float:
        lost = numbers * scale - table
        return float(np.einsum("ij,jk,ik->", lost, sensitivity, lost))

    protected, plain = error(*round_to_int4(table, sensitivity)), error(*round_to_int4(table, np.eye(80)))
    assert protected < plain / 2


def test_a_row_is_rounded_value_by_value() -> None:
    generator = np.random.default_rng(1)
    table, half = generator.normal(size=(4, 80)), generator.normal(size=(90, 80))
    numbers, scale = round_to_int4(table.astype(np.float32), half.T @ half)
    damped = half.T @ half + 0.3 * np.trace(half.T @ half) / 80 * np.eye(80)
    for row, found in zip(table, numbers, strict=True):
        left, inverse, wanted = row.copy(), np.linalg.inv(damped), []
        for value in range(80):  # optimal brain surgeon: let later values compensate, then remove this one
            wanted.append(np.clip(np.rint(left[value] / scale), -7, 7))
            lost = (left[value] - scale * wanted[-1]) / inverse[value, value]
            left -= lost * inverse[value]
            inverse -= np.outer(inverse[value], inverse[value]) / inverse[value, value]
        assert np.mean(found == wanted) > 0.97


def test_without_sensitivity_values_are_rounded_to_the_nearest() -> None:
    table = np.linspace(-1, 1, 3000, dtype=np.float32).reshape(1000, 3)
    numbers, scale = round_to_int4(table, np.eye(3))
    assert numbers.dtype == np.int8
    assert (numbers.min(), numbers.max()) == (-7, 7)
    inside = np.abs(table) <= 7.5 * scale
    assert np.abs(numbers * scale - table)[inside].max() <= scale / 2 + 1e-6


@pytest.mark.parametrize("table", [np.zeros((4, 6)), np.full((4, 6), -3.0)])
def test_tables_of_zeros_and_of_one_value(table: np.ndarray) -> None:
    numbers, scale = round_to_int4(table.astype(np.float32), np.zeros((6, 6)))
    assert scale > 0
    np.testing.assert_allclose(numbers * scale, table, atol=0.01)


def _table(content: bytes) -> Any:
    model = flatbuffer.read(content)
    graph = model.subgraphs[0]
    lookup = next(one for one in graph.operators if flatbuffer.operation_name(model, one) == "EMBEDDING_LOOKUP")
    tensor = graph.tensors[lookup.inputs[1]]
    return tensor, model.buffers[tensor.buffer].data


@pytest.mark.slow
def test_a_file_predicts_as_with_the_rounded_tables_in_float32() -> None:
    content = tiny.content()
    sensitivity = embedding_sensitivity(restored(), TEXTS)
    made = quantize_tables(content, sensitivity)
    model = flatbuffer.read(content)
    done: set[int] = set()
    for graph in model.subgraphs:
        for operation in graph.operators:
            tensor = graph.tensors[operation.inputs[1]] if len(operation.inputs) > 1 else None
            if flatbuffer.operation_name(model, operation) == "EMBEDDING_LOOKUP" and tensor.buffer not in done:
                done.add(tensor.buffer)
                buffer = model.buffers[tensor.buffer]
                table = np.frombuffer(bytes(buffer.data), np.float32).reshape(tensor.shape)
                if b"/surface" in tensor.name:
                    scale = np.abs(table).max() / 127
                    numbers = np.rint(table / scale)
                else:
                    numbers, scale = round_to_int4(table, sensitivity)
                buffer.data = np.frombuffer((numbers * scale).astype(np.float32).tobytes(), np.uint8)
    wanted = flatbuffer.write(model)
    for length in tiny.LENGTHS:
        ours, theirs = (
            Interpreter(model_content=file).get_signature_runner(f"classify_{length}") for file in (made, wanted)
        )
        for row in tiny.rows(length):
            np.testing.assert_allclose(ours(**row)["probabilities"], theirs(**row)["probabilities"], atol=1e-5)


@pytest.mark.slow
def test_a_table_has_one_scale_and_half_a_byte_per_value() -> None:
    tensor, data = _table(quantize_tables(tiny.content(), None))
    assert tensor.type == flatbuffer.schema.TensorType.INT4
    assert len(tensor.quantization.scale) == len(tensor.quantization.zeroPoint) == 1
    assert len(data) == (np.prod(tensor.shape) + 1) // 2


def test_the_sensitivity_is_a_curvature_and_deterministic() -> None:
    sensitivity = embedding_sensitivity(restored(), TEXTS)
    assert sensitivity is not None
    assert sensitivity.shape == (16, 16)
    np.testing.assert_allclose(sensitivity, sensitivity.T)
    assert np.linalg.eigvalsh(sensitivity).min() > -1e-9
    np.testing.assert_array_equal(sensitivity, embedding_sensitivity(restored(), TEXTS))


def test_a_frozen_table_has_a_sensitivity_too() -> None:
    model = tiny.model()
    model.trainable = False
    try:
        assert embedding_sensitivity(restored(model), TEXTS) is not None
    finally:
        model.trainable = True


def test_without_rows_there_is_no_sensitivity() -> None:
    assert embedding_sensitivity(restored(), []) is None
