"""The names of the variants (standard library only: the command line's help lists them)."""

from __future__ import annotations

from typing import Literal, get_args

Variant = Literal["float32", "float16", "dynamic_int8", "weight_int8", "weight_int4", "int4_tables", "int8"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
"""float16: weights in half precision. dynamic_int8: int8 weights, activations quantized as they come. weight_int8,
weight_int4: the weights alone, computed in float32. int4_tables: dynamic_int8 with the embeddings in int4. int8:
weights and the activations that they multiply, by ranges seen in calibration."""
INT4_TABLES: tuple[Variant, ...] = ("weight_int4", "int4_tables")
"""Those whose embeddings are in int4, rounded by what real rows feel."""
READS_ROWS: tuple[Variant, ...] = (*INT4_TABLES, "int8")
"""Those that are made with real rows of the training split."""
