"""The settings of `transom compile` for the cluster. Imports no TensorFlow."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from models.settings import ConfigSection

# A folder in a container, without a trailing slash: paths below it start with this and a slash.
ContainerPath = Annotated[str, Field(pattern=r"^(/[^/\x00]+)+$")]
KubernetesName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]


class MountConfig(ConfigSection):
    """A persistent volume claim that is mounted in every step. On Vertex AI, `/gcs/BUCKET` needs none."""

    claim: KubernetesName
    """Name of the PersistentVolumeClaim, in the namespace of the runs."""
    path: ContainerPath
    """Path of the volume in the containers."""


class SecretConfig(ConfigSection):
    """A Kubernetes secret that every step gets, as variables or as files."""

    name: KubernetesName
    """Name of the secret, in the namespace of the runs."""
    env: dict[str, str] = {}
    """Maps each key of the secret to the variable that gets its value."""
    path: ContainerPath | None = None
    """Folder in which each key of the secret is a file."""

    @model_validator(mode="after")
    def _has_env_or_path(self) -> SecretConfig:
        if not self.env and self.path is None:
            raise ValueError(
                "give `env` (KEY: VARIABLE), `path` (a folder), or both: otherwise no step gets the secret"
            )
        return self


class TolerationConfig(ConfigSection):
    """A node taint that a step tolerates, as in Kubernetes: spot pools and accelerator pools have one."""

    key: str | None = None
    """Key of the taint. Default: every taint (with `operator: Exists`)."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """`Exists` matches any value, `Equal` only `value`."""
    value: str | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint. Default: every effect."""

    @model_validator(mode="after")
    def _is_valid_for_kubernetes(self) -> TolerationConfig:
        if self.operator == "Exists" and self.value is not None:
            raise ValueError("`operator: Exists` matches any value: remove `value`, or write `operator: Equal`")
        if self.operator == "Equal" and self.key is None:
            raise ValueError("give the `key` of the taint, or `operator: Exists` for every taint")
        return self


class StepConfig(ConfigSection):
    """Resources of a step's pod. Keys missing under `steps` come from `default`."""

    cpu: float | None = Field(None, ge=0.001)
    """Cores: both the request and the limit."""
    memory_gb: float | None = Field(None, ge=0.001)
    """Memory in gigabytes (10^9 bytes): both the request and the limit."""
    accelerator: str | None = Field(None, min_length=1)
    """Kubernetes' resource name (`nvidia.com/gpu`, `google.com/tpu`); on Vertex AI the type (`NVIDIA_TESLA_T4`)."""
    accelerators: int | None = Field(None, ge=1)
    """Number of accelerators. Default: 1 if `accelerator` is given."""
    node_selector: dict[str, str] | None = None
    """Labels that the node must have: a pool of accelerators or of spot nodes."""
    tolerations: tuple[TolerationConfig, ...] | None = None
    """Taints of nodes that the step may run on."""
    retries: int | None = Field(None, ge=0, le=100)
    """How many times a step is restarted after it failed or lost its spot node."""
    timeout_minutes: int | None = Field(None, ge=1)
    """Minutes after which a pod of the step is stopped. Kubeflow only."""
    shared_memory_gb: float | None = Field(None, ge=0.001)
    """Size of /dev/shm in gigabytes; it counts as memory. Kubeflow only."""


_BUILT_IN = StepConfig(cpu=2, memory_gb=8, retries=0)


class KubeflowConfig(ConfigSection):
    """Where and how the steps of a compiled pipeline run. A local run ignores this group."""

    image: str | None = Field(None, min_length=1)
    """Image with this version of Transom, tagged with the version or given by digest; `--image` overrides it."""
    root: str | None = Field(None, pattern=r"^(minio|s3|gs)://[^/]+.*$")
    """Bucket URI for the artifacts. Default: the cluster's setting; required for Vertex AI."""
    base: ContainerPath | None = None
    """Path of the configuration file's folder in the containers, for the relative paths in `data` and `model`."""
    output: ContainerPath | None = None
    """Folder of checkpoints and pushed versions in the containers, on a mount. Default: `output` below `base`."""
    preset: ContainerPath | None = None
    """Path in the containers of the folder that `model.preset` names, on a mount or in the image."""
    mounts: tuple[MountConfig, ...] = ()
    """Volumes that every step mounts."""
    secrets: tuple[SecretConfig, ...] = ()
    """Secrets that every step gets."""
    image_pull_secret: KubernetesName | None = None
    """Secret for pulling the image."""
    env: dict[str, str] = {}
    """Environment variables of every step. No credentials: the compiled file shows them."""
    default: StepConfig = _BUILT_IN
    """Resources of each step."""
    steps: dict[str, StepConfig] = {}
    """Resources of single steps, by name: `Trainer`."""

    def step(self, name: str) -> StepConfig:
        own = self.steps.get(name, StepConfig()).model_dump(exclude_none=True)
        built_in, default = (each.model_dump(exclude_none=True) for each in (_BUILT_IN, self.default))
        return StepConfig.model_validate({**built_in, **default, **own})
