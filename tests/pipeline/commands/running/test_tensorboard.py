from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.errors import ConfigError, TransomError
from pipeline.commands.running.tensorboard import run_tensorboard


def test_without_curves_or_with_no_such_port_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(TransomError, match="a run that got as far as the Trainer"):
        run_tensorboard(tmp_path / "none", 6006, verbose=False)
    with pytest.raises(ConfigError, match="65535"):
        run_tensorboard(tmp_path, 70000, verbose=False)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return int(one.getsockname()[1])


def test_tensorboard_says_where_it_is_and_nothing_else(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "transom.yaml").write_text("data: {path: none.csv}\n")
    (tmp_path / "transom-out" / "artifacts" / "Trainer" / "model_run").mkdir(parents=True)
    port = _free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_CPP")}
    command = [sys.executable, "-m", "pipeline.cli", "tensorboard", str(tmp_path / "transom.yaml"), "--port", str(port)]
    process = subprocess.Popen(command, cwd=repository, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert f"http://localhost:{port}/" in first, first
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == ""
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
