"""What is to be deployed: the checked arguments of `transom deploy render`, and what follows from them."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from serving.errors import DeployError
from serving.versions import versions

Target = Literal["compose", "kubernetes", "kserve"]
TARGETS: tuple[Target, ...] = ("compose", "kubernetes", "kserve")
IMAGE = "tensorflow/serving:2.20.0"

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Kubernetes allows 63 characters (RFC 1035); "-config", "-pods" and the hashes of pods are appended.
_RESOURCE_NAME, _LONGEST_NAME = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?"), 40
_REFERENCE = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_CPU = re.compile(r"(\d+(?:\.\d+)?)(m?)")
_MEMORY = re.compile(r"\d+(?:Ki|Mi|Gi|Ti)")
_IMAGE = re.compile(r"[a-z0-9][\w./:-]*(:[\w.-]+|@sha256:[0-9a-f]{64})")


@dataclass(frozen=True)
class Plan:
    """Everything that the manifests say.

    Attributes:
        target: what they are for.
        model: the served name; `resource`: the same as Kubernetes allows it.
        push_dir: the folder of the versions on this machine, absolute.
        stable, canary: versions with these labels; both None: the newest version is served and there are no labels.
        served: the versions that are loaded.
        bucket: "gs://…" ("s3://…" too for kserve), the base path of the versions; or
        pvc: a claim and a path within it, or
        host_path: a folder of every node; or none of them (compose: `push_dir`).
        replicas, max_replicas: of the pods.
        cpu, memory: of one of them, as Kubernetes writes them.
        batching: whether the server joins requests into batches.
        bind: compose: the address of this machine that the ports are open on.
        allow_namespaces: kubernetes: other namespaces that may connect.
    """

    target: Target
    model: str
    resource: str
    push_dir: Path
    stable: int | None
    canary: int | None
    image: str
    replicas: int
    max_replicas: int
    cpu: str
    memory: str
    bucket: str | None
    pvc: tuple[str, str] | None
    host_path: str | None
    namespace: str | None
    service_account: str | None
    batching: bool
    bind: str
    allow_namespaces: tuple[str, ...]

    @property
    def served(self) -> tuple[int, ...]:
        return tuple(sorted({version for version in (self.stable, self.canary) if version is not None}))

    @property
    def threads(self) -> int:
        """Threads of TensorFlow: one for each core, of which it would see all of the node's."""
        return max(1, math.ceil(cores(self.cpu)))

    @property
    def base_path(self) -> str:
        """Where the server finds the versions."""
        if self.target == "kserve":
            return "/mnt/models"  # where KServe's storage initializer puts them
        return self.bucket or f"/models/{self.model}"


def plan(
    target: Target,
    push_dir: Path,
    *,
    name: str | None = None,
    stable: int | None = None,
    canary: int | None = None,
    image: str = IMAGE,
    replicas: int | None = None,
    max_replicas: int | None = None,
    cpu: str = "1",
    memory: str = "2Gi",
    bucket: str | None = None,
    pvc: str | None = None,
    host_path: str | None = None,
    namespace: str | None = None,
    service_account: str | None = None,
    batching: bool = True,
    bind: str = "127.0.0.1",
    allow_namespaces: Sequence[str] = (),
) -> Plan:
    """Checks what is asked for.

    Args:
        push_dir: the folder of numbered versions, as on this machine; what the cluster reads has the same.
        name: the served name. Default: the folder's.
        stable: the version to pin. Default with a canary: the newest version below it; without one: none is pinned.
        replicas: default: 2, compose 1.
        max_replicas: of the autoscaler; default: three times `replicas`.
        pvc: "CLAIM" or "CLAIM:PATH".

    Raises:
        DeployError: no version, a label for a version that is not there, an impossible name or quantity, or a place
            of the model that the target cannot read.
        PublishError: the folder cannot be read.
    """
    model = name or push_dir.resolve().name
    replicas = replicas if replicas is not None else 1 if target == "compose" else 2
    max_replicas = max_replicas if max_replicas is not None else replicas if target == "compose" else replicas * 3
    _check_sizes(target, replicas, max_replicas, cpu, memory, image)
    _check_place(target, bucket, pvc, host_path)
    _check_address(bind)
    resource = _resource_name(model)
    others = [("namespace", namespace), ("service account", service_account)]
    others += [("namespace", name) for name in allow_namespaces]
    for what, text in others:
        if text is not None:
            _check_reference(f"the {what} {text!r}", text)
    stable, canary = _labels(push_dir, stable, canary)
    claim, _, path = (pvc or "").partition(":")
    return Plan(
        target=target,
        model=model,
        resource=resource,
        push_dir=push_dir.resolve(),
        stable=stable,
        canary=canary,
        image=image,
        replicas=replicas,
        max_replicas=max_replicas,
        cpu=cpu,
        memory=memory,
        bucket=bucket.rstrip("/") if bucket else None,
        pvc=(claim, path.strip("/")) if pvc else None,
        host_path=host_path,
        namespace=namespace,
        service_account=service_account,
        batching=batching,
        bind=bind,
        allow_namespaces=tuple(allow_namespaces),
    )


