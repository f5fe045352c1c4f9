"""The serving gate's report: the real server's responses to real rows, compared with Keras's predictions."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tensorflow.core.protobuf import saved_model_pb2
from tfx import types

from components.artifacts import BLESSED, MEASURE_AGAIN, VERDICT
from components.config import ServingConfig
from components.model_gates.replay_rows import choose_replay_rows, keras_predictions
from components.tf_examples import row_count
from models.config import TaskConfig
from models.runtime import can_fork
from models.saved.model_locations import EXTRA_FOLDER
from models.saved.restore import restore
from models.saved.warmup_requests import WARMUP_FILE
from serving.check.local_server import local_server
from serving.check.replay import Replay, ReplayRow, RowPrediction, replay
from serving.errors import ServingError
from serving.publish.operations import TARGET, missing

PROGRESS_LOG = logging.getLogger("transom.progress")
_SPLIT = "eval"
_NO_ROWS = f"the {_SPLIT} split has no row to send to the server"


def serving_gate_report(
    folder: Path, examples: types.Artifact, task: TaskConfig, config: ServingConfig
) -> dict[str, Any]:
    """The gate's report on a SavedModel: `blessed`, `verdict` (a sentence), and the measurements.

    Raises:
        ModelError: the model cannot be restored for the comparison.
    """
    unknown = missing(operation_names(folder))
    if unknown:
        return _refused(f"TF Serving {TARGET} does not have the operations {', '.join(unknown[:8])}")
    if not (folder / EXTRA_FOLDER / WARMUP_FILE).is_file():
        return _refused(f"the model has no warm-up requests ({EXTRA_FOLDER}/{WARMUP_FILE})")
    # Where the number is not noted, the rows are read later: no process can be forked once TensorFlow computes.
    if row_count(examples, [_SPLIT]) == 0:
        return _refused(_NO_ROWS)

    def expect() -> tuple[list[ReplayRow], list[RowPrediction], float]:
        rows = choose_replay_rows(examples, _SPLIT, task, config.rows)
        restored = restore(folder)
        tolerance = config.tolerance * (restored.labels.std if task.type == "regression" else 1.0)
        return rows, keras_predictions(restored, rows, tolerance), tolerance

    PROGRESS_LOG.info("starting the server")
    try:
        # Keras computes while the server starts, and before it is measured.
        with ThreadPoolExecutor(1) as pool:
            begun: list[Future[tuple[list[ReplayRow], list[RowPrediction], float]]] = []

            def begin() -> None:
                begun.append(pool.submit(expect))

            with local_server(folder, forked=can_fork(), meanwhile=begin) as server:
                rows, predictions, tolerance = begun[0].result()
                if not rows:
                    return _refused(_NO_ROWS)
                PROGRESS_LOG.info("sending %d rows in every way", len(rows))
                return judge_replay(replay(server, rows, predictions, tolerance), config, len(rows))
    except ServingError as error:
        return _refused(f"the server could not serve the model: {error}", again=True)


def operation_names(folder: Path) -> set[str]:
    """The operations in a SavedModel's graphs and functions."""
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graphs = [graph.graph_def for graph in saved.meta_graphs]
    functions = [function for graph in graphs for function in graph.library.function]
    nodes = [*(graph.node for graph in graphs), *(function.node_def for function in functions)]
    # A node may name one of the graph's own functions instead of an operation.
    return {node.op for part in nodes for node in part} - {function.signature.name for function in functions}


def judge_replay(result: Replay, config: ServingConfig, rows: int) -> dict[str, Any]:
    """The gate's report on a replay."""
    median, high = result.latency_ms(50), result.latency_ms(99)
    measurements = {
        "rows": rows,
        "requests": result.requests,
        "failed": result.failed,
        "failures": result.failures,
        "largest_difference": result.largest_difference,
        "latency_ms": {"p50": round(median, 3), "p99": round(high, 3)},
        "latencies_ms": [round(1000 * seconds, 3) for seconds in result.latencies],
    }
    if result.failed:
        more = f" (and {result.failed - 1} more)" if result.failed > 1 else ""
        return _refused(f"{result.failures[0]}{more}", again=True) | measurements
    if not result.requests:
        return _refused("no request was sent to the server") | measurements
    if config.latency_ms is not None and not high <= config.latency_ms:  # NaN if no latency was measured
        allowed = f"serving.latency_ms allows {config.latency_ms:g} ms"
        return _refused(f"99 of 100 requests took up to {high:.1f} ms, but {allowed}", again=True) | measurements
    verdict = (
        f"served: the responses to {result.requests} requests for {rows} rows over gRPC and REST agree with Keras "
        f"(largest difference {result.largest_difference:.1e}; one text over gRPC: {median:.1f} ms, p99 {high:.1f} ms)"
    )
    return {BLESSED: True, VERDICT: verdict, **measurements}


def _refused(reason: str, again: bool = False) -> dict[str, Any]:
    """`again`: the cause may be temporary, see `components.artifacts`."""
    return {BLESSED: False, VERDICT: f"not served: {reason}", MEASURE_AGAIN: again}
