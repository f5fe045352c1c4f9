"""The PipelineSpec (schema 2.1.0) of a graph: TFX's compiler, and what its result lacks for the open-source backend.

TFX's own result names a driver in `lifecycle.preCacheCheck` that the backend never runs, loses resources of file-based
ExampleGens and the defaults of runtime parameters, and counts on artifacts' types that the backend does not hand on.
It is written from the graph alone: a new step needs nothing here.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tfx.components import FileBasedExampleGen
from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import KubeflowV2DagRunner, KubeflowV2DagRunnerConfig
from tfx.orchestration.pipeline import Pipeline
from tfx.utils import name_utils

from components.preset_fingerprint import UNKNOWN_DIGEST
from components.steps.live_model import WHEN_RUN
from models.errors import ConfigError
from pipeline.kubeflow.config import KubeflowConfig, StepConfig
from tflite.host.json_text import to_json

ENTRYPOINT = ("python", "-m", "pipeline.kubeflow.entrypoint")
_BACKOFF = {"backoffDuration": "30s", "backoffFactor": 2.0, "backoffMaxDuration": "600s"}


def compile_spec(
    pipeline: Pipeline, config: KubeflowConfig, image: str, *, target: str, onednn: str, attempts: Path
) -> dict[str, Any]:
    """The spec as a dictionary, ready for YAML.

    Args:
        target: "kubeflow" or "vertex".
        onednn: see `models.runtime.prepare`.
        attempts: the containers' folder of notes, see `pipeline.kubeflow.attempts`.

    Raises:
        ConfigError: the graph holds what the backend does not run.
    """
    runner = KubeflowV2DagRunner(
        KubeflowV2DagRunnerConfig(default_image=image, default_commands=list(ENTRYPOINT), use_pipeline_spec_2_1=True),
        output_dir=tempfile.gettempdir(),
    )
    job = runner.run(pipeline, write_out=False)
    spec: dict[str, Any] = job["pipelineSpec"]
    _defaults(spec, pipeline)
    if config.root is not None:
        spec["defaultPipelineRoot"] = config.root
    tasks, executors = spec["root"]["dag"]["tasks"], spec["deploymentSpec"]["executors"]
    for node in pipeline.components:
        if "container" not in executors.get(f"{node.id}_executor", {}):
            raise ConfigError(
                f"the step {node.id}", got=type(node).__name__, expected="a step that runs in a container"
            )
        told = config.step(node.id)
        _task(tasks[node.id], node, told)
        _container(executors[f"{node.id}_executor"]["container"], node, told, config.env, target, onednn)
        if told.retries:
            more = ["--attempts", str(attempts), "--retries", str(told.retries)]
            executors[f"{node.id}_executor"]["container"]["args"] += more
    return spec


def _defaults(spec: dict[str, Any], pipeline: Pipeline) -> None:
    """Puts runtime parameters' defaults, which TFX's compiler loses, beside their types."""
    declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for node in pipeline.components:
        for value in node.exec_properties.values():
            if isinstance(value, RuntimeParameter) and value.default is not None:
                declared[value.name].setdefault("defaultValue", value.default)


def _task(task: dict[str, Any], node: BaseNode, told: StepConfig) -> None:
    producers = {source["taskOutputArtifact"]["producerTask"] for source in _artifacts(task)}
    task["dependentTasks"] = sorted({upstream.id for upstream in node.upstream_nodes} | producers)
    task["cachingOptions"] = {"enableCache": True} if not _reads_outside(node) else {}
    if told.retries:
        task["retryPolicy"] = {"maxRetryCount": told.retries, **_BACKOFF}


def _artifacts(task: dict[str, Any]) -> list[dict[str, Any]]:
    return list(task.get("inputs", {}).get("artifacts", {}).values())


def _reads_outside(node: BaseNode) -> bool:
    """Whether what a step reads can change while its parameters and artifacts do not.

    That is so of tables, of the push folder and of a preset's folder.
    """
    told = node.exec_properties.values()
    return isinstance(node, FileBasedExampleGen) or WHEN_RUN in told or UNKNOWN_DIGEST in told


def _container(
    container: dict[str, Any], node: BaseNode, told: StepConfig, env: dict[str, str], target: str, onednn: str
) -> None:
    container.pop("lifecycle", None)
    types = {
        name: name_utils.get_full_name(channel.type)
        for name, channel in sorted({**node.inputs, **node.outputs}.items())
    }
    container["args"] += ["--step", node.id, "--artifact_types", to_json(types, ascii=True), "--onednn", onednn]
    if isinstance(node, FileBasedExampleGen):
        container["args"] += ["--driver_class_path", name_utils.get_full_name(node.DRIVER_CLASS)]
    if env:
        container["env"] = [{"name": name, "value": value} for name, value in env.items()]
    container["resources"] = _resources(told, target)


def _resources(told: StepConfig, target: str) -> dict[str, Any]:
    """Cores and memory both as numbers and as Kubernetes' quantities: older backends and Vertex AI read the former."""
    cpu, memory = told.cpu or 0.0, told.memory_gb or 0.0
    made: dict[str, Any] = {"cpuLimit": cpu, "cpuRequest": cpu, "memoryLimit": memory, "memoryRequest": memory}
    if told.accelerator is not None:
        count = str(told.accelerators or 1)
        made["accelerator"] = {"type": told.accelerator, "count": count}
        if target == "kubeflow":
            made["accelerator"] |= {"resourceType": told.accelerator, "resourceCount": count}
    if target == "kubeflow":
        cores, amount = f"{round(cpu * 1000)}m", f"{round(memory * 1000)}M"
        made |= {"resourceCpuLimit": cores, "resourceCpuRequest": cores}
        made |= {"resourceMemoryLimit": amount, "resourceMemoryRequest": amount}
    return made