def cores(cpu: str) -> float:
    """Cores of a quantity such as "2", "0.5" or "500m"."""
    number, milli = _CPU.fullmatch(cpu).groups()  # type: ignore[union-attr]  # checked by `plan`
    return float(number) / (1000 if milli else 1)


def _labels(push_dir: Path, stable: int | None, canary: int | None) -> tuple[int | None, int | None]:
    """The versions of both labels."""
    present = versions(push_dir)
    if not present:
        raise DeployError(
            f"the push folder {push_dir}",
            got="no such folder" if not push_dir.is_dir() else "no numbered folder in it",
            expected="a folder with a version of the model, such as reviews-out/serving/reviews",
            fix="`transom run` pushes one",
        )
    for label, version in (("stable", stable), ("canary", canary)):
        if version is not None and version not in present:
            raise DeployError(
                f"the label {label}",
                got=f"version {version}, which is not in {push_dir}",
                expected=f"one of {', '.join(map(str, present))}",
            )
    if canary is None:
        return stable, None
    if stable is None:
        older = [version for version in present if version < canary]
        if not older:
            raise DeployError(
                f"the canary {canary}",
                got="no older version to be the stable one",
                expected=f"at least two versions in {push_dir}, or --stable",
            )
        stable = older[-1]
    if stable == canary:
        raise DeployError(f"the canary {canary}", got="the stable version", expected="another version")
    return stable, canary


def _resource_name(model: str) -> str:
    if not _MODEL_NAME.fullmatch(model):
        raise DeployError(
            f"the model's name {model!r}",
            got="a character that URLs, paths or manifests would have to escape",
            expected="letters, digits, '.', '_' and '-', such as reviews",
            fix="give another with --name",
        )
    resource = re.sub(r"[._]", "-", model.lower())
    _check_name(f"the model's name {model!r}", resource)
    return resource


def _check_reference(what: str, name: str) -> None:
    """The name of something that is there already (RFC 1123 subdomain)."""
    if not _REFERENCE.fullmatch(name) or len(name) > 253:
        raise DeployError(what, got="what Kubernetes cannot have named so", expected="a-z, 0-9, '-' and '.'")


def _check_name(what: str, name: str) -> None:
    if not _RESOURCE_NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise DeployError(
            what,
            got="what Kubernetes cannot name a resource",
            expected=f"at most {_LONGEST_NAME} of a-z, 0-9 and '-', with a letter first and no '-' last",
            fix="give another",
        )


def _check_sizes(target: Target, replicas: int, max_replicas: int, cpu: str, memory: str, image: str) -> None:
    if target == "compose" and replicas != 1:
        raise DeployError("--replicas", got=str(replicas), expected="1 for compose: its ports are this machine's")
    if replicas < 1 or max_replicas < replicas:
        raise DeployError(
            "the replicas", got=f"{replicas} to {max_replicas}", expected="at least 1, and no fewer at most"
        )
    if not _CPU.fullmatch(cpu) or cores(cpu) <= 0:
        raise DeployError("--cpu", got=cpu, expected="cores, such as 2, 0.5 or 500m")
    if not _MEMORY.fullmatch(memory) or not int(memory[:-2]):
        raise DeployError("--memory", got=memory, expected="such as 512Mi or 2Gi")
    if not _IMAGE.fullmatch(image):
        raise DeployError("--image", got=image, expected=f"an image with its tag or digest, such as {IMAGE}")


def _check_address(bind: str) -> None:
    try:
        ipaddress.ip_address(bind)
    except ValueError:
        raise DeployError("--bind", got=bind, expected="an IP address of this machine, or 0.0.0.0 for all") from None


def _check_place(target: Target, bucket: str | None, pvc: str | None, host_path: str | None) -> None:
    given = [
        name for name, value in (("--bucket", bucket), ("--pvc", pvc), ("--host-path", host_path)) if value is not None
    ]
    if len(given) > 1:
        raise DeployError("the model's place", got=" and ".join(given), expected="one of them")
    readable = {"compose": ("--bucket",), "kubernetes": ("--bucket", "--pvc", "--host-path")}
    allowed = readable.get(target, ("--bucket", "--pvc"))
    if (given and given[0] not in allowed) or (not given and target != "compose"):
        raise DeployError(
            f"the model's place for {target}",
            got=given[0] if given else "none, and the pods cannot read this machine's folder",
            expected=f"one of {', '.join(allowed)}",
            fix="copy the push folder there, versions and all",
        )
    if pvc is not None:
        claim, _, path = pvc.partition(":")
        _check_reference(f"the claim {claim!r}", claim)
        if ".." in path.split("/"):
            raise DeployError("--pvc", got=pvc, expected="CLAIM or CLAIM:PATH, a path within the claim")
    if host_path is not None and not host_path.startswith("/"):
        raise DeployError("--host-path", got=host_path, expected="an absolute path")
    schemes = ("gs://", "s3://") if target == "kserve" else ("gs://",)
    if bucket is not None and not bucket.startswith(schemes):
        s3 = bucket.startswith("s3://")
        raise DeployError(
            "--bucket",
            got=bucket,
            expected=f"{' or '.join(schemes)}BUCKET/PATH",
            fix="TF Serving's image reads no s3:// since 2.7 (tensorflow/serving#1963): "
            "mount it as a claim (--pvc), or use --target kserve, which downloads it"
            if s3
            else "",
        )
