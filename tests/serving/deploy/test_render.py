"""Manifests against golden files, the official Kubernetes models, and the shell that runs a health check."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client as kubernetes_client

from serving.deploy import model_config
from serving.deploy.plan import DeployPlan, plan
from serving.deploy.render import render, write
from serving.deploy.server_files import files
from serving.errors import DeployError
from serving.wire import protos

GOLDEN = Path(__file__).parents[2] / "golden" / "deploy"
CASES: dict[str, dict[str, Any]] = {
    "compose": {"target": "compose"},
    "compose-canary": {"target": "compose", "canary": 20, "cpu": "500m", "memory": "512Mi", "batching": False},
    "kubernetes": {"target": "kubernetes", "pvc": "models"},
    "kubernetes-canary": {
        "target": "kubernetes", "canary": 20, "bucket": "gs://models/reviews/", "namespace": "text", "cpu": "2",
        "service_account": "reader", "allow_namespaces": ["web", "monitoring"], "replicas": 3,
    },
    "kubernetes-host-path": {"target": "kubernetes", "host_path": "/srv/models", "stable": 10},
    "kserve": {"target": "kserve", "bucket": "s3://models/reviews"},
    "kserve-canary": {"target": "kserve", "pvc": "models:prod/reviews", "canary": 20, "stable": 5},
}  # fmt: skip
KINDS = {
    "ConfigMap": "V1ConfigMap",
    "Deployment": "V1Deployment",
    "Service": "V1Service",
    "HorizontalPodAutoscaler": "V2HorizontalPodAutoscaler",
    "PodDisruptionBudget": "V1PodDisruptionBudget",
    "NetworkPolicy": "V1NetworkPolicy",
}
# python/kserve/docs/V1beta1ModelSpec.md and V1beta1PredictorSpec.md of kserve/kserve: fields that a container lacks,
# and the fields of a predictor that a pod lacks.
KSERVE_MODEL = {"modelFormat", "protocolVersion", "storageUri"}
KSERVE_PREDICTOR = {
    "minReplicas",
    "maxReplicas",
    "scaleMetric",
    "scaleTarget",
    "model",
    "volumes",
    "serviceAccountName",
}


@pytest.fixture
def push_dir(tmp_path: Path) -> Path:
    """A push folder with the versions 5, 10 and 20."""
    base = tmp_path / "serving" / "reviews"
    for version in (5, 10, 20):
        (base / str(version)).mkdir(parents=True)
        (base / str(version) / "saved_model.pb").touch()
    return base


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, push_dir: Path) -> tuple[str, DeployPlan]:
    """Name and plan of each case."""
    options = dict(CASES[request.param])
    return request.param, plan(options.pop("target"), push_dir, **options)


def only(target: str) -> pytest.MarkDecorator:
    """The cases whose name begins with this."""
    return pytest.mark.parametrize("case", [name for name in CASES if name.startswith(target)], indirect=True)


def resources(found: DeployPlan) -> list[Any]:
    return [
        document
        for name, text in render(found).items()
        if name.endswith(".yaml")
        for document in yaml.safe_load_all(text)
    ]


def test_the_files_are_the_golden_ones(case: tuple[str, DeployPlan], push_dir: Path) -> None:
    name, found = case
    made = {path: text.replace(str(push_dir), "/push/reviews") for path, text in render(found).items()}
    folder = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        for path, text in made.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    golden = {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file()
    }
    assert made == golden, "review the difference; UPDATE_GOLDEN=1 accepts it"


@only("k")
def test_the_official_kubernetes_models_accept_every_field(case: tuple[str, DeployPlan]) -> None:
    """They refuse a missing required field, and would drop an unknown one."""
    checked = [one for one in resources(case[1]) if one["kind"] in KINDS]
    assert len(checked) >= (7 if case[1].target == "kubernetes" else 1)
    for one in checked:
        check(one, KINDS[one["kind"]])


def test_characters_special_to_compose_are_escaped(tmp_path: Path) -> None:
    base = tmp_path / "$HOME" / "reviews"
    (base / "1").mkdir(parents=True)
    text = render(plan("compose", base, bind="::1"))["compose.yaml"]
    (service,) = yaml.safe_load(text)["services"].values()
    assert service["ports"] == ["[::1]:8500:8500", "[::1]:8501:8501"]
    assert service["volumes"][1]["source"] == str(base).replace("$", "$$")


def test_the_health_check_of_compose_uses_the_status_route(push_dir: Path) -> None:
    from fake_serving import FakeServing

    (text,) = [text for name, text in render(plan("compose", push_dir)).items() if name == "compose.yaml"]
    command, *arguments = yaml.safe_load(text)["services"]["reviews"]["healthcheck"]["test"][1:]
    with FakeServing() as fake:
        for model, code in (("reviews", 0), ("absent", 1)):
            shell = arguments[-1].replace("8501", str(fake.rest_port)).replace("/reviews", f"/{model}")
            assert subprocess.run([command, arguments[0], shell], timeout=10, check=False).returncode == code


@only("kserve")
def test_an_inference_service_is_a_container_a_pod_and_what_kserve_adds(case: tuple[str, DeployPlan]) -> None:
    (service,) = [one for one in resources(case[1]) if one["kind"] == "InferenceService"]
    predictor = service["spec"]["predictor"]
    assert set(predictor) <= KSERVE_PREDICTOR
    assert set(predictor["model"]) >= KSERVE_MODEL
    container = {key: value for key, value in predictor["model"].items() if key not in KSERVE_MODEL}
    check({"name": "kserve-container", **container}, "V1Container")
    for volume in predictor["volumes"]:
        check(volume, "V1Volume")


def check(document: Any, model: str) -> None:
    """Reads a document as one of Kubernetes' models and compares the result with it."""

    class Response:
        data = json.dumps(document)

    api = kubernetes_client.ApiClient()
    assert api.sanitize_for_serialization(api.deserialize(Response, model)) == document


