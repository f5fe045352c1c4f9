"""The checked arguments of `transom deploy render`, and values derived from them."""

from __future__ import annotations

import hashlib
import ipaddress
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from serving.errors import DeployError
from serving.publish.version_folders import versions

Target = Literal["compose", "kubernetes", "kserve"]
IMAGE = "tensorflow/serving:2.20.0"

_LOCATIONS: dict[Target, tuple[str, ...]] = {
    "compose": ("--bucket",),
    "kubernetes": ("--bucket", "--pvc", "--host-path"),
    "kserve": ("--bucket", "--pvc"),
}
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Kubernetes allows 63 characters (RFC 1035); "-config", "-pods" and the hashes of pods are appended.
_LONGEST_NAME = 40
_REFERENCE = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_CPU = re.compile(r"(\d+(?:\.\d+)?)(m?)")
_MEMORY = re.compile(r"\d+(?:Ki|Mi|Gi|Ti)")
_IMAGE = re.compile(r"[a-z0-9][\w./:-]*(:[\w.-]+|@sha256:[0-9a-f]{64})")


@dataclass(frozen=True)
class DeployPlan:
    """Everything in the manifests.

    Attributes:
        target: what they are for.
        model: the served name; `resource`: the same as a valid Kubernetes name.
        push_dir: the absolute path of the versions on this machine.
        stable, canary: versions with these labels; if both are None, the newest version is served without labels.
        served: the loaded versions.
        bucket: "gs://…" ("s3://…" too for kserve), the base path of the versions; or
        pvc: a claim and a path within it, or
        host_path: a folder on every node; or none of them (compose: `push_dir`).
        replicas, max_replicas: numbers of pods.
        cpu, memory: per pod, in Kubernetes notation.
        batching: whether the server batches requests.
        bind: compose: the address of this machine for the ports.
        allow_namespaces: kubernetes: other namespaces that may connect.
    """

    target: Target
    model: str
    resource: str
    push_dir: Path
    replicas: int
    max_replicas: int
    stable: int | None = None
    canary: int | None = None
    image: str = IMAGE
    cpu: str = "1"
    memory: str = "2Gi"
    bucket: str | None = None
    pvc: tuple[str, str] | None = None
    host_path: str | None = None
    namespace: str | None = None
    service_account: str | None = None
    batching: bool = True
    bind: str = "127.0.0.1"
    allow_namespaces: Sequence[str] = ()

    @property
    def served(self) -> tuple[int, ...]:
        return tuple(sorted({version for version in (self.stable, self.canary) if version is not None}))

    @property
    def threads(self) -> int:
        """TensorFlow's threads: one per core of the pod; by default it would use all of the node's."""
        return max(1, math.ceil(cores(self.cpu)))

    @property
    def base_path(self) -> str:
        """The server's path to the versions."""
        if self.target == "kserve":
            return "/mnt/models"  # KServe's storage initializer copies them there
        return self.bucket or f"/models/{self.model}"


class Choices(TypedDict, total=False):
    """Arguments that `plan` passes to `DeployPlan` unchanged."""

    image: str
    cpu: str
    memory: str
    bucket: str | None
    host_path: str | None
    namespace: str | None
    service_account: str | None
    batching: bool
    bind: str
    allow_namespaces: Sequence[str]


def plan(
    target: Target,
    push_dir: Path,
    *,
    name: str | None = None,
    stable: int | None = None,
    canary: int | None = None,
    replicas: int | None = None,
    max_replicas: int | None = None,
    pvc: str | None = None,
    **choices: Unpack[Choices],
) -> DeployPlan:
    """Checks the arguments.

    Args:
        push_dir: the folder of numbered versions on this machine; the cluster's storage has the same.
        name: the served name. Default: the folder's.
        stable: the version to pin. Default: with a canary the newest older version, else none.
        replicas: default: 2, compose 1.
        max_replicas: the autoscaler's maximum; default: three times `replicas`, compose 1.
        pvc: "CLAIM" or "CLAIM:PATH".
        choices: see `DeployPlan`.

    Raises:
        DeployError: no version, a label for a missing version, an invalid name or quantity, or a model location that
            the target cannot read.
        PublishError: the folder cannot be read.
    """
    model = name or push_dir.resolve().name
    if replicas is None:
        replicas = 1 if target == "compose" else 2
    if max_replicas is None:
        max_replicas = replicas if target == "compose" else replicas * 3
    claim, _, path = (pvc or "").partition(":")
    checked = DeployPlan(
        target=target,
        model=model,
        resource=_resource(model),
        push_dir=push_dir.resolve(),
        replicas=replicas,
        max_replicas=max_replicas,
        pvc=None if pvc is None else (claim, path.strip("/")),
        **choices,
    )
    for check in (_check_sizes, _check_location, _check_address, _check_names):
        check(checked)
    stable, canary = _labels(push_dir, stable, canary)
    return replace(checked, stable=stable, canary=canary, bucket=checked.bucket and checked.bucket.rstrip("/"))


