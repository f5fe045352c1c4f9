from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from models.errors import ConfigError, TrainingError
from models.training.elsewhere import environments
from models.training.elsewhere.environments import (
    FRAMEWORKS,
    READY,
    backends_folder,
    environment_folder,
    former_environments,
    interpreter,
    lock_file,
    locked_version,
    require_interpreter,
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of backends."""
    for name in ("TRANSOM_JAX_PYTHON", "TRANSOM_TORCH_PYTHON"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRANSOM_BACKENDS", str(tmp_path))
    return tmp_path


def make(folder: Path) -> Path:
    """A finished environment; its interpreter."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    (folder / READY).write_text("1.2\n")
    return folder / "bin" / "python"


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_lock_has_hashes_of_what_everyone_can_get_and_no_tensorflow(framework: str) -> None:
    text = lock_file(framework).read_text(encoding="utf-8")
    packages = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))
    assert packages["keras"] == "3.15.1"
    assert packages["keras-hub"] == "0.32.0"
    assert locked_version(framework) in text
    assert {"numpy", "pydantic", "safetensors", "sentencepiece", "scikit-learn", "tensorboard", framework} <= {
        *packages
    }
    assert not {"tensorflow", "tensorflow-text", "grpcio"} & {*packages}
    assert not [version for version in packages.values() if "+" in version], "a local version is not on PyPI"
    assert "://" not in text
    assert not re.search(r"^--|^[^#\s][^\\]*$", text, re.MULTILINE), "an option, or a package without a hash"


def test_the_folder_is_the_given_one_or_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert backends_folder() == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TRANSOM_BACKENDS", "~/some")
    assert backends_folder() == tmp_path / "some"
    monkeypatch.setenv("TRANSOM_BACKENDS", "")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert backends_folder() == tmp_path / ".cache" / "transom" / "backends"
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache")
    assert backends_folder() == Path("/var/cache/transom/backends")


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRANSOM_BACKENDS", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # what it does for a user id without an entry
    with pytest.raises(ConfigError, match="set TRANSOM_BACKENDS"):
        backends_folder()


def test_a_changed_lock_makes_another_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = environment_folder("jax")
    assert re.fullmatch(r"jax-[0-9a-f]{12}-py3\.11", before.name)
    assert make(before) == interpreter("jax")
    changed = tmp_path / "changed.lock"
    changed.write_text("jax==9.9 \\\n")
    monkeypatch.setattr(environments, "lock_file", lambda framework: changed)
    assert interpreter("jax") is None
    assert [each.folder for each in former_environments("jax")] == [before]
    assert (before / "bin" / "python").exists(), "a training may be using it"


def test_only_a_finished_environment_counts(tmp_path: Path) -> None:
    assert interpreter("jax") is None
    python = make(environment_folder("jax"))
    (environment_folder("jax") / READY).unlink()
    assert interpreter("jax") is None, "its installation was interrupted"
    (environment_folder("jax") / READY).touch()
    assert interpreter("jax") is None, "the marker was not written to its end"
    (environment_folder("jax") / READY).write_text("1.2\n")
    assert interpreter("jax") == require_interpreter("jax") == python
    python.unlink()
    python.symlink_to(tmp_path / "removed")
    assert interpreter("jax") is None, "the Python that it was made with is gone"


def test_a_given_interpreter_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(environment_folder("jax"))
    given = make(tmp_path / "own")
    monkeypatch.setenv("TRANSOM_JAX_PYTHON", str(given))
    assert interpreter("jax") == given, "not what the link leads to, which has other packages"
    assert interpreter("torch") is None


@pytest.mark.parametrize(("name", "got"), [("absent", "not there"), ("plain", "not executable"), (".", "executable")])
def test_a_wrong_interpreter_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, got: str
) -> None:
    (tmp_path / "plain").touch(mode=0o644)
    monkeypatch.setenv("TRANSOM_TORCH_PYTHON", str(tmp_path / name))
    with pytest.raises(ConfigError, match=rf"TRANSOM_TORCH_PYTHON\n  got: .*{got}"):
        interpreter("torch")


def test_without_one_the_command_and_its_cost_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as raised:
        require_interpreter("torch")
    assert raised.value.got == f"no environment with torch {locked_version('torch')} in {tmp_path}"
    assert raised.value.fix.startswith("`transom backends install torch` makes one (3 GB to download, 6 GB on disk")


def test_other_folders_are_none_of_ours(tmp_path: Path) -> None:
    for name in ("jax", "jax-mine", "jax-0123456789ab-py3.11", "torch-0123456789ab-py3.11", "jax-0123456789ab-py3.12"):
        (tmp_path / name).mkdir()
    found = [each.folder.name for each in former_environments("jax")]
    assert found == ["jax-0123456789ab-py3.11", "jax-0123456789ab-py3.12"]