@only("k")
def test_every_pod_is_locked_down_probed_and_limited(case: tuple[str, DeployPlan]) -> None:
    for one in resources(case[1]):
        if one["kind"] == "Deployment":
            (container,) = one["spec"]["template"]["spec"]["containers"]
            assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)
            assert one["spec"]["template"]["spec"]["automountServiceAccountToken"] is False
        elif one["kind"] == "InferenceService":
            container = one["spec"]["predictor"]["model"]
        else:
            continue
        security = container["securityContext"]
        assert security["runAsNonRoot"]
        assert security["readOnlyRootFilesystem"]
        assert not security["allowPrivilegeEscalation"]
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert container["readinessProbe"]["httpGet"]["path"] == "/v1/models/reviews"
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}


def test_the_configuration_is_the_official_message(case: tuple[str, DeployPlan]) -> None:
    config = model_config.parse(files(case[1])["models.config"], "models.config")
    (model,) = config.model_config_list.config
    assert model.name == "reviews"
    if case[1].canary:
        assert dict(model.version_labels) == {"stable": case[1].stable, "canary": 20}
        assert list(model.model_version_policy.specific.versions) == [case[1].stable, 20]
    elif case[1].stable:
        assert dict(model.version_labels) == {"stable": 10}
    else:
        assert model.model_version_policy.latest.num_versions == 1
    assert protos.ModelServerConfig.FromString(config.SerializeToString()) == config


