"""What `transom compile` can be told about the cluster. Imports no TensorFlow."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from models.settings import ConfigSection

# A folder of a container, without a slash at its end: a longer path is below it where it starts with this and a slash.
ContainerPath = Annotated[str, Field(pattern=r"^(/[^/\x00]+)+$")]
KubernetesName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]


class MountConfig(ConfigSection):
    """A persistent volume claim that every step sees. On Vertex AI, `/gcs/BUCKET` is there without one."""

    claim: KubernetesName
    """Name of the PersistentVolumeClaim, in the namespace of the runs."""
    path: ContainerPath
    """Where the containers see it."""


class SecretConfig(ConfigSection):
    """A Kubernetes secret that every step sees, as variables or as files."""

    name: KubernetesName
    """Name of the secret, in the namespace of the runs."""
    env: dict[str, str] = {}
    """Key of the secret to the variable that holds its value."""
    path: ContainerPath | None = None
    """Folder in which each key is a file."""

    @model_validator(mode="after")
    def _something(self) -> SecretConfig:
        if not self.env and self.path is None:
            raise ValueError(
                "give `env` (KEY: VARIABLE), `path` (a folder), or both: as it stands no step would see it"
            )
        return self


class TolerationConfig(ConfigSection):
    """A taint of nodes that a step tolerates, as Kubernetes writes it: spot pools and accelerator pools have one."""

    key: str | None = None
    """Key of the taint. Default: every taint (with `operator: Exists`)."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """`Exists`: any value."""
    value: str | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint. Default: every effect."""

    @model_validator(mode="after")
    def _as_kubernetes_reads_it(self) -> TolerationConfig:
        if self.operator == "Exists" and self.value is not None:
            raise ValueError("`operator: Exists` is any value: remove `value`, or write `operator: Equal`")
        if self.operator == "Equal" and self.key is None:
            raise ValueError("give the `key` of the taint, or `operator: Exists` for every taint")
        return self


class StepConfig(ConfigSection):
    """What a step's pod gets. Under `steps`, a key that is not given is that of `default`."""

    cpu: float | None = Field(None, ge=0.001)
    """Cores, requested and at most."""
    memory_gb: float | None = Field(None, ge=0.001)
    """Memory in gigabytes (10^9 bytes), requested and at most."""
    accelerator: str | None = Field(None, min_length=1)
    """Kubernetes' resource name (`nvidia.com/gpu`, `google.com/tpu`); on Vertex AI the type (`NVIDIA_TESLA_T4`)."""
    accelerators: int | None = Field(None, ge=1)
    """How many of them. Default: 1 where `accelerator` is given."""
    node_selector: dict[str, str] | None = None
    """Labels that the node must have: a pool of accelerators or of spot nodes."""
    tolerations: tuple[TolerationConfig, ...] | None = None
    """Taints of nodes that the step may run on."""
    retries: int | None = Field(None, ge=0, le=100)
    """How often a step that failed (or whose spot node was taken away) is started again."""
    timeout_minutes: int | None = Field(None, ge=1)
    """Minutes after which a pod of the step is ended. Kubeflow only."""
    shared_memory_gb: float | None = Field(None, ge=0.001)
    """Size of /dev/shm in gigabytes; it counts as memory. Kubeflow only."""


_BUILT_IN = StepConfig(cpu=2, memory_gb=8, retries=0)


class KubeflowConfig(ConfigSection):
    """Where and how `transom compile` lets the steps run. A local run reads none of it."""

    image: str | None = Field(None, min_length=1)
    """Image with this version of Transom, tagged with it (or with a digest); `--image` overrides it."""
    root: str | None = Field(None, pattern=r"^(minio|s3|gs)://[^/]+.*$")
    """Where artifacts are stored, a bucket's URI. Default: what the cluster is set to; Vertex AI requires one."""
    base: ContainerPath | None = None
    """Where the containers see the configuration file's folder, for the relative paths in `data` and `model`."""
    output: ContainerPath | None = None
    """Folder of checkpoints and pushed versions in the containers, on a mount. Default: `output` below `base`."""
    preset: ContainerPath | None = None
    """Where the containers see the folder that `model.preset` names, on a mount or in the image."""
    mounts: tuple[MountConfig, ...] = ()
    """Volumes of every step."""
    secrets: tuple[SecretConfig, ...] = ()
    """Secrets of every step."""
    image_pull_secret: KubernetesName | None = None
    """Secret with which the image is pulled."""
    env: dict[str, str] = {}
    """Variables of every step. No credentials: the compiled file shows them."""
    default: StepConfig = _BUILT_IN
    """What each step gets."""
    steps: dict[str, StepConfig] = {}
    """What single steps get, by name: `Trainer`."""

    def step(self, name: str) -> StepConfig:
        """What one step gets."""
        own = self.steps.get(name, StepConfig()).model_dump(exclude_none=True)
        built_in, default = (each.model_dump(exclude_none=True) for each in (_BUILT_IN, self.default))
        return StepConfig.model_validate({**built_in, **default, **own})
