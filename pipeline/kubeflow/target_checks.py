"""Checks whether a configuration fits its target: before TensorFlow is loaded, and on the compiled spec."""

from __future__ import annotations

import difflib
import importlib.metadata
import re
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

from components.evaluation.thresholds import check_metrics
from models.errors import ConfigError
from pipeline.config import ProjectConfig
from pipeline.kubeflow.credentials import is_credential
from tflite.host.json_text import to_json

IMAGE = "kubeflow.image"
"""The key that `--image` of `transom compile` may replace."""
# Linux's limit of one argument (MAX_ARG_STRLEN), and a size of spec that fits a request to a Kubernetes API.
ARGUMENT_BYTES, SPEC_BYTES = 128 * 2**10, 2**20


def check(config: ProjectConfig, target: str, image: str | None, steps: Collection[str]) -> str:
    """Refuses settings that cannot run on the target; returns the image.

    Raises:
        ConfigError: with the wrong key.
    """
    for problem in problems(config, target, image, steps):
        raise problem
    return image or config.kubeflow.image or ""


def problems(config: ProjectConfig, target: str, image: str | None, steps: Collection[str]) -> Iterator[ConfigError]:
    """Every setting that cannot run on the target, as the error that `check` raises for it."""
    try:
        check_metrics(config.task.type, config.evaluation, config.task.labels)
    except ConfigError as error:
        yield error
    yield from _unknown_steps(config, steps)
    yield from _credentials(config)
    yield from _mount_paths(config)
    yield from _variables(config)
    if target == "vertex":
        yield from _not_on_vertex(config)
    yield from _image(image, "--image") if image else _image(config.kubeflow.image, IMAGE)


def _unknown_steps(config: ProjectConfig, steps: Collection[str]) -> Iterator[ConfigError]:
    for name in config.kubeflow.steps:
        if name not in steps:
            close = difflib.get_close_matches(name, steps, 1)
            fix = f"did you mean {close[0]}?" if close else "remove it"
            yield ConfigError(f"kubeflow.steps.{name}", got="no such step", expected=", ".join(steps), fix=fix)


def _credentials(config: ProjectConfig) -> Iterator[ConfigError]:
    for name, value in config.kubeflow.env.items():
        if is_credential(name, value):
            yield ConfigError(
                f"kubeflow.env.{name}",
                got="what looks like a credential in clear text",
                expected="a reference to a secret",
                fix=f"create a Kubernetes secret and name it: kubeflow.secrets: [{{name: …, env: {{KEY: {name}}}}}]",
            )


def _mount_paths(config: ProjectConfig) -> Iterator[ConfigError]:
    paths = [mount.path for mount in config.kubeflow.mounts]
    paths += [secret.path for secret in config.kubeflow.secrets if secret.path]
    for path, count in Counter(paths).items():
        if count > 1:
            yield ConfigError("kubeflow.mounts", got=f"{path} twice", expected="a different path for each volume")


def _variables(config: ProjectConfig) -> Iterator[ConfigError]:
    """Variables from two sources: which one wins depends on the cluster's version."""
    kubeflow = config.kubeflow
    sources: dict[str, str] = dict.fromkeys(kubeflow.env, "kubeflow.env")
    for secret in kubeflow.secrets:
        for name in secret.env.values():
            if name in sources:
                yield ConfigError(
                    "kubeflow.secrets",
                    got=f"{name} from {secret.name} and from {sources[name]}",
                    expected="one source of each variable",
                )
            sources[name] = secret.name


def _not_on_vertex(config: ProjectConfig) -> Iterator[ConfigError]:
    kubeflow = config.kubeflow
    kubernetes_only = {
        "mounts": "it has none: data are below /gcs/BUCKET",
        "secrets": "it has none: let the run's service account read Secret Manager",
        "image_pull_secret": "it has none: the run's service account pulls the image",
    }
    for key, fix in kubernetes_only.items():
        if getattr(kubeflow, key):
            yield ConfigError(f"kubeflow.{key}", got="given", expected="nothing for --target vertex", fix=fix)
    for place, step in (
        ("default", kubeflow.default),
        *((f"steps.{name}", one) for name, one in kubeflow.steps.items()),
    ):
        for key in ("node_selector", "tolerations", "timeout_minutes", "shared_memory_gb"):
            if getattr(step, key) is not None:
                yield ConfigError(f"kubeflow.{place}.{key}", got="given", expected="nothing for --target vertex")
    if kubeflow.root is None or not kubeflow.root.startswith("gs://"):
        yield ConfigError("kubeflow.root", got=kubeflow.root or "nothing", expected="gs://BUCKET/FOLDER for Vertex AI")


def _image(image: str | None, key: str) -> Iterator[ConfigError]:
    version = importlib.metadata.version("transom")
    fix = f"`transom compile --dockerfile DIR` writes the Dockerfile; build it with a tag such as {version}"
    if not image:
        yield ConfigError(key, got="nothing", expected="the image of the steps", fix=fix)
        return
    tag = re.fullmatch(r"[^\s@]+/?[^\s/@:]+:(?P<tag>[\w][\w.-]{0,127})(@sha256:[0-9a-f]{64})?", image)
    if re.fullmatch(r"[^\s@]+@sha256:[0-9a-f]{64}", image):
        return
    if tag is None or not re.search(rf"(^|[^0-9.]){re.escape(version)}($|[^0-9.])", tag["tag"].removeprefix("v")):
        yield ConfigError(key, got=image, expected=f"a tag with this version, {version}, or a digest", fix=fix)


def check_size(spec: dict[str, Any], text: str) -> None:
    """Checks the sizes that Linux and Kubernetes limit.

    Raises:
        ConfigError: the spec, or the parameters of one step, are too large.
    """
    for name, task in spec["root"]["dag"]["tasks"].items():
        size = len(to_json(task.get("inputs", {}), ascii=True).encode())
        if size > ARGUMENT_BYTES:
            parameters = task["inputs"]["parameters"]
            largest = max(parameters, key=lambda key: len(to_json(parameters[key], ascii=True)))
            raise ConfigError(
                f"the spec's step {name}",
                got=f"{size:,} bytes of parameters, the largest is {largest}",
                expected=f"at most {ARGUMENT_BYTES:,}, Linux's limit of one argument",
                fix="shorten the lists in the configuration: data files as a glob, fewer labels, a smaller schema",
            )
    if len(text.encode()) > SPEC_BYTES:
        raise ConfigError(
            "the compiled spec",
            got=f"{len(text.encode()):,} bytes",
            expected=f"at most {SPEC_BYTES:,}: Kubernetes refuses larger objects",
            fix="shorten the lists in the configuration: data files as a glob, fewer labels, a smaller schema",
        )
