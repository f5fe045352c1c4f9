"""Fixtures for the tests of training: `tiny`, the module next to this file, and `run_tiny`, its use in a process."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

_TINY = Path(__file__).with_name("tiny.py")


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    specification = importlib.util.spec_from_file_location("tiny", _TINY)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def run_tiny(repository: Path) -> Callable[..., tuple[int, list[np.ndarray], dict[str, Any]]]:
    """Runs `tiny.run` in a separate process; returns its exit status, the weights and the report."""

    def run(weights: Path, **arguments: Any) -> tuple[int, list[np.ndarray], dict[str, Any]]:
        command = [sys.executable, str(_TINY), json.dumps({"weights": str(weights), **arguments})]
        environment = {**os.environ, "PYTHONPATH": str(repository), "TF_ENABLE_ONEDNN_OPTS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            assert done.returncode < 0, done.stderr[-3000:]
            return done.returncode, [], {}
        with np.load(weights) as arrays:
            report = json.loads(str(arrays["report"]))
            return 0, [arrays[str(i)] for i in range(len(arrays.files) - 1)], report

    return run
