"""Rows of token ids through a .tflite file, for both halves of benchmarks/edge.py: needs LiteRT and NumPy alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from ai_edge_litert.interpreter import Interpreter

INPUTS = ("token_ids", "padding_mask", "segment_ids")
PEER_ROWS = 220
"""Rows that the runtimes get: the first are timed, the others calibrate."""

Row = Mapping[str, np.ndarray]


def litert(content: bytes, threads: int = 1) -> Callable[[Row], np.ndarray]:
    """The first signature of a file: from int32 [1, L] each to its only output."""
    interpreter = Interpreter(model_content=content, num_threads=threads)
    runner = interpreter.get_signature_runner(next(iter(interpreter.get_signature_list())))

    def ask(row: Row) -> np.ndarray:
        answer: np.ndarray = next(iter(runner(**row).values()))
        return answer

    return ask


def batches(rows: Row, size: int) -> Iterator[dict[str, np.ndarray]]:
    """The rows, `size` at a time."""
    for begin in range(0, len(rows["token_ids"]), size):
        yield {name: array[begin : begin + size] for name, array in rows.items()}
