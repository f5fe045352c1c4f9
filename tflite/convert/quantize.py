"""Makes the variants of a float32 .tflite file: weights in int8, int4 or float16, and activations in int8."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from ai_edge_quantizer import quantizer
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.calibrator import Calibrator
from ai_edge_quantizer.qtyping import TFLOperationName
from ai_edge_quantizer.recipe_manager import RecipeManager

from models.errors import ModelError
from tflite.convert import flatbuffer
from tflite.convert.embedding_tables import quantize_tables
from tflite.convert.variants import INT4_TABLES, Variant

Features = Mapping[str, np.ndarray]

_ALL = TFLOperationName.ALL_SUPPORTED
_FLOAT16_OPERATIONS = (TFLOperationName.FULLY_CONNECTED, TFLOperationName.CONV_2D, TFLOperationName.EMBEDDING_LOOKUP)
# MiniLM-L6 on TREC-6 and TweetEval emotion: 90 has the least loss of the logits among 75, 90, 99, all and the mean.
_RANGE_PERCENTILE = 90
_INT8_OPERATIONS = (TFLOperationName.FULLY_CONNECTED, TFLOperationName.CONV_2D)


def quantize(
    content: bytes,
    variant: Variant,
    calibration: Mapping[str, Iterable[Features]] | None = None,
    sensitivity: np.ndarray | None = None,
) -> bytes:
    """Makes a variant of a float32 file, with the same signatures.

    Args:
        content: the output of `convert`.
        variant: see `tflite.convert.variants`.
        calibration: for "int8", real rows by signature: the inputs by name, int32 [1, L] each.
        sensitivity: for int4 tables, the output of `embedding_sensitivity`.

    Raises:
        ModelError: "int8" without calibration rows, or a file that the quantizer rejects.
    """
    if variant == "float32":
        return content
    rows = {name: list(features) for name, features in (calibration or {}).items()}
    if variant == "int8" and not any(rows.values()):
        raise ModelError(
            "variant int8 cannot be calibrated",
            got="no rows",
            expected="rows of the training split",
            fix="choose another variant, or provide rows",
        )
    try:
        # The quantizer draws progress bars and prints a summary.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            recipe = _recipe(variant)
            ranges = _usual_ranges(content, recipe, rows) if variant == "int8" else None
            worker = quantizer.Quantizer(content, recipe.get_quantization_recipe())
            quantized = bytes(worker.quantize(ranges).quantized_model)
    except (ValueError, RuntimeError, KeyError) as error:
        raise ModelError(
            f"variant {variant} cannot be made",
            got=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            expected="a model of operations that the quantizer knows",
            fix="leave the variant out",
        ) from error
    if variant == "float16":
        return flatbuffer.write(flatbuffer.read(quantized))
    return quantize_tables(quantized, sensitivity)


def _usual_ranges(content: bytes, recipe: RecipeManager, rows: Mapping[str, Iterable[Features]]) -> dict[str, Any]:
    """The range of each activation that suffices for `_RANGE_PERCENTILE` percent of the rows.

    The quantizer's default is a moving average that begins with the first row's range and takes 5% of each further row:
    with few rows it is the first row's. The range of all rows together is as coarse as the strangest row makes it.
    """
    observer = Calibrator(content, qsv_update_func=_collect)
    observer.calibrate(rows, recipe)
    found = {name: observed.get("rows", [observed]) for name, observed in observer.get_model_qsvs().items()}
    return {
        name: {
            "min": np.percentile([row["min"] for row in each], 100 - _RANGE_PERCENTILE, axis=0).astype(np.float32),
            "max": np.percentile([row["max"] for row in each], _RANGE_PERCENTILE, axis=0).astype(np.float32),
        }
        for name, each in found.items()
    }


def _collect(earlier: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    rows = earlier.get("rows", [earlier])
    rows.append(row)
    return {"rows": rows}


def _recipe(variant: Variant) -> RecipeManager:
    manager = RecipeManager()
    if variant == "float16":
        for operation in _FLOAT16_OPERATIONS:
            manager.add_weight_only_config(".*", operation, 16, algorithm_key=AlgorithmName.FLOAT_CASTING)
    elif variant in ("dynamic_int8", "int4_tables"):
        manager.add_dynamic_config(".*", _ALL, 8)
    elif variant in ("weight_int8", "weight_int4"):
        manager.add_weight_only_config(".*", _ALL, 8 if variant == "weight_int8" else 4)
    else:
        # Norms, softmax and GELU in int8 would cost accuracy and, on a CPU, time: benchmarks/README.md.
        for operation in _INT8_OPERATIONS:
            manager.add_static_config(".*", operation, activation_num_bits=8, weight_num_bits=8)
        manager.add_dynamic_config(".*", TFLOperationName.EMBEDDING_LOOKUP, 8)
    if variant in ("dynamic_int8", "int4_tables", "weight_int8", "weight_int4"):
        # DeBERTa multiplies by a constant on the left, which LiteRT's int8 kernel does not support.
        manager.add_quantization_config(".*", TFLOperationName.BATCH_MATMUL, algorithm_key=AlgorithmName.NO_QUANTIZE)
    if variant != "float16":  # `quantize_tables` quantizes them
        lookup, tables = TFLOperationName.EMBEDDING_LOOKUP, ".*" if variant in INT4_TABLES else ".*surface.*"
        manager.add_quantization_config(tables, lookup, algorithm_key=AlgorithmName.NO_QUANTIZE)
        # The linear model's numbers of pairs are of very different sizes: eight bits for all would lose the small ones.
        manager.add_quantization_config(
            ".*surface.*", TFLOperationName.FULLY_CONNECTED, algorithm_key=AlgorithmName.NO_QUANTIZE
        )
    return manager
