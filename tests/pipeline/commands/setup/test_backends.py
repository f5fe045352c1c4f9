"""`transom backends`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli import main

_LIGHT = """
import sys
from pipeline.cli import main
main(["backends"])
main(["backends", "remove", "jax"])
print([name for name in ("tensorflow", "keras", "numpy", "pydantic") if name in sys.modules])
"""


@pytest.fixture(autouse=True)
def backends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRANSOM_JAX_PYTHON", "TRANSOM_TORCH_PYTHON"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRANSOM_BACKENDS", str(tmp_path))


@pytest.mark.parametrize("arguments", [["--json"], ["list", "--json"], ["--json", "list"]])
def test_they_are_listed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backends", *arguments]) == 0
    found = [json.loads(line)["framework"] for line in capsys.readouterr().out.splitlines()]
    assert found == ["tensorflow", "jax", "torch"]


def test_without_a_command_they_are_listed_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backends"]) == main(["backends", "list"]) == 0
    printed = capsys.readouterr().out
    assert printed[: len(printed) // 2] == printed[len(printed) // 2 :]
    assert printed.startswith("framework   version")


@pytest.mark.parametrize("arguments", [["install"], ["install", "tensorflow"], ["remove", "jxa"], ["isntall"]])
def test_wrong_arguments_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["backends", *arguments])
    assert stop.value.code == 2
    assert "--help` explains more" in capsys.readouterr().err


@pytest.mark.parametrize("steps", ["4", "10001", "-1", "many"])
def test_too_few_or_too_many_steps_to_compare_are_refused(steps: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["compare-backends", "--steps", steps])
    assert stop.value.code == 2
    assert f"argument --steps: '{steps}': give a number from 5 to 10,000" in capsys.readouterr().err


def test_several_are_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [tmp_path / f"{framework}-0123456789ab-py3.11" for framework in ("jax", "torch")]
    for folder in folders:
        folder.mkdir()
    assert main(["backends", "remove", "jax", "torch", "--former"]) == 0
    assert capsys.readouterr().out == "".join(f"removed {folder}\n" for folder in folders)
    assert list(tmp_path.glob("*-*")) == []


def test_a_wrong_variable_ends_it_with_the_code_of_a_configuration(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRANSOM_JAX_PYTHON", "/nowhere/python")
    assert main(["backends"]) == 2
    assert capsys.readouterr().err.startswith("transom: TRANSOM_JAX_PYTHON\n  got: /nowhere/python, which is not there")


def test_no_framework_is_loaded(repository: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _LIGHT], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
