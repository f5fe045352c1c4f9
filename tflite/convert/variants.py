"""What each edge variant is; `quantize.py` makes them. Standard library only, because the help lists their names."""

from __future__ import annotations

from typing import Literal, get_args

Variant = Literal["float32", "float16", "dynamic_int8", "weight_int8", "weight_int4", "int4_tables", "int8"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
"""float16: weights in half precision. dynamic_int8: int8 weights, activations quantized at run time. weight_int8,
weight_int4: quantized weights, computation in float32. int4_tables: dynamic_int8 with int4 embeddings. int8: weights
and the activations that they multiply, by ranges observed in calibration."""
INT4_TABLES: tuple[Variant, ...] = ("weight_int4", "int4_tables")
"""Variants with int4 embeddings, rounded by their effect on the logits of real rows."""
READS_ROWS: tuple[Variant, ...] = (*INT4_TABLES, "int8")
"""Variants that are made with real rows of the training split."""
