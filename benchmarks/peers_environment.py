"""The environments of the programs that benchmarks compare with: they need other packages than the project."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def peers_environment(out: Path, lock: Path) -> str:
    """The interpreter of the environment of a lock, which is created if missing."""
    folder = (out / "peers").resolve()
    ready, python = folder / lock.name, str(folder / "bin" / "python")
    if not ready.exists() or ready.read_bytes() != lock.read_bytes():
        uv = str(Path(sys.executable).parent / "uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        install = [uv, "pip", "install", "--quiet", "--no-config", "--python", python, "--require-hashes", "--no-deps"]
        subprocess.run([*install, "-r", str(lock)], check=True, env={**os.environ, "VIRTUAL_ENV": str(folder)})
        ready.write_bytes(lock.read_bytes())
    return python
