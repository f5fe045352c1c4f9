from __future__ import annotations

import json
import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from models.training.elsewhere.environments import READY, environment_folder, locked_version
from pipeline.backends.backend_list import print_backends


@pytest.fixture(autouse=True)
def backends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of backends, with an environment of JAX of 1 MB."""
    for name in ("TRANSOM_JAX_PYTHON", "TRANSOM_TORCH_PYTHON"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRANSOM_BACKENDS", str(tmp_path))
    folder = environment_folder("jax")
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    (folder / "weights").write_bytes(b"1" * 1_000_000)
    (folder / READY).write_text("1.2\n")
    return tmp_path


def test_a_line_for_each_framework(capsys: pytest.CaptureFixture[str]) -> None:
    print_backends(as_json=False)
    lines = [re.sub(r" {2,}", "|", line) for line in capsys.readouterr().out.splitlines()]
    cost = "(3 GB to download, 6 GB on disk, most of it NVIDIA's libraries)"
    assert lines == [
        "framework|version|state|size|where",
        f"tensorflow|{version('tensorflow')}|always there|{sys.prefix}",
        f"jax|1.2|installed|1 MB|{environment_folder('jax')}",
        f"torch|{locked_version('torch')}|not installed|to install: transom backends install torch|{cost}",
    ]


def test_a_damaged_environment_does_not_count_as_installed(
    backends: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    python = environment_folder("jax") / "bin" / "python"
    python.unlink()
    python.symlink_to("/bin/false")
    print_backends(as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split()[:3] == ["jax", "1.2", "damaged"]
    assert (
        lines[-1]
        == f"jax: {python} does not answer as Python; `transom backends install jax` makes its environment anew"
    )
    print_backends(as_json=True)
    jax = json.loads(capsys.readouterr().out.splitlines()[1])
    assert jax["installed"] is False
    assert jax["damage"] == f"{python} does not answer as Python"


def test_a_line_of_json_for_each_framework(backends: Path, capsys: pytest.CaptureFixture[str]) -> None:
    former = backends / "torch-0123456789ab-py3.11"
    former.mkdir()
    print_backends(as_json=True)
    tensorflow, jax, torch = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert tensorflow["installed"] is True
    assert "install" not in tensorflow
    assert jax["bytes"] > 1_000_000
    assert {name: jax[name] for name in jax if name != "bytes"} == {
        "framework": "jax",
        "installed": True,
        "version": "1.2",
        "state": "installed",
        "where": str(environment_folder("jax")),
        "install": "transom backends install jax",
        "former": [],
        "damage": None,
    }
    assert (torch["installed"], torch["where"], torch["former"]) == (False, None, [str(former)])


def test_former_environments_are_shown_with_the_way_to_remove_them(
    backends: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (backends / "jax-0123456789ab-py3.11").mkdir()
    print_backends(as_json=False)
    *_, line, folder = capsys.readouterr().out.splitlines()
    assert line == "jax for other versions of Transom, 0 MB: `transom backends remove jax --former`"
    assert folder == f"  {backends}/jax-0123456789ab-py3.11"


def test_a_given_interpreter_is_asked_for_its_version(
    backends: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = backends / "python"
    own.write_text("""#!/bin/sh\necho '[["torch", "2.15.0+cu130"]]'\n""")
    own.chmod(0o755)
    monkeypatch.setenv("TRANSOM_TORCH_PYTHON", str(own))
    monkeypatch.setenv("TRANSOM_JAX_PYTHON", "/bin/false")
    print_backends(as_json=True)
    _, jax, torch = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (torch["installed"], torch["version"], torch["where"]) == (True, "2.15.0+cu130", str(own))
    assert torch["state"] == "named by TRANSOM_TORCH_PYTHON"
    assert (jax["installed"], jax["version"], jax["where"]) == (False, None, "/bin/false")
    assert jax["state"] == "not in what TRANSOM_JAX_PYTHON names"
