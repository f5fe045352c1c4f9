"""Extracts the examples of docs/serving.md and runs them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs" / "serving.md"
BLOCKS = re.findall(r"^```(python|bash|js)\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
_PROGRAMS = {"bash": "bash", "js": "node", "curl": "curl", "grpcurl": "grpcurl"}


def missing_program(language: str, code: str) -> str | None:
    """A program that an example needs and this machine lacks, or None."""
    needed = {language, *code.split()} & set(_PROGRAMS)
    return next((_PROGRAMS[name] for name in sorted(needed) if shutil.which(_PROGRAMS[name]) is None), None)


def prepare(folder: Path, repository: Path) -> None:
    """Prepares a folder to run in: `transom` in bin/, and the protos at the documented path."""
    (folder / "serving").symlink_to(repository / "serving")
    (folder / "bin").mkdir()
    command = folder / "bin" / "transom"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m pipeline.cli "$@"\n')
    command.chmod(0o755)


def run(language: str, code: str, folder: Path, ports: tuple[int, int], repository: Path) -> str:
    """Runs an example against the server on the gRPC and REST `ports`; returns its output."""
    code = code.replace("localhost:8500", f"127.0.0.1:{ports[0]}").replace("localhost:8501", f"127.0.0.1:{ports[1]}")
    file = folder / {"python": "example.py", "bash": "example.sh", "js": "example.mjs"}[language]
    file.write_text(code)
    program = {"python": [sys.executable], "bash": ["bash", "-euo", "pipefail"], "js": ["node"]}[language]
    environment = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(repository), "HOME": str(folder)}
    done = subprocess.run(
        [*program, str(file)], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout
