"""Settings that cannot run on a cluster are refused by key before TensorFlow is loaded."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest

from models.errors import ConfigError, PresetError
from pipeline.config import ProjectConfig
from pipeline.kubeflow.cluster_paths import paths_on_cluster
from pipeline.kubeflow.target_checks import ARGUMENT_BYTES, SPEC_BYTES, check, check_size
from pipeline.steps import STEPS

VERSION = importlib.metadata.version("transom")
IMAGE = f"registry.example:5000/team/transom:{VERSION}"
CLUSTER = {
    "image": IMAGE,
    "base": "/mnt/data/reviews",
    "mounts": [{"claim": "data", "path": "/mnt/data"}],
}


def project(kubeflow: dict[str, Any], **others: Any) -> ProjectConfig:
    return ProjectConfig.model_validate({"data": {"path": "t.csv"}, **others, "kubeflow": {**CLUSTER, **kubeflow}})


def refused(config: ProjectConfig, target: str = "kubeflow", image: str | None = None) -> ConfigError:
    try:
        check(config, target, image, STEPS)
        paths_on_cluster(config, Path("/home/me/transom.yaml"), target)
    except ConfigError as error:
        return error
    pytest.fail("it was not refused")


def test_a_good_configuration_gets_the_containers_folders() -> None:
    config = project({})
    assert check(config, "kubeflow", None, STEPS) == IMAGE
    paths = paths_on_cluster(config, Path("/home/me/transom.yaml"), "kubeflow")
    assert paths.base == Path("/home/me")
    assert paths.container_base == Path("/mnt/data/reviews")
    assert paths.output == Path("/mnt/data/reviews/transom-out")
    assert paths.push == paths.output / "serving" / "transom"


@pytest.mark.parametrize(
    ("kubeflow", "others", "what"),
    [
        ({"base": None}, {}, "kubeflow.base"),
        ({"mounts": []}, {}, "data.path"),
        ({}, {"data": {"path": "/home/me/t.csv"}}, "data.path"),
        ({}, {"data": {"path": "../../other/t.csv"}}, "data.path"),
        ({}, {"data": {"train": "a.csv", "test": "s3://bucket/t.csv"}}, "data.test"),
        ({"output": "/mnt/database"}, {}, "kubeflow.output"),
        ({}, {"output": "/home/me/out"}, "output"),
        ({}, {"push": {"directory": "/srv/models"}}, "push.directory"),
        ({"image": None}, {}, "kubeflow.image"),
        ({"image": "transom"}, {}, "kubeflow.image"),
        ({"image": "registry.example:5000/transom"}, {}, "kubeflow.image"),
        ({"image": "transom:latest"}, {}, "kubeflow.image"),
        ({"image": f"transom:1{VERSION}"}, {}, "kubeflow.image"),
        ({"steps": {"Traner": {"cpu": 4}}}, {}, "kubeflow.steps.Traner"),
        ({"env": {"HF_TOKEN": "hf_123"}}, {}, "kubeflow.env.HF_TOKEN"),
        ({"env": {"A": "1"}, "secrets": [{"name": "hub", "env": {"token": "A"}}]}, {}, "kubeflow.secrets"),
        ({"secrets": [{"name": "a", "env": {"x": "A"}}, {"name": "b", "env": {"y": "A"}}]}, {}, "kubeflow.secrets"),
        ({"mounts": [*CLUSTER["mounts"], {"claim": "b", "path": "/mnt/data"}]}, {}, "kubeflow.mounts"),
    ],
)
def test_what_cannot_run_is_refused_with_its_key(kubeflow: dict[str, Any], others: dict[str, Any], what: str) -> None:
    error = refused(project(kubeflow, **others))
    assert error.what == what
    assert error.got
    assert error.expected


def test_a_local_preset_must_be_mounted_or_named(tmp_path: Path) -> None:
    (tmp_path / "minilm").mkdir()
    config = project({}, model={"type": "preset", "preset": str(tmp_path / "minilm")})
    with pytest.raises(ConfigError, match=r"model\.preset") as caught:
        paths_on_cluster(config, tmp_path / "transom.yaml", "kubeflow")
    assert "kubeflow.preset" in caught.value.fix
    named = project({"preset": "/opt/minilm"}, model={"type": "preset", "preset": str(tmp_path / "minilm")})
    assert paths_on_cluster(named, tmp_path / "transom.yaml", "kubeflow").preset == Path("/opt/minilm")
    gone = project({"preset": "/opt/minilm"}, model={"type": "preset", "preset": "hf://somebody/minilm"})
    with pytest.raises(ConfigError, match=r"kubeflow\.preset"):  # which would have no effect
        paths_on_cluster(gone, tmp_path / "transom.yaml", "kubeflow")


def test_the_steps_find_a_presets_name_in_the_image_and_a_wrong_name_is_refused_here(tmp_path: Path) -> None:
    file = tmp_path / "transom.yaml"
    named = project({}, model={"preset": "minilm-l6"})  # whether or not its package is installed on this machine
    assert paths_on_cluster(named, file, "kubeflow").preset is None
    useless = project({"preset": "/mnt/data/minilm"}, model={"preset": "minilm-l6"})
    with pytest.raises(ConfigError, match=r"kubeflow\.preset") as caught:
        paths_on_cluster(useless, file, "kubeflow")
    assert "the image has its package" in caught.value.expected
    with pytest.raises(PresetError, match="does not exist") as wrong:
        paths_on_cluster(project({}, model={"preset": "bert-base-uncased"}), file, "kubeflow")
    assert "hf://google-bert/bert-base-uncased" in wrong.value.fix


@pytest.mark.parametrize("image", [IMAGE, f"transom:v{VERSION}-gpu", f"transom@sha256:{'0' * 64}"])
def test_images_of_this_version_pass(image: str) -> None:
    assert check(project({}), "kubeflow", image, STEPS) == image


def test_vertex_has_no_kubernetes() -> None:
    assert refused(project({}), "vertex").what == "kubeflow.mounts"
    bare = {"mounts": [], "base": "/gcs/bucket/reviews"}
    assert refused(project(bare), "vertex").what == "kubeflow.root"
    good = project({**bare, "root": "gs://bucket/artifacts"})
    check(good, "vertex", None, STEPS)
    assert paths_on_cluster(good, Path("/home/me/transom.yaml"), "vertex").container_base == Path("/gcs/bucket/reviews")
    waits = project({**bare, "root": "gs://bucket/a", "steps": {"Trainer": {"timeout_minutes": 5}}})
    assert refused(waits, "vertex").what == "kubeflow.steps.Trainer.timeout_minutes"


def test_a_secret_that_no_step_sees_is_refused() -> None:
    with pytest.raises(ValueError, match="no step gets the secret"):
        project({"secrets": [{"name": "hub"}]})


def test_a_step_gets_what_it_does_not_say_from_the_default() -> None:
    kubeflow = project({"default": {"memory_gb": 4}, "steps": {"Trainer": {"cpu": 8}}}).kubeflow
    assert (kubeflow.step("Trainer").cpu, kubeflow.step("Trainer").memory_gb) == (8, 4)
    assert (kubeflow.step("Pusher").cpu, kubeflow.step("Pusher").retries) == (2, 0)


def test_a_spec_that_is_too_large_is_refused() -> None:
    spec = {"root": {"dag": {"tasks": {"Trainer": {"inputs": {"parameters": {"config": "x" * ARGUMENT_BYTES}}}}}}}
    with pytest.raises(ConfigError, match="the largest is config"):
        check_size(spec, "")
    with pytest.raises(ConfigError, match="the compiled spec"):
        check_size({"root": {"dag": {"tasks": {}}}}, "x" * (SPEC_BYTES + 1))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GOOGLE_APPLICATION_CREDENTIALS", "/etc/hub/key.json"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "keys/reader.json"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"),
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
        ("HF_TOKEN_PATH", "/etc/hub/token"),
        ("HF_TOKEN", "/etc/hub/token"),
        ("DB_PASSWORD", "/run/secrets/db_password"),
        ("AZURE_CREDENTIALS", "file:///etc/azure.json"),
        ("API_KEY", "C:\\\\keys\\\\api.txt"),
        ("VAULT_SECRET", "https://vault.example/v1/secret/data/hub"),
        ("TOKEN", "/var/run/secrets/kubernetes.io/serviceaccount/token"),
        ("SSL_PRIVATE_KEY", "./tls/server.key"),
        ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"),
        ("USE_TOKEN", "true"),
        ("MAX_TOKEN", "512"),
        ("PAD_TOKEN", "[PAD]"),
        ("EOS_TOKEN", "</s>"),
        ("HF_TOKEN", ""),
        ("HF_TOKEN", "$(FROM_SECRET)"),
        ("HOME", "/root"),
        ("TOKENIZERS_PARALLELISM", "false"),
        ("HF_HOME", "/mnt/data/hub"),
        ("MONKEY", "banana"),
        ("BYPASS", "cache"),
        ("PROXY", "http://proxy.example:3128"),
        ("PROXY", "http://me@proxy.example:3128"),
        ("SECRETARY", "Ms Moneypenny"),
        ("PWD", "/mnt/data"),
    ],
)
def test_where_a_credential_lies_is_none(name: str, value: str) -> None:
    check(project({"env": {name: value}}), "kubeflow", None, STEPS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HF_TOKEN", "hf_123"),
        ("hf_token", "abc"),
        ("KFP_API_TOKEN", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc"),
        ("DB_PASSWORD", "hunter2"),
        ("PGPASSWORD", "hunter2"),
        ("DB_PASS", "hunter2"),
        ("DB_PASSWORD", "1234"),
        ("DB_PASSWORD", "/etc!pass word"),
        ("SSH_PASSPHRASE", "correct horse battery staple"),
        ("MYSECRET", "x y"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        ("AWS_SECRET_ACCESS_KEY", "/JalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("OPENAI_APIKEY", "abcdef"),
        ("AZURE_STORAGE_ACCOUNT_KEY", "Zm9vYmFyCg=="),
        ("PRIVATE_KEY", "-----BEGIN RSA PRIVATE KEY-----\nMIIE"),
        ("GOOGLE_APPLICATION_CREDENTIALS", '{"type": "service_account", "private_key": "x"}'),
        ("DATABASE_URL", "postgres://me:hunter2@db.example/reviews"),
        ("WANDB_API_KEY", "0123456789abcdef0123456789abcdef01234567"),
        ("TOKEN", "12345678901234567890"),
        ("EXTRA", "--token hf_abcdefghijklmnopqrstuvwxyz"),
        ("GIT", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
        ("AWS", "AKIAIOSFODNN7EXAMPLE"),
        ("CONNECTION", "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=Zm9vYmFyYmF6cXV4Zm9vYmFy=="),
    ],
)
def test_a_credential_is_one_whatever_its_shape(name: str, value: str) -> None:
    assert refused(project({"env": {name: value}})).what == f"kubeflow.env.{name}"
