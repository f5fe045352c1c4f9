"""`kubeflow`: the YAML that `transom compile` writes, and the folders of its steps; local runs ignore it."""

from __future__ import annotations

import functools
import importlib.metadata
import json
from pathlib import Path
from typing import Any

from models_settings import preset
from setting_effects import Setting, setting

from pipeline import graph
from pipeline.kubeflow.cluster_paths import paths_on_cluster
from pipeline.kubeflow.platform import platform_document
from pipeline.kubeflow.spec import compile_spec
from pipeline.kubeflow.target_checks import check
from pipeline.steps import STEPS

IMAGE = f"registry.example/transom:{importlib.metadata.version('transom')}"
BASE: dict[str, Any] = {
    "kubeflow.image": IMAGE,
    "kubeflow.base": "/mnt/data",
    "kubeflow.mounts": [{"claim": "data", "path": "/mnt"}],
}


@functools.cache
def _compiled(config: str, file: str) -> dict[str, Any]:
    from pipeline.config import ProjectConfig

    settings = ProjectConfig.model_validate_json(config)
    image = check(settings, "kubeflow", None, STEPS)
    paths = paths_on_cluster(settings, Path(file), "kubeflow")
    pipeline = graph.build(settings, paths)
    spec = compile_spec(pipeline, settings.kubeflow, image, target="kubeflow", onednn="auto", attempts=paths.attempts)
    return {"spec": spec, "platform": platform_document(settings.kubeflow, STEPS)}


def compiled(here: Setting) -> dict[str, Any]:
    return _compiled(here.config.model_dump_json(), str(here.folder / "transom.yaml"))


def container(here: Setting, step: str = "Trainer") -> dict[str, Any]:
    found: dict[str, Any] = compiled(here)["spec"]["deploymentSpec"]["executors"][f"{step}_executor"]["container"]
    return found


def platform(here: Setting, step: str = "Trainer") -> dict[str, Any]:
    """The Kubernetes settings of a step."""
    executors = compiled(here)["platform"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    found: dict[str, Any] = executors.get(f"{step}_executor", {})
    return found


def without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in BASE.items() if key not in keys}


@setting("kubeflow.image", IMAGE, f"elsewhere.example/other:{IMAGE.rpartition(':')[2]}", base=without("kubeflow.image"))
def _(a: Setting, b: Setting) -> None:
    assert container(a)["image"] == IMAGE
    assert container(b)["image"].startswith("elsewhere.example/other:")


@setting("kubeflow.root", "s3://one/a", "s3://two/b", base=BASE)
def _(a: Setting, b: Setting) -> None:
    assert [compiled(here)["spec"]["defaultPipelineRoot"] for here in (a, b)] == ["s3://one/a", "s3://two/b"]


def places(here: Setting) -> Any:
    return paths_on_cluster(here.config, here.folder / "transom.yaml", "kubeflow")


@setting("kubeflow.base", "/mnt/one", "/mnt/two", base=without("kubeflow.base"))
def _(a: Setting, b: Setting) -> None:
    for here, base in ((a, "/mnt/one"), (b, "/mnt/two")):
        assert str(places(here).container_base) == base
        task = json.dumps(compiled(here)["spec"]["root"]["dag"]["tasks"]["ExampleGen"])
        assert base in task


@setting("kubeflow.output", None, "/mnt/out", base=BASE)
def _(a: Setting, b: Setting) -> None:
    assert [str(places(here).output) for here in (a, b)] == ["/mnt/data/transom-out", "/mnt/out"]
    assert '"/mnt/out/serving/transom"' in json.dumps(compiled(b)["spec"]["root"]["dag"]["tasks"]["Pusher"])


@setting("kubeflow.preset", "/mnt/one", "/mnt/two", base={**BASE, "model.preset": preset(), "tokenizer.max_length": 16})
def _(a: Setting, b: Setting) -> None:
    for here, folder in ((a, "/mnt/one"), (b, "/mnt/two")):
        assert folder in json.dumps(compiled(here)["spec"]["root"]["dag"]["tasks"]["Trainer"])


@setting(
    "kubeflow.mounts[].claim",
    [{"claim": "data", "path": "/mnt"}],
    [{"claim": "other", "path": "/mnt"}],
    at="kubeflow.mounts",
    base=without("kubeflow.mounts"),
)
def _(a: Setting, b: Setting) -> None:
    assert [platform(here)["pvcMount"][0]["constant"] for here in (a, b)] == ["data", "other"]


@setting(
    "kubeflow.mounts[].path",
    [{"claim": "data", "path": "/mnt"}],
    [{"claim": "data", "path": "/mnt/data"}],
    at="kubeflow.mounts",
    base=without("kubeflow.mounts"),
)
def _(a: Setting, b: Setting) -> None:
    assert [platform(here)["pvcMount"][0]["mountPath"] for here in (a, b)] == ["/mnt", "/mnt/data"]


