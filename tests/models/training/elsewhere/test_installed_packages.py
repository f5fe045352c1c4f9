from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from models.errors import TrainingError
from models.training.elsewhere import installed_packages
from models.training.elsewhere.environments import (
    FRAMEWORKS,
    READY,
    environment_folder,
    lock_digest,
    lock_file,
)
from models.training.elsewhere.installed_packages import (
    check_backend,
    environment_key,
    package_versions,
    required_packages,
)

PINNED = {"keras": "3.15.1", "keras-hub": "0.32.0"}


@pytest.fixture(autouse=True)
def _nothing_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRANSOM_JAX_PYTHON", "TRANSOM_TORCH_PYTHON"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRANSOM_BACKENDS", str(tmp_path))


def given(folder: Path, monkeypatch: pytest.MonkeyPatch, packages: dict[str, str]) -> Path:
    """An interpreter for PyTorch that says it has these packages."""
    python = folder / "python"
    listed = [("python", f"{sys.version_info.major}.{sys.version_info.minor}"), *packages.items(), ("torch", "0")]
    python.write_text(f"#!/bin/sh\necho some greeting\necho '{json.dumps(listed)}'\n")
    python.chmod(0o755)
    monkeypatch.setenv("TRANSOM_TORCH_PYTHON", str(python))
    package_versions.cache_clear()
    return python


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_what_is_required_is_in_the_lock_and_keras_is_the_projects(framework: str, repository: Path) -> None:
    required, lock = {*required_packages(framework)} - {"python"}, lock_file(framework).read_text(encoding="utf-8")
    assert {framework, "keras", "keras-hub", "scikit-learn"} <= required
    assert not [name for name in required if f"\n{name}==" not in lock]
    project = (repository / "pyproject.toml").read_text(encoding="utf-8")
    asked = lock_file(framework).with_suffix(".in").read_text(encoding="utf-8").splitlines()
    keras = next(line for line in asked if line.startswith("keras=="))
    hub = next(line for line in asked if line.startswith("keras-hub=="))
    assert f'"{keras}"' in project
    assert f'"{hub.replace("keras-hub", "keras-nlp")}"' in project  # a name of the same package


def test_the_packages_of_an_interpreter() -> None:
    package_versions.cache_clear()
    assert package_versions(Path(sys.executable))["scikit-learn"]
    assert package_versions(Path("/bin/false")) == package_versions(Path("/absent")) == {}


def test_a_given_interpreter_that_lacks_packages_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = {**dict.fromkeys(required_packages("torch"), "1"), **PINNED, "Scikit_Learn": "1"}
    given(tmp_path, monkeypatch, packages)
    check_backend("torch")
    python = given(tmp_path, monkeypatch, {**packages, "h5py": "1", "other": "1"} | {"torch": "2"})
    check_backend("torch")
    given(tmp_path, monkeypatch, {**packages, "keras": "3.9.0"} | {"h5py": "1"})
    with pytest.raises(TrainingError, match=re.escape("lacks keras 3.15.1 (it has 3.9.0)")):
        check_backend("torch")
    for gone in ("h5py", "keras"):
        del packages[gone]
    given(tmp_path, monkeypatch, packages)
    with pytest.raises(TrainingError) as raised:
        check_backend("torch")
    assert raised.value.got == f"{python}, which lacks keras 3.15.1, h5py"
    assert "unset TRANSOM_TORCH_PYTHON and run `transom backends install torch`" in raised.value.fix
    monkeypatch.setenv("TRANSOM_TORCH_PYTHON", "/bin/false")
    with pytest.raises(TrainingError, match="does not answer as Python"):
        check_backend("torch")
    with pytest.raises(TrainingError, match="transom backends install jax"):
        check_backend("jax")


def installed(python: str) -> Path:
    """An environment of PyTorch with this interpreter, a module and a library."""
    folder = environment_folder("torch")
    packages = folder / "lib" / "python3.11" / "site-packages"
    (packages / "torch-2.dist-info").mkdir(parents=True)
    (packages / "torch").mkdir()
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(python)
    lines = []
    for name in ("torch/__init__.py", "torch/libtorch.so.2", "torch/notes.txt"):
        (packages / name).write_text("12345")
        lines.append(f"{name},sha256=0,5")
    (packages / "torch-2.dist-info" / "RECORD").write_text("\n".join([*lines, "torch-2.dist-info/RECORD,,", ""]))
    (folder / READY).write_text("2\n")
    package_versions.cache_clear()
    return packages / "torch"


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        (["torch/__init__.py"], "torch/__init__.py, missing or not as long"),
        (["torch/libtorch.so.2"], "torch/libtorch.so.2, missing or not as long"),
        (["torch/__init__.py", "torch/libtorch.so.2"], "torch/__init__.py and 1 more, missing or not as long"),
    ],
)
@pytest.mark.parametrize("cut_off", [False, True])
def test_a_damaged_environment_is_refused(damaged: list[str], words: str, cut_off: bool) -> None:
    packages = installed(sys.executable).parent
    (packages / "torch" / "notes.txt").unlink()
    check_backend("torch")
    for name in damaged:
        if cut_off:
            (packages / name).write_text("1")
        else:
            (packages / name).unlink()
    with pytest.raises(TrainingError, match=words) as raised:
        check_backend("torch")
    assert raised.value.fix == "`transom backends install torch` makes it anew"


@pytest.mark.parametrize(
    "content", [None, b"", b"torch/__init__.py,sha256=0,5\ntorch/libtor", b"a,b,c\xff\n", b"a.py,,x\n"]
)
def test_an_environment_whose_list_of_files_is_damaged_is_refused(content: bytes | None) -> None:
    record = installed(sys.executable).parent / "torch-2.dist-info" / "RECORD"
    record.unlink()
    if content is not None:
        record.write_bytes(content)
    with pytest.raises(TrainingError, match=r"a damaged environment: .*/RECORD, missing or not as long"):
        check_backend("torch")


def test_an_environment_whose_interpreter_does_not_run_is_refused() -> None:
    installed("/bin/false")
    with pytest.raises(TrainingError, match=r"a damaged environment: .*bin/python does not answer as Python"):
        check_backend("torch")


def test_an_upgraded_interpreter_trains_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment_key("torch") == lock_digest("torch")
    packages = dict.fromkeys(required_packages("torch"), "1")
    python = given(tmp_path, monkeypatch, packages)
    before = environment_key("torch")
    assert re.fullmatch(rf"{python} [0-9a-f]{{64}}", before)
    given(tmp_path, monkeypatch, dict(reversed(packages.items())))
    assert environment_key("torch") == before
    for changed in ("torch", "numpy"):
        given(tmp_path, monkeypatch, packages | {changed: "2"})
        assert environment_key("torch") != before


def test_it_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = given(tmp_path, monkeypatch, {"torch": "1"})
    assert package_versions(python)["torch"] == "1", "the first one is imported"
    monkeypatch.setattr(installed_packages.subprocess, "run", None)
    assert package_versions(python)["torch"] == "1"
