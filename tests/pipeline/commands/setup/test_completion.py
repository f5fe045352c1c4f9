"""The scripts of `transom completion` in the shells that are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.commands.completion_scripts import SCRIPTS

Ask = Callable[[str], str]
LIMIT = 60.0  # seconds; a completion usually takes 0.2


@pytest.fixture
def place(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a run and some files, whose `transom` is this one."""
    program = tmp_path / "bin" / "transom"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{repository}" exec "{sys.executable}" -m pipeline.cli "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    for shell, script in SCRIPTS.items():
        (tmp_path / f"completion.{shell}").write_text(script)
    folder = tmp_path / "project"
    (folder / "x-out" / "runs" / "20260101-000000").mkdir(parents=True)
    (folder / "x-out" / "runs" / "20260101-000000" / "run.json").touch()
    (folder / "my reviews.csv").touch()
    return folder


def _bash(place: Path, line: str) -> str:
    words = line.split(" ")
    listed = " ".join(f"'{word}'" for word in words)
    code = f"source ../completion.bash; COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}; _transom"
    code += '; [ ${#COMPREPLY[@]} = 0 ] || printf "%s\\n" "${COMPREPLY[@]}"'
    command = ["bash", "--norc", "--noprofile", "-c", code]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=True, timeout=LIMIT).stdout


def _fish(place: Path, line: str) -> str:
    command = ["fish", "--no-config", "-c", f"source ../completion.fish; complete -C '{line}'"]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=True, timeout=LIMIT).stdout


def _zsh(place: Path, line: str) -> str:
    """What the script hands to zsh's own functions, which work only where a person types."""
    *words, typed = line.split(" ")
    listed = " ".join(f"'{word}'" for word in [*words, typed])
    code = "compdef() { }; _describe() { print -l -- ${(P)3} }; _files() { print -l -- $PREFIX*(N) }"
    code += "; source ../completion.zsh; "
    code += f"words=({listed}); CURRENT={len(words) + 1}; PREFIX='{typed}'; _transom"
    command = ["zsh", "-f", "-c", code]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, timeout=LIMIT).stdout


SHELLS = {"bash": _bash, "zsh": _zsh, "fish": _fish}


@pytest.fixture(params=list(SHELLS))
def ask(request: pytest.FixtureRequest, place: Path) -> Ask:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return lambda line: SHELLS[request.param](place, line)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("transom tens", ["tensorboard"]),
        ("transom run --from Train", ["Trainer"]),
        ("transom report ", ["20260101-000000", "last"]),
        ("transom edge inspect my", ["reviews.csv"]),
        ("transom run --wa", ["--wait"]),
    ],
)
def test_a_shell_completes(ask: Ask, line: str, expected: list[str]) -> None:
    shown = ask(line)
    assert all(word in shown for word in expected)
    assert "Traceback" not in shown


@pytest.mark.parametrize("shell", sorted(SCRIPTS))
def test_the_script_is_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert capsys.readouterr().out == SCRIPTS[shell]


def test_a_shell_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["completion"])
    assert stop.value.code == 2
    assert "bash, fish, zsh" in capsys.readouterr().err