def secret(**keys: Any) -> list[dict[str, Any]]:
    return [{"name": "hub", "env": {"token": "HF_TOKEN"}, **keys}]


@setting("kubeflow.secrets[].name", secret(), secret(name="other"), at="kubeflow.secrets", base=BASE)
def _(a: Setting, b: Setting) -> None:
    assert [platform(here)["secretAsEnv"][0]["secretName"] for here in (a, b)] == ["hub", "other"]


@setting("kubeflow.secrets[].env", secret(), secret(env={"key": "OTHER"}), at="kubeflow.secrets", base=BASE)
def _(a: Setting, b: Setting) -> None:
    variables = [platform(here)["secretAsEnv"][0]["keyToEnv"][0] for here in (a, b)]
    assert variables == [{"secretKey": "token", "envVar": "HF_TOKEN"}, {"secretKey": "key", "envVar": "OTHER"}]


@setting("kubeflow.secrets[].path", secret(), secret(path="/etc/hub"), at="kubeflow.secrets", base=BASE)
def _(a: Setting, b: Setting) -> None:
    assert "secretAsVolume" not in platform(a)
    assert platform(b)["secretAsVolume"][0]["mountPath"] == "/etc/hub"


@setting("kubeflow.image_pull_secret", None, "registry", base=BASE)
def _(a: Setting, b: Setting) -> None:
    assert "imagePullSecret" not in platform(a)
    assert platform(b)["imagePullSecret"][0]["secretName"] == "registry"


@setting("kubeflow.env", {"A": "1"}, {"A": "2"}, base=BASE)
def _(a: Setting, b: Setting) -> None:
    assert [container(here)["env"] for here in (a, b)] == [[{"name": "A", "value": value}] for value in "12"]


def retries(here: Setting) -> Any:
    return compiled(here)["spec"]["root"]["dag"]["tasks"]["Trainer"].get("retryPolicy", {}).get("maxRetryCount")


def resource(name: str) -> Any:
    return lambda here: container(here)["resources"][name]


def accelerator(name: str) -> Any:
    return lambda here: container(here)["resources"]["accelerator"][name]


_GPU = {"accelerator": "nvidia.com/gpu"}
_SPOT = [{"key": "spot", "operator": "Exists"}]
# Key, two values, other settings, where the difference shows, and the values there.
_STEP: tuple[tuple[str, Any, Any, dict[str, Any], Any, Any], ...] = (
    ("cpu", 1, 2.5, {}, resource("resourceCpuLimit"), ("1000m", "2500m")),
    ("memory_gb", 4, 6, {}, resource("resourceMemoryLimit"), ("4000M", "6000M")),
    ("accelerator", "nvidia.com/gpu", "google.com/tpu", {}, accelerator("type"), ("nvidia.com/gpu", "google.com/tpu")),
    ("accelerators", 1, 4, _GPU, accelerator("count"), ("1", "4")),
    (
        "node_selector",
        {"pool": "a"},
        {"pool": "b"},
        {},
        lambda here: platform(here)["nodeSelector"]["labels"],
        ({"pool": "a"}, {"pool": "b"}),
    ),
    ("retries", 1, 3, {}, retries, (1, 3)),
    ("timeout_minutes", 5, 10, {}, lambda here: platform(here)["activeDeadlineSeconds"], ("300", "600")),
    ("shared_memory_gb", 1, 2, {}, lambda here: platform(here)["emptyDirMounts"][0]["sizeLimit"], ("1000M", "2000M")),
)
_TOLERATION = (
    ("key", {"key": "spot", "value": "a"}, {"key": "other", "value": "a"}, ("spot", "other")),
    ("operator", {"key": "spot"}, {"key": "spot", "operator": "Exists"}, ("Equal", "Exists")),
    ("value", {"key": "spot", "value": "a"}, {"key": "spot", "value": "b"}, ("a", "b")),
    (
        "effect",
        {"key": "spot", "effect": "NoSchedule"},
        {"key": "spot", "effect": "NoExecute"},
        ("NoSchedule", "NoExecute"),
    ),
)

for _pattern, _at in (("default", "default"), ("steps.*", "steps.Trainer")):
    for _key, _first, _second, _more, _show, _shown in _STEP:

        @setting(
            f"kubeflow.{_pattern}.{_key}",
            {**_more, _key: _first},
            {**_more, _key: _second},
            at=f"kubeflow.{_at}",
            base=BASE,
        )
        def _(a: Setting, b: Setting, show: Any = _show, shown: Any = _shown) -> None:
            assert (show(a), show(b)) == shown

    for _key, _first, _second, _shown in _TOLERATION:

        @setting(
            f"kubeflow.{_pattern}.tolerations[].{_key}",
            [_first],
            [_second],
            at=f"kubeflow.{_at}.tolerations",
            base=BASE,
        )
        def _(a: Setting, b: Setting, key: str = _key, shown: Any = _shown) -> None:
            assert tuple(platform(here)["tolerations"][0].get(key) for here in (a, b)) == shown