def test_the_canary_is_compared_with_the_version_before_it(push_dir: Path) -> None:
    assert plan("compose", push_dir, canary=20).stable == 10
    assert plan("compose", push_dir, canary=10).stable == 5
    assert plan("compose", push_dir, canary=5, stable=20).served == (5, 20)


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("compose", {"canary": 7}, "version 7, which is not in"),
        ("compose", {"stable": 7}, "5, 10, 20"),
        ("compose", {"canary": 5}, "no older version"),
        ("compose", {"canary": 5, "stable": 5}, "another version"),
        ("compose", {"name": "my model"}, "--name"),
        ("compose", {"name": "a/b"}, "--name"),
        ("compose", {"replicas": 2}, "1 for compose"),
        ("compose", {"pvc": "models"}, "one of --bucket"),
        ("compose", {"cpu": "many"}, "500m"),
        ("compose", {"cpu": "0"}, "500m"),
        ("compose", {"memory": "2GB"}, "512Mi"),
        ("compose", {"image": "tensorflow/serving"}, "its tag or digest"),
        ("kubernetes", {}, "cannot read this machine's folder"),
        ("kubernetes", {"bucket": "gs://a", "pvc": "b"}, "--bucket and --pvc"),
        ("kubernetes", {"bucket": "s3://a"}, "tensorflow/serving#1963"),
        ("kubernetes", {"bucket": "a/b"}, "gs://BUCKET/PATH"),
        ("compose", {"bind": "localhost"}, "an IP address"),
        ("kubernetes", {"pvc": "My_Claim"}, "the claim 'My_Claim'"),
        ("kubernetes", {"pvc": "claim:../.."}, "within the claim"),
        ("kubernetes", {"pvc": "a", "allow_namespaces": ["b c"]}, "namespace 'b c'"),
        ("kubernetes", {"host_path": "models"}, "an absolute path"),
        ("kubernetes", {"pvc": "a", "namespace": "A"}, "namespace 'A'"),
        ("kubernetes", {"pvc": "a", "replicas": 3, "max_replicas": 2}, "3 to 2"),
        ("kserve", {"host_path": "/a"}, "--bucket, --pvc"),
    ],
)
def test_an_impossible_deployment_is_refused(
    target: Any, options: dict[str, Any], message: str, push_dir: Path
) -> None:
    with pytest.raises(DeployError, match=message):
        plan(target, push_dir, **options)


def test_a_folder_without_a_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="no numbered folder"):
        plan("compose", tmp_path)
    with pytest.raises(DeployError, match="no such folder"):
        plan("compose", tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("Movie_Reviews.v2", "movie-reviews-v2"),
        ("reviews", "reviews"),
        ("2024-reviews", "model-2024-reviews"),
        ("7", "model-7"),
        ("a__b", "a-b"),
        ("x" * 40, "x" * 40),
        ("x" * 63, "x" * 33 + "-75220b"),
        ("a-" * 31 + "b", "a-" * 17 + "7bdd15"),
    ],
)
def test_a_name_is_adapted_for_kubernetes_and_served_unchanged(push_dir: Path, name: str, spelled: str) -> None:
    found = plan("kubernetes", push_dir, name=name, pvc="models")
    assert (found.model, found.resource) == (name, spelled)
    assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", found.resource)
    assert len(found.resource) <= 40


def test_rendering_again_replaces_the_files_and_leaves_others(push_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(plan("compose", push_dir), out)
    (out / "mine.txt").touch()
    assert len(write(plan("compose", push_dir, canary=20), out)) == 4
    assert "canary" in (out / "config" / "models.config").read_text()
    assert (out / "mine.txt").exists()
    (tmp_path / "file").touch()
    with pytest.raises(DeployError, match="a writable folder"):
        write(plan("compose", push_dir), tmp_path / "file")


def test_deploying_imports_neither_tensorflow_nor_a_kubernetes_client(repository: Path) -> None:
    code = "import sys, serving.deploy.render, serving.deploy.release; print([name for name in " + (
        "('tensorflow', 'kubernetes', 'pydantic', 'numpy', 'grpc') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("target", ["compose", "kubernetes"])
def test_files_that_were_not_rendered_are_not_overwritten(push_dir: Path, tmp_path: Path, target: Any) -> None:
    made = plan(target, push_dir, **({"pvc": "models"} if target == "kubernetes" else {}))
    for name in render(made):
        out = tmp_path / name.replace("/", "-")
        (out / name).parent.mkdir(parents=True)
        (out / name).write_text("services: {mine: {image: nginx}}\n")
        with pytest.raises(DeployError, match="did not write"):
            write(made, out)
        assert [path.read_text() for path in out.rglob("*") if path.is_file()] == ["services: {mine: {image: nginx}}\n"]
        (out / name).unlink()
        write(made, out)
        (out / name).write_text((out / name).read_text() + "\n# changed by hand\n")
        write(made, out)
