"""The contents of a .tflite file; rewriting it changes only its size."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_edge as tiny
from ai_edge_litert.interpreter import Interpreter

from models.errors import ModelError
from tflite.convert import flatbuffer
from tflite.convert.quantize import quantize


@pytest.fixture(scope="module")
def content() -> bytes:
    return tiny.content()


@pytest.mark.parametrize("cut", [0, 4, 7, 30, 2000])
def test_a_part_of_a_file_is_refused(content: bytes, cut: int) -> None:
    with pytest.raises(ModelError, match="the bundle's file"):
        flatbuffer.read(content[:cut], "the bundle's file")


def test_another_file_is_refused() -> None:
    with pytest.raises(ModelError, match=r"not a \.tflite file"):
        flatbuffer.read(b"PK\x03\x04" + b"x" * 100)


def test_data_are_aligned(content: bytes) -> None:
    address = np.frombuffer(content, np.uint8).__array_interface__["data"][0]
    places = [
        buffer.data.__array_interface__["data"][0] - address
        for buffer in flatbuffer.schema.ModelT.InitFromPackedBuf(np.frombuffer(content, np.uint8), 0).buffers
        if buffer.data is not None
    ]
    assert len(places) > 20
    assert not [place for place in places if place % 16]


def test_equal_quantization_parameters_are_stored_once(content: bytes) -> None:
    quantized = quantize(content, "dynamic_int8")
    model = flatbuffer.read(quantized)
    repeated = [
        8 * len(tensor.quantization.zeroPoint)
        for graph in model.subgraphs
        for tensor in graph.tensors
        if tensor.quantization is not None and tensor.quantization.zeroPoint is not None
    ]
    plain = bytes(flatbuffer.flatbuffer_utils.convert_object_to_bytearray(flatbuffer.read(quantized)))
    assert len(plain) - len(quantized) > 0.5 * sum(repeated)
    row = tiny.rows(8, 1)[0]
    found = [Interpreter(model_content=file).get_signature_runner("classify_8")(**row) for file in (plain, quantized)]
    np.testing.assert_array_equal(found[0]["probabilities"], found[1]["probabilities"])
    assert flatbuffer.write(model) == quantized


def test_constants_are_named_and_counted(content: bytes) -> None:
    constants = flatbuffer.constants(flatbuffer.read(content))
    assert [one.size for one in constants] == sorted((one.size for one in constants), reverse=True)
    tables = [one for one in constants if one.shape == (96, 16) or "token_embedding" in one.name]
    assert tables
    assert tables[0].dtype == "float32"
