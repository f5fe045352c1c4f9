"""A canary's lifecycle: rendered, promoted, rolled back, withdrawn; in files and in a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fake_serving import FakeServing

from serving.deploy import model_config
from serving.deploy.plan import plan
from serving.deploy.release import release
from serving.deploy.render import write
from serving.errors import Code, DeployError, StatusError


@pytest.fixture
def fake() -> Iterator[FakeServing]:
    with FakeServing() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A rendered compose folder with version 1 stable and version 2 the canary."""
    for version in ("1", "2"):
        (tmp_path / "reviews" / version).mkdir(parents=True)
    write(plan("compose", tmp_path / "reviews", canary=2), tmp_path / "out")
    return tmp_path / "out"


def labels(text: str) -> tuple[dict[str, int], list[int]]:
    """Labels and loaded versions."""
    (model,) = model_config.parse(text, "").model_config_list.config
    return dict(model.version_labels), list(model.model_version_policy.specific.versions)


def test_a_canary_is_promoted_and_the_promotion_rolled_back(folder: Path) -> None:
    config = folder / "config" / "models.config"
    moved = release("promote", "reviews", folder)
    assert (moved.before, moved.after, moved.loaded) == (1, 2, (1, 2))
    assert labels(config.read_text()) == ({"stable": 2, "canary": 2}, [1, 2])
    with pytest.raises(DeployError, match="no canary next to the stable version 2"):
        release("promote", "reviews", config)
    assert release("rollback", "reviews", config).after == 1
    assert labels(config.read_text()) == ({"stable": 1, "canary": 1}, [1])
    with pytest.raises(DeployError, match="only version 1 is loaded"):
        release("rollback", "reviews", config)


def test_a_canary_that_fails_is_withdrawn(folder: Path) -> None:
    moved = release("rollback", "reviews", folder)
    assert (moved.before, moved.after, moved.loaded) == (1, 1, (1,))
    assert labels((folder / "config" / "models.config").read_text()) == ({"stable": 1, "canary": 1}, [1])


def test_the_configuration_in_a_config_map_is_changed_and_nothing_else(tmp_path: Path) -> None:
    for version in ("1", "2"):
        (tmp_path / "reviews" / version).mkdir(parents=True)
    write(plan("kubernetes", tmp_path / "reviews", canary=2, pvc="models"), tmp_path / "out")
    before = yaml.safe_load((tmp_path / "out" / "configmap.yaml").read_text())
    release("promote", "reviews", tmp_path / "out")
    after = yaml.safe_load((tmp_path / "out" / "configmap.yaml").read_text())
    assert labels(after["data"].pop("models.config"))[0] == {"stable": 2, "canary": 2}
    before["data"].pop("models.config")
    assert after == before
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")) == []


def test_other_models_in_the_file_are_unchanged(folder: Path) -> None:
    config = folder / "config" / "models.config"
    message = model_config.parse(config.read_text(), "")
    message.model_config_list.config.add(name="other", base_path="/models/other", model_platform="tensorflow")
    config.write_text(model_config.to_text(message))
    release("promote", "reviews", config)
    models = model_config.parse(config.read_text(), "").model_config_list.config
    assert [model.name for model in models] == ["reviews", "other"]
    with pytest.raises(DeployError, match="the newest version is served"):
        release("promote", "other", config)
    with pytest.raises(DeployError, match="one of reviews, other"):
        release("promote", "third", config)


def test_a_server_receives_the_whole_configuration(folder: Path, fake: FakeServing) -> None:
    release("promote", "reviews", folder, [fake.grpc_url])
    (config,) = fake.reloads
    assert labels(model_config.to_text(config)) == ({"stable": 2, "canary": 2}, [1, 2])


def test_the_file_is_unchanged_if_a_server_refuses(folder: Path, fake: FakeServing) -> None:
    before = (folder / "config" / "models.config").read_text()
    refusal = "Request to assign label to version 2 of model reviews, which is not currently available for inference"
    fake.failures = [StatusError(Code.FAILED_PRECONDITION, refusal)]
    with pytest.raises(DeployError, match="not currently available for inference"):
        release("promote", "reviews", folder, [fake.grpc_url])
    assert (folder / "config" / "models.config").read_text() == before
    with pytest.raises(DeployError, match="gRPC only"):
        release("promote", "reviews", folder, [fake.rest_url])
    assert [path.name for path in (folder / "config").iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("models.config", "model_config_list {", "ModelServerConfig in text format"),
        ("a.yaml", "data: {}", "no models.config in it"),
        ("a.yaml", "{", "no models.config in it"),
        ("a.yaml", "", "no models.config in it"),
    ],
)
def test_an_invalid_file_is_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DeployError, match=message):
        release("promote", "reviews", tmp_path / name)


def test_a_folder_that_was_not_rendered_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match=r"neither models\.config nor configmap\.yaml"):
        release("promote", "reviews", tmp_path)
    with pytest.raises(DeployError, match="No such file"):
        release("promote", "reviews", tmp_path / "none")
