"""A file that lacks some of the model's weights is refused."""

from __future__ import annotations

import pytest
import tiny_edge as tiny

from models.errors import ModelError
from tflite.convert import flatbuffer
from tflite.convert.quantize import quantize
from tflite.convert.variants import VARIANTS, Variant
from tflite.convert.weight_check import check_weights


@pytest.fixture(scope="module")
def content() -> bytes:
    return tiny.content()


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_has_all_weights(variant: Variant, content: bytes) -> None:
    rows = {tiny.manifest().signature(length): tiny.rows(length) for length in tiny.LENGTHS}
    check_weights(quantize(content, variant, rows), tiny.model(), max(tiny.LENGTHS))


def test_missing_tables_are_refused(content: bytes) -> None:
    model = flatbuffer.read(content)
    largest = [constant.name for constant in flatbuffer.constants(model)[:2]]
    for tensor in model.subgraphs[0].tensors:
        if tensor.name.decode() in largest:
            model.buffers[tensor.buffer].data = None
    with pytest.raises(ModelError, match="does not hold all of the model"):
        check_weights(flatbuffer.write(model), tiny.model(), max(tiny.LENGTHS))
