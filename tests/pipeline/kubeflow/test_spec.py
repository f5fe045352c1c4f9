"""The compiled spec has what TFX's own lacks for the open-source backend."""

from __future__ import annotations

import importlib.metadata
import json
import re
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.components import CsvExampleGen
from tfx.orchestration import data_types
from tfx.orchestration.pipeline import Pipeline

from pipeline import cli, graph
from pipeline.config import ProjectConfig
from pipeline.kubeflow import pipeline_yaml
from pipeline.kubeflow.config import KubeflowConfig
from pipeline.kubeflow.pipeline_yaml import Compiled
from pipeline.kubeflow.spec import compile_spec
from pipeline.paths import Paths
from pipeline.steps import CLUSTER_STEPS, STEPS

CONFIG = f"""\
name: my_tiny
data: {{path: reviews.csv}}
kubeflow:
  image: registry.example/transom:{importlib.metadata.version("transom")}
  base: /mnt/data/tiny
  output: /mnt/out
  mounts: [{{claim: data, path: /mnt/data}}, {{claim: out, path: /mnt/out}}]
  secrets: [{{name: hub, env: {{token: HF_TOKEN}}, path: /etc/hub}}]
  env: {{LANG: C.UTF-8}}
  default: {{cpu: 1.5, memory_gb: 4}}
  steps:
    Trainer:
      accelerator: nvidia.com/gpu
      retries: 3
      timeout_minutes: 90
      shared_memory_gb: 2
      node_selector: {{pool: spot}}
      tolerations: [{{key: spot, operator: Exists, effect: NoSchedule}}]
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    folder = tmp_path_factory.mktemp("spec")
    (folder / "transom.yaml").write_text(CONFIG)
    assert cli.main(["compile", str(folder / "transom.yaml"), "--out", str(folder / "pipeline.yaml")]) == 0
    return pipeline_yaml.read(folder / "pipeline.yaml")


def test_a_name_with_an_underscore_is_spelled_as_kubeflow_can(compiled: Compiled) -> None:
    assert compiled.spec["pipelineInfo"]["name"] == "my-tiny"


@pytest.fixture(scope="module")
def tasks(compiled: Compiled) -> dict[str, Any]:
    found: dict[str, Any] = compiled.spec["root"]["dag"]["tasks"]
    return found


@pytest.fixture(scope="module")
def containers(compiled: Compiled, tasks: dict[str, Any]) -> dict[str, Any]:
    executors = compiled.spec["deploymentSpec"]["executors"]
    return {name: executors[f"{name}_executor"]["container"] for name in tasks}


def test_both_documents_are_messages_of_kfp(compiled: Compiled) -> None:
    json_format.ParseDict(compiled.spec, pipeline_spec_pb2.PipelineSpec())
    executors = compiled.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(executors) == set(compiled.spec["deploymentSpec"]["executors"])
    for executor in executors.values():
        json_format.ParseDict(executor, kubernetes_executor_config_pb2.KubernetesExecutorConfig())


def test_each_executor_is_a_plain_container_with_resources(containers: dict[str, Any]) -> None:
    for container in containers.values():
        assert "lifecycle" not in container
        resources = container["resources"]
        assert (resources["cpuLimit"], resources["resourceCpuLimit"]) == (1.5, "1500m")
        assert (resources["memoryRequest"], resources["resourceMemoryRequest"]) == (4, "4000M")
        assert container["env"] == [{"name": "LANG", "value": "C.UTF-8"}]


def test_the_accelerator_is_there_in_both_spellings(containers: dict[str, Any]) -> None:
    wanted = {"type": "nvidia.com/gpu", "count": "1", "resourceType": "nvidia.com/gpu", "resourceCount": "1"}
    assert containers["Trainer"]["resources"]["accelerator"] == wanted
    assert "accelerator" not in containers["Pusher"]["resources"]


def test_what_reads_outside_the_spec_is_not_cached(tasks: dict[str, Any]) -> None:
    uncached = {name for name, task in tasks.items() if not task["cachingOptions"].get("enableCache")}
    assert uncached == {"ExampleGen", "LiveModel", "Pusher"}


def test_a_task_waits_for_its_inputs_and_for_what_the_graph_orders(tasks: dict[str, Any]) -> None:
    for task in tasks.values():
        made_by = {one["taskOutputArtifact"]["producerTask"] for one in task["inputs"].get("artifacts", {}).values()}
        assert made_by <= set(task.get("dependentTasks", [])) <= set(tasks)
    assert "DataGate" in tasks["TokenizerTrainer"]["dependentTasks"]
    assert tasks["Trainer"]["retryPolicy"]["maxRetryCount"] == 3


def test_only_what_is_tried_again_is_told_where_its_attempts_leave_notes(containers: dict[str, Any]) -> None:
    args = containers["Trainer"]["args"]
    assert args[args.index("--attempts") :][:4] == ["--attempts", "/mnt/out/attempts", "--retries", "3"]
    assert "--attempts" not in containers["Pusher"]["args"]


def test_no_path_of_this_machine_is_in_the_spec(compiled: Compiled, tasks: dict[str, Any]) -> None:
    assert str(Path.cwd()) not in json.dumps(compiled.spec)
    given = {name: task["inputs"].get("parameters", {}) for name, task in tasks.items()}
    assert given["ExampleGen"]["input_base"]["runtimeValue"]["constant"] == "/mnt/data/tiny"
    assert '"preset": null' in given["DataGate"]["reading"]["runtimeValue"]["constant"]
    assert given["Pusher"]["directory"]["runtimeValue"]["constant"] == "/mnt/out/serving/my_tiny"
    assert given["Trainer"]["checkpoints"]["runtimeValue"]["constant"] == "/mnt/out/checkpoints"


def test_the_platform_document_says_pools_secrets_and_volumes(compiled: Compiled) -> None:
    executors = compiled.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    trainer = executors["Trainer_executor"]
    assert [mount["mountPath"] for mount in trainer["pvcMount"]] == ["/mnt/data", "/mnt/out"]
    assert trainer["secretAsEnv"][0]["keyToEnv"] == [{"secretKey": "token", "envVar": "HF_TOKEN"}]
    assert trainer["secretAsVolume"][0]["mountPath"] == "/etc/hub"
    assert trainer["nodeSelector"] == {"labels": {"pool": "spot"}}
    assert trainer["tolerations"] == [{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}]
    assert trainer["activeDeadlineSeconds"] == "5400"
    assert trainer["emptyDirMounts"][0]["mountPath"] == "/dev/shm"
    assert "nodeSelector" not in executors["Pusher_executor"]


def test_the_compiled_graph_is_the_local_one_with_the_report(tasks: dict[str, Any]) -> None:
    assert set(tasks) == set(CLUSTER_STEPS)


def test_the_steps_that_are_listed_are_the_graphs_in_its_order(tmp_path: Path) -> None:
    config = ProjectConfig.model_validate({"data": {"path": "t.csv"}})
    built = graph.build(config, Paths.from_config(config, tmp_path / "transom.yaml"))
    assert [node.id for node in built.components] == list(STEPS)


def test_vertex_gets_no_kubernetes(tmp_path: Path) -> None:
    config = tmp_path / "transom.yaml"
    config.write_text(
        "data: {path: t.csv}\n"
        "kubeflow: {base: /gcs/bucket/reviews, root: 'gs://bucket/a', default: {accelerator: NVIDIA_TESLA_T4}}\n"
    )
    image = f"transom:{importlib.metadata.version('transom')}"
    arguments = ["compile", str(config), "--out", str(tmp_path / "p.yaml"), "--target", "vertex", "--image", image]
    assert cli.main(arguments) == 0
    made = pipeline_yaml.read(tmp_path / "p.yaml")
    assert made.platform == {}
    assert made.spec["defaultPipelineRoot"] == "gs://bucket/a"
    resources = made.spec["deploymentSpec"]["executors"]["Trainer_executor"]["container"]["resources"]
    assert resources["accelerator"] == {"type": "NVIDIA_TESLA_T4", "count": "1"}
    assert not any(key.startswith("resource") for key in resources)


def test_the_documents_can_stand_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "transom.yaml"
    config.write_text(CONFIG)
    out, platform = tmp_path / "p.yaml", tmp_path / "platform.yaml"
    assert cli.main(["compile", str(config), "--out", str(out), "--platform", str(platform)]) == 0
    assert pipeline_yaml.read(out).platform == {}
    assert "kubernetes" in pipeline_yaml.read(out, platform).platform["platforms"]
    assert capsys.readouterr().out.count("wrote ") == 2


def test_the_dockerfile_installs_the_lock(tmp_path: Path, capsys: pytest.CaptureFixture[str], repository: Path) -> None:
    assert cli.main(["compile", "--dockerfile", str(tmp_path / "image")]) == 0
    text = (tmp_path / "image" / "Dockerfile").read_text()
    assert "--require-hashes --no-deps --compile-bytecode -r requirements.lock" in text
    copied = next(line for line in text.splitlines() if line.startswith("COPY requirements")).split()[1:-1]
    assert {"requirements.lock", "requirements-uv.lock", "requirements-cuda.lock"} == set(copied)
    assert all((repository / name).is_file() for name in copied)
    output = capsys.readouterr().out
    assert f":{importlib.metadata.version('transom')} ." in output
    packages = {path.name for path in repository.iterdir() if (path / "__init__.py").is_file()}
    ignored = (tmp_path / "image" / "Dockerfile.dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in (*packages, *copied)} <= set(ignored)


def test_the_cuda_lock_holds_what_tensorflow_asks_for(repository: Path) -> None:
    requirements = importlib.metadata.requires("tensorflow") or []
    names = {re.split(r"[<>=; ]", one)[0] for one in requirements if 'extra == "and-cuda"' in one}
    locked = set(re.findall(r"^([\w-]+)==", (repository / "requirements-cuda.lock").read_text(), re.MULTILINE))
    assert names
    assert names == locked


def test_a_runtime_parameter_keeps_its_default() -> None:
    parameter = data_types.RuntimeParameter(name="rows", ptype=str, default="data/*.csv")
    node = CsvExampleGen(input_base=parameter)
    made = compile_spec(
        Pipeline(pipeline_name="p", pipeline_root="/root", components=[node]),
        KubeflowConfig(),
        "image",
        target="kubeflow",
        onednn="auto",
        attempts=Path("/mnt/out/attempts"),
    )
    declared = made["root"]["inputDefinitions"]["parameters"]
    assert declared["rows"]["defaultValue"] == "data/*.csv"
    source = made["root"]["dag"]["tasks"]["CsvExampleGen"]["inputs"]["parameters"]["input_base"]
    assert source == {"componentInputParameter": "rows"}


def test_the_page_has_the_type_that_kubeflows_viewer_shows(compiled: Compiled) -> None:
    component = compiled.spec["components"][compiled.spec["root"]["dag"]["tasks"]["Report"]["componentRef"]["name"]]
    (output,) = component["outputDefinitions"]["artifacts"].values()
    assert output["artifactType"] == {"schemaTitle": "system.HTML", "schemaVersion": "0.0.1"}
    parameters = compiled.spec["root"]["dag"]["tasks"]["Report"]["inputs"]["parameters"]
    assert "reviews.csv" in str(parameters)
    assert "HF_TOKEN" not in str(parameters)
