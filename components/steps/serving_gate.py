"""ServingGate: the real server on the exported model, asked real rows, before anything is pushed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from tensorflow.core.protobuf import saved_model_pb2
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import path_utils

from components.artifacts import AGAIN, BLESSED, VERDICT, bless
from components.config import ServingConfig
from components.fingerprint import fingerprint
from components.replay_rows import keras_answers, questions
from models.config import TaskConfig
from models.saved.restore import restore
from models.saved.warmup_requests import WARMUP_FILE
from serving.check.local_server import local_server
from serving.check.replay import Replay, replay
from serving.errors import ServingError
from serving.publish.operations import TARGET, missing

SAYS = logging.getLogger("transom")
FILE_NAME = "serving.json"
_SPLIT = "eval"


class _Spec(component_spec.ComponentSpec):
    PARAMETERS = {
        "task": component_spec.ExecutionParameter(type=str),
        "config": component_spec.ExecutionParameter(type=str),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
    }
    OUTPUTS = {"blessing": component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing)}


class Executor(base_executor.BaseExecutor):
    """Asks, compares, and blesses or says which request failed and how."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See TFX's `BaseExecutor.Do`. A model that is not blessed is no error here.

        Raises:
            ModelError: the model cannot be restored for the comparison.
        """
        config = ServingConfig.model_validate_json(exec_properties["config"])
        task = TaskConfig.model_validate_json(exec_properties["task"])
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        if not config.gate:
            report: dict[str, Any] = {BLESSED: True, VERDICT: "the serving gate is off (serving.gate: false)"}
        else:
            folder = Path(path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["model"])))
            examples = artifact_utils.get_single_instance(input_dict["examples"])
            report = examine(folder, examples, task, config)
        SAYS.info("%s", report[VERDICT])
        bless(blessing, report, FILE_NAME)


def examine(folder: Path, examples: types.Artifact, task: TaskConfig, config: ServingConfig) -> dict[str, Any]:
    """The gate's report on a SavedModel: `blessed`, `verdict` (a sentence), and what was measured."""
    unknown = missing(operations(folder))
    if unknown:
        return _refused(f"TF Serving {TARGET} does not have the operations {', '.join(unknown[:8])}")
    if not (folder / "assets.extra" / WARMUP_FILE).is_file():
        return _refused(f"the model has no warm-up requests (assets.extra/{WARMUP_FILE})")
    restored = restore(folder)
    tolerance = config.tolerance * (restored.labels.std if task.type == "regression" else 1.0)
    asked = questions(examples, _SPLIT, task, config.rows)
    if not asked:
        return _refused(f"the {_SPLIT} split has no row that the server could be asked")
    answers = keras_answers(restored, asked, tolerance)
    try:
        with local_server(folder) as server:
            return judge(replay(server, asked, answers, tolerance), config, len(asked))
    except ServingError as error:
        return _refused(f"the server could not serve the model: {error}", again=True)


def operations(folder: Path) -> set[str]:
    """The operations in a SavedModel's graphs and functions."""
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graphs = [graph.graph_def for graph in saved.meta_graphs]
    nodes = [graph.node for graph in graphs]
    nodes += [function.node_def for graph in graphs for function in graph.library.function]
    return {node.op for part in nodes for node in part} - _functions(graphs)


def _functions(graphs: list[Any]) -> set[str]:
    """Names of the graphs' own functions, which stand where an operation's name may stand."""
    return {function.signature.name for graph in graphs for function in graph.library.function}


def judge(result: Replay, config: ServingConfig, rows: int) -> dict[str, Any]:
    """The gate's report on a replay."""
    median, high = result.latency_ms(50), result.latency_ms(99)
    measured = {
        "rows": rows,
        "requests": result.requests,
        "failed": result.failed,
        "failures": result.failures,
        "largest_difference": result.largest_difference,
        "latency_ms": {"p50": round(median, 3), "p99": round(high, 3)},
    }
    if result.failed:
        more = f" (and {result.failed - 1} more)" if result.failed > 1 else ""
        return _refused(f"{result.failures[0]}{more}", again=True) | measured
    if not result.requests:
        return _refused("the server was asked nothing") | measured
    if config.latency_ms is not None and not high <= config.latency_ms:  # without a latency it is NaN
        wanted = f"serving.latency_ms allows {config.latency_ms:g} ms"
        return _refused(f"99 of 100 requests took up to {high:.1f} ms, and {wanted}", again=True) | measured
    sentence = (
        f"served: {result.requests} requests for {rows} rows over gRPC and REST were answered as Keras does "
        f"(largest difference {result.largest_difference:.1e}; one text over gRPC: {median:.1f} ms, p99 {high:.1f} ms)"
    )
    return {BLESSED: True, VERDICT: sentence, **measured}


def _refused(reason: str, again: bool = False) -> dict[str, Any]:
    """`again`: it may be the moment's doing, see `components.artifacts`."""
    return {BLESSED: False, VERDICT: f"not served: {reason}", AGAIN: again}


class ServingGate(base_component.BaseComponent):
    """Starts the server on the model and replays rows of the eval split.

    It does not read the evaluation's blessing, which changes with what is live: a model is served once.
    Output `blessing`: the properties `blessed` (1 or 0) and `verdict`, and `serving.json` with what was measured.
    """

    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        *,
        task: TaskConfig,
        serving: ServingConfig,
    ) -> None:
        """`examples`: raw rows."""
        super().__init__(
            spec=_Spec(
                examples=examples,
                model=model,
                task=task.model_dump_json(),
                config=serving.model_dump_json(),
                code=fingerprint(__name__, "serving.server.main", "serving.server.model_service"),
                blessing=types.Channel(type=standard_artifacts.InfraBlessing),
            )
        )
