"""The variants: smaller, close to Keras, with quantized embedding tables."""

from __future__ import annotations

import golden_text
import numpy as np
import pytest
import tiny_edge as tiny
from ai_edge_litert.interpreter import Interpreter
from surface_weights import fill_surface

from models.build import build_model
from models.config import EncoderConfig
from models.errors import ModelError
from tflite.convert import flatbuffer
from tflite.convert.keras_to_tflite import convert
from tflite.convert.quantize import quantize
from tflite.convert.variants import VARIANTS, Variant
from tflite.host.labels import LabelSpace


@pytest.fixture(scope="module")
def content() -> bytes:
    return tiny.content()


CALIBRATION = {f"classify_{length}": tiny.rows(length) for length in tiny.LENGTHS}
# Largest difference of a probability from the float32 file's, over random weights.
CLOSE = {"float32": 0.0, "float16": 0.01, "dynamic_int8": 0.1, "weight_int8": 0.1, "weight_int4": 0.7, "int8": 0.3}
CLOSE["int4_tables"] = 0.7
TABLE = {"float32": "float32", "float16": "float16", "weight_int4": "int4", "int4_tables": "int4"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_predicts_nearly_as_the_original(content: bytes, variant: Variant) -> None:
    made = quantize(content, variant, CALIBRATION)
    differences = []
    for length in tiny.LENGTHS:
        ours, theirs = (
            Interpreter(model_content=file).get_signature_runner(f"classify_{length}") for file in (made, content)
        )
        for row in tiny.rows(length):
            found = ours(**row)["probabilities"]
            assert found.dtype == np.float32
            assert found.sum() == pytest.approx(1.0, abs=0.02)
            differences.append(np.abs(found - theirs(**row)["probabilities"]).max())
    assert max(differences) <= CLOSE[variant]
    assert np.mean(differences) <= CLOSE[variant] / 2


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_token_table_is_quantized_too(content: bytes, variant: Variant) -> None:
    constants = flatbuffer.constants(flatbuffer.read(quantize(content, variant, CALIBRATION)))
    tables = [one for one in constants if "token_embedding" in one.name and len(one.shape) == 2 and one.shape[1] == 16]
    assert [one.dtype for one in tables] == [TABLE.get(variant, "int8")]


@pytest.mark.slow_variants
@pytest.mark.parametrize("variant", ["dynamic_int8", "weight_int8", "int4_tables"])
def test_the_linear_model_keeps_eight_bits_with_many_labels(variant: Variant) -> None:
    labels = LabelSpace(labels=tuple(f"label {number}" for number in range(20)), counts=(1,) * 20, rows=20)
    tokenizer = golden_text.tokenizer(max_length=8)
    config = EncoderConfig(num_layers=1, width=16, num_heads=2, linear_rows=97)
    model = build_model(config, tokenizer=tokenizer, outputs=20)
    fill_surface(model)
    original = convert(model, tiny.manifest(lengths=(8,)), labels)
    made = quantize(original, variant, CALIBRATION)
    tables = [one for one in flatbuffer.constants(flatbuffer.read(made)) if "/surface" in one.name and 21 in one.shape]
    assert [one.dtype for one in tables] == ["int8"]
    ours, theirs = (Interpreter(model_content=file).get_signature_runner("classify_8") for file in (made, original))
    for row in tiny.rows(8):
        np.testing.assert_allclose(ours(**row)["probabilities"], theirs(**row)["probabilities"], atol=0.05)


def test_int8_needs_rows(content: bytes) -> None:
    with pytest.raises(ModelError, match="cannot be calibrated"):
        quantize(content, "int8")


def test_it_prints_nothing(content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    quantize(content, "dynamic_int8")
    assert capfd.readouterr() == ("", "")


def test_int8_multiplies_integers_and_leaves_norms_and_softmax_alone(content: bytes) -> None:
    model = flatbuffer.read(quantize(content, "int8", CALIBRATION))
    kinds: dict[str, set[int]] = {}
    for graph in model.subgraphs:
        for operation in graph.operators:
            kind = graph.tensors[operation.inputs[0]].type
            kinds.setdefault(flatbuffer.operation_name(model, operation), set()).add(kind)
    integer, number = flatbuffer.schema.TensorType.INT8, flatbuffer.schema.TensorType.FLOAT32
    assert kinds["FULLY_CONNECTED"] == kinds["CONV_2D"] == {integer}
    assert kinds["SOFTMAX"] == kinds["RSQRT"] == kinds["SQUARED_DIFFERENCE"] == {number}


def test_no_row_of_the_calibration_counts_more_than_another(content: bytes) -> None:
    backwards = {name: list(rows)[::-1] for name, rows in CALIBRATION.items()}
    assert quantize(content, "int8", CALIBRATION) == quantize(content, "int8", backwards)
