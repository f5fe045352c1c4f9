from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import framework_environments
import pytest
import tiny_frameworks

from models.errors import BusyError, ConfigError, TrainingError
from models.training.elsewhere.environments import READY, environment, environment_folder, interpreter
from pipeline.backends.installation import install, remove

_CURVE = """
import importlib.util, pathlib, sys
import keras, keras_hub
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter
assert importlib.util.find_spec("tensorflow") is None
writer = EventFileWriter(sys.argv[1])
writer.add_event(Event(step=1, summary=Summary(value=[Summary.Value(tag="loss", simple_value=0.5)])))
writer.close()
print(keras.backend.backend(), len(list(pathlib.Path(sys.argv[1]).glob("events*"))))
"""


@pytest.fixture(autouse=True)
def backends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of backends."""
    monkeypatch.delenv("TRANSOM_JAX_PYTHON", raising=False)
    monkeypatch.setenv("TRANSOM_BACKENDS", str(tmp_path / "backends"))
    return tmp_path / "backends"


@pytest.fixture
def said() -> list[str]:
    return []


def _use(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("models.training.elsewhere.environments", "pipeline.backends.installation"):
        monkeypatch.setattr(f"{module}.lock_file", lambda framework: lock)


def _fake_uv(folder: Path, script: str) -> str:
    """Writes a program `uv`; a PATH with it."""
    folder.mkdir()
    (folder / "uv").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "uv").chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


@pytest.fixture(params=["uv", "pip"])
def installer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    if name == "pip":
        monkeypatch.setattr("pipeline.backends.installation.shutil.which", lambda *given, **options: None)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)  # a machine's own indexes
    return name


@pytest.mark.slow
def test_it_is_made_once_and_removed(
    installer: str, tmp_path: Path, backends: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    _use(tiny_frameworks.write_lock(tmp_path), monkeypatch)
    folder = environment_folder("jax")
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").write_text("what a killed installation left")
    install("jax", said.append)
    assert said[0].startswith(f"installing jax 1.2 into {folder} (")
    assert said[-1].startswith("jax 1.2 with Keras 3.15.1: installed in ")
    assert interpreter("jax") == folder / "bin" / "python"
    assert (folder / READY).read_text() == "1.2\n"

    with (backends / ".jax.busy").open("w") as held:  # nothing is locked or written for one that is there
        fcntl.flock(held, fcntl.LOCK_EX)
        install("jax", said.append)
    assert said[-1] == f"jax 1.2 is installed already, in {folder}"
    monkeypatch.setenv("TRANSOM_JAX_PYTHON", sys.executable)
    install("jax", said.append)
    assert said[-1] == f"training on jax does not use it while TRANSOM_JAX_PYTHON is set, to {sys.executable}"

    (module,) = folder.glob("lib/python*/site-packages/keras_hub.py")
    (gone,) = folder.glob("lib/python*/site-packages/keras/backend.py")
    gone.unlink()
    install("jax", said.append)
    assert gone.is_file(), "a damaged one is made anew"
    assert module.is_file()

    former = backends / "jax-0123456789ab-py3.11"
    former.mkdir()
    remove("jax", said.append, former_only=True)
    assert said[-1] == f"removed {former}"
    remove("jax", said.append, former_only=True)
    assert said[-1] == f"no former environment of jax in {backends}: nothing to remove"
    assert environment("jax").version
    remove("jax", said.append)
    assert said[-1] == f"removed {folder}"
    assert not folder.exists()
    remove("jax", said.append)
    assert said[-1] == f"no environment of jax in {backends}: nothing to remove"


@pytest.mark.slow
def test_a_changed_package_is_refused(
    installer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    _use(tiny_frameworks.write_lock(tmp_path, changed=True), monkeypatch)
    with pytest.raises(TrainingError) as raised:
        install("jax", said.append)
    assert raised.value.expected == "packages with the hashes of Transom's lock"
    assert "0" * 64 in raised.value.got
    assert not environment_folder("jax").exists()


def test_a_framework_that_does_not_work_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    _use(tiny_frameworks.write_lock(tmp_path, broken=True), monkeypatch)
    with pytest.raises(TrainingError, match="got: ModuleNotFoundError: No module named 'absent_library'"):
        install("jax", said.append)
    assert not environment_folder("jax").exists()


def test_without_a_network_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    lock = tiny_frameworks.write_lock(tmp_path)
    lock.write_text(lock.read_text().replace("--no-index", "--index-url http://127.0.0.1:9/simple"))
    _use(lock, monkeypatch)
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(TrainingError) as raised:
        install("jax", said.append)
    assert "http://127.0.0.1:9/simple/jax/" in raised.value.got
    assert raised.value.expected == "a package index that answers"


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    full = "echo 'error: Failed to install: jax'; echo '  cause: No space left on device (os error 28)'; exit 2"
    monkeypatch.setenv("PATH", _fake_uv(tmp_path / "programs", full))
    with pytest.raises(TrainingError) as raised:
        install("jax", said.append)
    assert raised.value.got == "error: Failed to install: jax cause: No space left on device (os error 28)"
    assert raised.value.fix == "make room, or set TRANSOM_BACKENDS to a folder on another disk"
    assert not environment_folder("jax").exists()


def test_a_folder_that_cannot_be_made_is_named(backends: Path, said: list[str]) -> None:
    backends.write_text("a file")
    with pytest.raises(ConfigError, match=rf"folder of backends {backends}\n  got: "):
        install("jax", said.append)


def test_one_installs_at_a_time(backends: Path, said: list[str]) -> None:
    backends.mkdir()
    (backends / "jax-0123456789ab-py3.11").mkdir()
    with (backends / ".jax.busy").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(BusyError, match=rf"jax in {backends}"):
            install("jax", said.append)
        with pytest.raises(BusyError, match=rf"jax in {backends}"):
            remove("jax", said.append)
    assert said == []


@pytest.fixture
def slow_installation(tmp_path: Path, repository: Path) -> Iterator[subprocess.Popen[str]]:
    """`transom backends install jax`, while uv works."""
    path = _fake_uv(tmp_path / "programs", f"echo Prepared; echo $$ > {tmp_path}/uv.pid; exec sleep 60")
    command = [sys.executable, "-m", "pipeline.cli", "backends", "install", "jax"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=repository, env={**os.environ, "PATH": path}, text=True, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("installing jax ")
        assert process.stdout.readline() == "  Prepared\n"
        _wait_until(lambda: (tmp_path / "uv.pid").is_file() and (tmp_path / "uv.pid").read_text().endswith("\n"))
        assert environment_folder("jax").is_dir()
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_nothing(slow_installation: subprocess.Popen[str], number: int, tmp_path: Path) -> None:
    slow_installation.send_signal(number)
    _, errors = slow_installation.communicate(timeout=60)  # usually below a second
    assert slow_installation.returncode == 130
    assert "transom: installing jax, after " in errors
    assert "next: `transom backends install jax` starts again" in errors
    assert not environment_folder("jax").exists()
    assert not _is_running(tmp_path / "uv.pid")


def test_a_killed_installation_does_not_count(slow_installation: subprocess.Popen[str], tmp_path: Path) -> None:
    slow_installation.kill()
    slow_installation.wait()
    assert environment_folder("jax").is_dir()
    assert interpreter("jax") is None
    _wait_until(lambda: not _is_running(tmp_path / "uv.pid"))


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60  # usually a few milliseconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _is_running(file: Path) -> bool:
    status = Path("/proc", file.read_text().strip(), "status")
    try:
        return "State:\tZ" not in status.read_text()
    except OSError:
        return False


@pytest.mark.slow
def test_jax_and_what_training_needs_work_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = framework_environments.python("jax")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "KERAS_BACKEND": "jax"}
    command = [python, "-I", "-c", _CURVE, tmp_path / "curves"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["jax", "1"]
