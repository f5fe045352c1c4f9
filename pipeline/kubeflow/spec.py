"""The PipelineSpec (schema 2.1.0) of a graph: TFX's compiler output, completed for the open-source backend.

TFX's output names a driver in `lifecycle.preCacheCheck` that the backend never runs, loses the resources of file-based
ExampleGens and the defaults of runtime parameters, and relies on artifact types that the backend drops. Everything
here is derived from the graph: a new step needs no change.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
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
from components.steps.shipping.pusher import Pusher
from models.errors import ConfigError
from pipeline.kubeflow.config import KubeflowConfig, StepConfig
from tflite.host.json_text import to_json

ENTRYPOINT = ("python", "-m", "pipeline.kubeflow.entrypoint")
_BACKOFF = {"backoffDuration": "30s", "backoffFactor": 2.0, "backoffMaxDuration": "600s"}


def compile_spec(
    pipeline: Pipeline,
    config: KubeflowConfig,
    image: str,
    *,
    target: str,
    onednn: str,
    attempts: Path,
    lineage: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The spec as a dictionary for YAML.

    Args:
        target: "kubeflow" or "vertex".
        onednn: see `models.runtime.prepare`.
        attempts: the folder of notes in the containers, see `pipeline.kubeflow.attempts`.
        lineage: what the Pusher is told of the run, see `pipeline.lineage.run_facts`.

    Raises:
        ConfigError: the graph has a step that the backend cannot run.
    """
    runner = KubeflowV2DagRunner(
        KubeflowV2DagRunnerConfig(default_image=image, default_commands=list(ENTRYPOINT), use_pipeline_spec_2_1=True),
        output_dir=tempfile.gettempdir(),
    )
    job = runner.run(pipeline, write_out=False)
    spec: dict[str, Any] = job["pipelineSpec"]
    _set_parameter_defaults(spec, pipeline)
    if config.root is not None:
        spec["defaultPipelineRoot"] = config.root
    tasks, executors = spec["root"]["dag"]["tasks"], spec["deploymentSpec"]["executors"]
    for node in pipeline.components:
        if "container" not in executors.get(f"{node.id}_executor", {}):
            raise ConfigError(
                f"the step {node.id}", got=type(node).__name__, expected="a step that runs in a container"
            )
        step = config.step(node.id)
        _complete_task(tasks[node.id], node, step)
        _set_viewed_types(spec["components"][tasks[node.id]["componentRef"]["name"]], node)
        _complete_container(executors[f"{node.id}_executor"]["container"], node, step, config.env, target, onednn)
        if lineage is not None and isinstance(node, Pusher):
            told = to_json(lineage, sort_keys=True, ascii=True)
            executors[f"{node.id}_executor"]["container"]["args"] += ["--lineage", told]
        if step.retries:
            more = ["--attempts", str(attempts), "--retries", str(step.retries)]
            executors[f"{node.id}_executor"]["container"]["args"] += more
    return spec


def _set_parameter_defaults(spec: dict[str, Any], pipeline: Pipeline) -> None:
    """Adds the defaults of runtime parameters, which TFX's compiler loses."""
    declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for node in pipeline.components:
        for value in node.exec_properties.values():
            if isinstance(value, RuntimeParameter) and value.default is not None:
                declared[value.name].setdefault("defaultValue", value.default)


def _complete_task(task: dict[str, Any], node: BaseNode, step: StepConfig) -> None:
    artifacts = task.get("inputs", {}).get("artifacts", {})
    producers = {source["taskOutputArtifact"]["producerTask"] for source in artifacts.values()}
    task["dependentTasks"] = sorted({upstream.id for upstream in node.upstream_nodes} | producers)
    task["cachingOptions"] = {"enableCache": True} if not _reads_outside(node) else {}
    if step.retries:
        task["retryPolicy"] = {"maxRetryCount": step.retries, **_BACKOFF}


def _set_viewed_types(component: dict[str, Any], node: BaseNode) -> None:
    """Gives outputs that Kubeflow's viewer shows the type by which it knows them."""
    for name, output in component.get("outputDefinitions", {}).get("artifacts", {}).items():
        title = getattr(node.outputs[name].type, "KUBEFLOW_TYPE", "")
        if title:
            output["artifactType"] = {"schemaTitle": title, "schemaVersion": "0.0.1"}


def _reads_outside(node: BaseNode) -> bool:
    """Whether a step reads files that can change while its parameters and artifacts do not.

    These are tables, the push folder and a preset's folder.
    """
    values = node.exec_properties.values()
    return isinstance(node, FileBasedExampleGen) or WHEN_RUN in values or UNKNOWN_DIGEST in values


def _complete_container(
    container: dict[str, Any], node: BaseNode, step: StepConfig, env: dict[str, str], target: str, onednn: str
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
    container["resources"] = _resources(step, target)


def _resources(step: StepConfig, target: str) -> dict[str, Any]:
    """Cores and memory, as numbers (for older backends and Vertex AI) and as Kubernetes' quantities."""
    cpu, memory = step.cpu or 0.0, step.memory_gb or 0.0
    resources: dict[str, Any] = {"cpuLimit": cpu, "cpuRequest": cpu, "memoryLimit": memory, "memoryRequest": memory}
    if step.accelerator is not None:
        count = str(step.accelerators or 1)
        resources["accelerator"] = {"type": step.accelerator, "count": count}
        if target == "kubeflow":
            resources["accelerator"] |= {"resourceType": step.accelerator, "resourceCount": count}
    if target == "kubeflow":
        cores, amount = f"{round(cpu * 1000)}m", f"{round(memory * 1000)}M"
        resources |= {"resourceCpuLimit": cores, "resourceCpuRequest": cores}
        resources |= {"resourceMemoryLimit": amount, "resourceMemoryRequest": amount}
    return resources
