"""The half of benchmarks/edge.py that runs in the environment of ONNX Runtime and OpenVINO.

    python -m benchmarks.edge_peers.edge_latency FOLDER

FOLDER/NAME_LENGTH/ holds float32.tflite, int8.tflite, and rows.npz: `token_ids`, `padding_mask`, `segment_ids`, int32
[R, L]; the first are timed, the others calibrate. All runtimes get the same rows in turn, round by round, in one
process, so that a temporary slowdown of the machine affects all of them.

The peers run in their strongest fair form: all graph optimizations, the same number of threads. Float: float32 in
OpenVINO too, which would otherwise use bfloat16 if the CPU has it. int8: ONNX Runtime's dynamic int8 with a scale per
column; OpenVINO's static int8 by NNCF, in its form for Transformers.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nncf
import numpy as np
import onnx
import onnxruntime as ort
import openvino as ov
from onnxruntime.quantization import QuantType, quantize_dynamic

from benchmarks.edge_peers.edge_litert import INPUTS, Features, batched_rows, litert_query
from benchmarks.edge_peers.edge_onnx import to_onnx

TIMED = 20
ROUNDS = 15
# A larger difference means that ONNX Runtime runs another model. OpenVINO's difference is only printed: on a model with
# token pairs it is up to 0.03, while LiteRT and ONNX Runtime agree to 1e-6.
CLOSE = 1e-3
Query = Callable[[Features], np.ndarray]


def main() -> int:
    """Prints a row for each model, length, number of threads, precision and runtime."""
    logging.disable(logging.WARNING)
    ort.set_default_logger_severity(3)
    print(
        "| model | tokens | threads | weights | runtime | median ms | p10 | p90 | of the better peer | max difference |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for folder in sorted(Path(sys.argv[1]).iterdir()):
        rows = _rows(folder / "rows.npz")
        peers = _peer_models(folder, rows)
        for threads in range(1, min(2, len(os.sched_getaffinity(0))) + 1):
            for precision in ("float32", "int8"):
                _compare(folder, rows, peers, threads, precision)
    return 0


def _rows(path: Path) -> list[dict[str, np.ndarray]]:
    with np.load(path) as stored:
        return list(batched_rows({name: stored[name] for name in INPUTS}, 1))


def _peer_models(folder: Path, rows: list[dict[str, np.ndarray]]) -> dict[tuple[str, str], bytes | ov.Model]:
    """The peers' models, by runtime and precision."""
    plain = to_onnx((folder / "float32.tflite").read_bytes())
    path, quantized = folder / "float32.onnx", folder / "int8.onnx"
    onnx.save(plain, path)
    quantize_dynamic(
        path, quantized, per_channel=True, weight_type=QuantType.QInt8, extra_options={"MatMulConstBOnly": True}
    )
    model = ov.Core().read_model(path)
    kept = sys.stdout
    sys.stdout = io.StringIO()  # progress bars
    try:
        data = nncf.Dataset(rows[TIMED:], lambda row: row)
        static = nncf.quantize(
            model.clone(), data, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(rows) - TIMED
        )
    finally:
        sys.stdout = kept
    return {
        ("ONNX Runtime", "float32"): path.read_bytes(),
        ("ONNX Runtime", "int8"): quantized.read_bytes(),
        ("OpenVINO", "float32"): model,
        ("OpenVINO", "int8"): static,
    }


def _compare(
    folder: Path,
    rows: list[dict[str, np.ndarray]],
    peers: dict[tuple[str, str], bytes | ov.Model],
    threads: int,
    precision: str,
) -> None:
    timed = rows[:TIMED]
    queries = {
        "LiteRT": litert_query((folder / f"{precision}.tflite").read_bytes(), threads),
        "ONNX Runtime": _onnx_runtime(peers["ONNX Runtime", precision], threads),
        "OpenVINO": _openvino(peers["OpenVINO", precision], threads),
    }
    reference = litert_query((folder / "float32.tflite").read_bytes(), 1)
    expected = [reference(row) for row in timed]
    difference = {
        n: max(float(np.abs(a(r) - w).max()) for r, w in zip(timed, expected, strict=True)) for n, a in queries.items()
    }
    if precision == "float32" and not difference["ONNX Runtime"] <= CLOSE:
        raise SystemExit(f"{folder.name}: ONNX Runtime's predictions differ: {difference}")
    taken: dict[str, list[float]] = {name: [] for name in queries}
    for _ in range(ROUNDS):
        for name, query in queries.items():
            query(timed[0])  # loads its weights into the caches, which another runtime has just filled
            for row in timed:
                began = time.perf_counter()
                query(row)
                taken[name].append(1e3 * (time.perf_counter() - began))
    medians = {name: float(np.median(values)) for name, values in taken.items()}
    better = min(medians[name] for name in medians if name != "LiteRT")
    model, length = folder.name.rsplit("_", 1)
    for name, values in taken.items():
        low, high = np.percentile(values, [10, 90])
        cells = [model, length, str(threads), precision, name, f"{medians[name]:.2f}", f"{low:.2f}", f"{high:.2f}"]
        print(f"| {' | '.join(cells)} | {medians[name] / better:.2f} | {difference[name]:.1e} |", flush=True)


def _onnx_runtime(content: bytes | ov.Model, threads: int) -> Query:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda row: session.run(None, row)[0]


def _openvino(model: bytes | ov.Model, threads: int) -> Query:
    hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = ov.Core().compile_model(model, "CPU", {**hints, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1})
    request = compiled.create_infer_request()
    return lambda row: np.array(request.infer(row)[0])


if __name__ == "__main__":
    sys.exit(main())
