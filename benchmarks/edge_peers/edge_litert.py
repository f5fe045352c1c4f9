"""Runs a .tflite file on rows of token ids, for both halves of benchmarks/edge.py. Needs only LiteRT and NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from ai_edge_litert.interpreter import Interpreter

INPUTS = ("token_ids", "padding_mask", "segment_ids")
PEER_ROWS = 220
"""Rows for the runtimes: the first are timed, the others calibrate."""

Features = Mapping[str, np.ndarray]


def litert_query(content: bytes, threads: int = 1) -> Callable[[Features], np.ndarray]:
    """The first signature of a file as a function from int32 [1, L] inputs to its only output."""
    interpreter = Interpreter(model_content=content, num_threads=threads)
    runner = interpreter.get_signature_runner(next(iter(interpreter.get_signature_list())))

    def query(row: Features) -> np.ndarray:
        output: np.ndarray = next(iter(runner(**row).values()))
        return output

    return query


def batched_rows(rows: Features, size: int) -> Iterator[dict[str, np.ndarray]]:
    """The rows, `size` at a time."""
    for begin in range(0, len(rows["token_ids"]), size):
        yield {name: array[begin : begin + size] for name, array in rows.items()}
