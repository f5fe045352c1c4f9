"""`train`: the framework, its devices and its kernels."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from setting_effects import Setting, scratch, setting

from models.errors import TrainingError
from models.training.elsewhere.environments import FOLDER_VARIABLE, python_variable, require_interpreter
from models.training.frameworks.devices import choose_devices


@setting("train.backend", "jax", "torch", steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(scratch()))  # no backend is there
        for here, needed in ((a, "jax"), (b, "torch")):
            patch.delenv(python_variable(needed), raising=False)
            with pytest.raises(TrainingError, match=f"transom backends install {needed}"):
                require_interpreter(here.models.train.backend)


@setting("train.strategy", "none", "tpu", steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert choose_devices(a.models.train).strategy_name == "none"
    with pytest.raises(TrainingError, match=r"train\.strategy is tpu"):
        choose_devices(b.models.train)


@setting("train.devices", 1, 99, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert len(choose_devices(a.models.train).names) == 1
    with pytest.raises(TrainingError, match=r"train\.devices is 99"):  # TensorFlow has begun, with fewer
        choose_devices(b.models.train)


@setting("train.shards", 1, 2, base={"train.backend": "jax"}, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert choose_devices(a.models.train).shards == 1
    with pytest.raises(TrainingError, match=r"train\.shards is 2"):  # this process has TensorFlow
        choose_devices(b.models.train)


@setting("train.onednn", "on", "off", steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    code = "import os, sys; from models.runtime import prepare; prepare(sys.argv[1]); print(os.environ[{!r}])"
    printed = [
        subprocess.run(
            [sys.executable, "-c", code.format("TF_ENABLE_ONEDNN_OPTS"), here.config.train.onednn],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[4],
        ).stdout.strip()
        for here in (a, b)
    ]
    assert printed == ["1", "0"]