def _resource(model: str) -> str:
    """The model's name made valid for Kubernetes and compose: a letter first, no signs but "-", and short."""
    name = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")
    if not name[:1].isalpha():
        name = f"model-{name}".strip("-")
    if len(name) > _LONGEST_NAME:  # two names may differ only in the part that is cut off
        digest = hashlib.sha256(model.encode()).hexdigest()[:6]
        name = f"{name[: _LONGEST_NAME - len(digest) - 1].rstrip('-')}-{digest}"
    return name


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
                got="no older version to label stable",
                expected=f"at least two versions in {push_dir}, or --stable",
            )
        stable = older[-1]
    if stable == canary:
        raise DeployError(f"the canary {canary}", got="the stable version", expected="another version")
    return stable, canary


def _check_names(checked: DeployPlan) -> None:
    if not _MODEL_NAME.fullmatch(checked.model):
        raise DeployError(
            f"the model's name {checked.model!r}",
            got="a character that needs escaping in URLs, paths or manifests",
            expected="letters, digits, '.', '_' and '-', such as reviews",
            fix="choose another with --name",
        )
    others = [("namespace", checked.namespace), ("service account", checked.service_account)]
    others += [("namespace", name) for name in checked.allow_namespaces]
    for what, text in others:
        if text is not None:
            _check_reference(f"the {what} {text!r}", text)


def _check_reference(what: str, name: str) -> None:
    """Checks the name of an existing resource (RFC 1123 subdomain)."""
    if not _REFERENCE.fullmatch(name) or len(name) > 253:
        raise DeployError(what, got="an invalid name in Kubernetes", expected="a-z, 0-9, '-' and '.'")


def _check_sizes(checked: DeployPlan) -> None:
    replicas, most = checked.replicas, checked.max_replicas
    if checked.target == "compose" and replicas != 1:
        raise DeployError("--replicas", got=str(replicas), expected="1 for compose, which uses this machine's ports")
    if replicas < 1 or most < replicas:
        raise DeployError("the replicas", got=f"{replicas} to {most}", expected="at least 1, and no smaller maximum")
    if not _CPU.fullmatch(checked.cpu) or cores(checked.cpu) <= 0:
        raise DeployError("--cpu", got=checked.cpu, expected="cores, such as 2, 0.5 or 500m")
    if not _MEMORY.fullmatch(checked.memory) or not int(checked.memory[:-2]):
        raise DeployError("--memory", got=checked.memory, expected="such as 512Mi or 2Gi")
    if not _IMAGE.fullmatch(checked.image):
        raise DeployError("--image", got=checked.image, expected=f"an image with its tag or digest, such as {IMAGE}")


def _check_address(checked: DeployPlan) -> None:
    try:
        ipaddress.ip_address(checked.bind)
    except ValueError:
        raise DeployError(
            "--bind", got=checked.bind, expected="an IP address of this machine, or 0.0.0.0 for all"
        ) from None


def _check_location(checked: DeployPlan) -> None:
    locations = {"--bucket": checked.bucket, "--pvc": checked.pvc, "--host-path": checked.host_path}
    given = [name for name, value in locations.items() if value is not None]
    if len(given) > 1:
        raise DeployError("the model's location", got=" and ".join(given), expected="one of them")
    allowed = _LOCATIONS[checked.target]
    if (given and given[0] not in allowed) or (not given and checked.target != "compose"):
        raise DeployError(
            f"the model's location for {checked.target}",
            got=given[0] if given else "none, but pods cannot read this machine's folder",
            expected=f"one of {', '.join(allowed)}",
            fix="copy the push folder there, with all its versions",
        )
    if checked.pvc is not None:
        claim, path = checked.pvc
        _check_reference(f"the claim {claim!r}", claim)
        if ".." in path.split("/"):
            raise DeployError("--pvc", got=path, expected="CLAIM or CLAIM:PATH, a path within the claim")
    if checked.host_path is not None and not checked.host_path.startswith("/"):
        raise DeployError("--host-path", got=checked.host_path, expected="an absolute path")
    if checked.bucket is not None:
        _check_bucket(checked.target, checked.bucket)


def _check_bucket(target: Target, bucket: str) -> None:
    schemes = ("gs://", "s3://") if target == "kserve" else ("gs://",)
    if bucket.startswith(schemes):
        return
    fix = ""
    if bucket.startswith("s3://"):
        fix = "TF Serving's image reads no s3:// since 2.7 (tensorflow/serving#1963): mount it as a claim (--pvc), "
        fix += "or use --target kserve, which downloads it"
    raise DeployError("--bucket", got=bucket, expected=f"{' or '.join(schemes)}BUCKET/PATH", fix=fix)
