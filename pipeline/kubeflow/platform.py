"""The Kubernetes part of a compiled pipeline: `platforms.kubernetes`, in the format of kfp-kubernetes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2 as pb

from pipeline.kubeflow.config import KubeflowConfig


def platform_document(config: KubeflowConfig, steps: Iterable[str]) -> dict[str, Any]:
    """The second YAML document: volumes, secrets, nodes and timeouts of each step, by executor label."""
    executors = {f"{name}_executor": json_format.MessageToDict(_executor(config, name)) for name in steps}
    settings = {label: executor for label, executor in executors.items() if executor}
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": settings}}}}


def _executor(config: KubeflowConfig, name: str) -> Any:
    step = config.step(name)
    executor = pb.KubernetesExecutorConfig()
    for mount in config.mounts:
        volume = executor.pvc_mount.add(mount_path=mount.path)
        volume.pvc_name_parameter.runtime_value.constant.string_value = mount.claim
        volume.constant = mount.claim  # read by backends before 2.5
    for secret in config.secrets:
        if secret.env:
            variables = executor.secret_as_env.add(secret_name=secret.name)
            variables.secret_name_parameter.runtime_value.constant.string_value = secret.name
            for key, variable in secret.env.items():
                variables.key_to_env.add(secret_key=key, env_var=variable)
        if secret.path is not None:
            files = executor.secret_as_volume.add(secret_name=secret.name, mount_path=secret.path)
            files.secret_name_parameter.runtime_value.constant.string_value = secret.name
    if config.image_pull_secret:
        pull = executor.image_pull_secret.add(secret_name=config.image_pull_secret)
        pull.secret_name_parameter.runtime_value.constant.string_value = config.image_pull_secret
    if step.node_selector:
        executor.node_selector.labels.update(step.node_selector)
    for one in step.tolerations or ():
        executor.tolerations.add(**one.model_dump(exclude_none=True))
    if step.timeout_minutes:
        executor.active_deadline_seconds = 60 * step.timeout_minutes
    if step.shared_memory_gb:
        size = f"{round(step.shared_memory_gb * 1000)}M"
        executor.empty_dir_mounts.add(volume_name="shm", mount_path="/dev/shm", medium="Memory", size_limit=size)
    return executor
