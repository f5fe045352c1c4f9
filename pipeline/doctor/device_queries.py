"""Asks each framework which devices it sees: in a child process, at the same time as the other checks.

This process never loads a framework: that would take its memory and its devices. (Standard library only.)
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.child_processes import tied_to_parent

SECONDS = 60.0
"""How long a framework may take. Alone it takes 2 to 6 seconds on two cores, and some more with GPUs."""

PRESET, ENCODER = "a preset", "an encoder from scratch"
"""The two kinds of models, for which `auto` may mean different things."""

_TREE = str(Path(__file__).resolve().parents[2])
# Each prints lines of JSON: what is known so far stays known if the rest fails.
_TENSORFLOW = """
import json, os, sys
os.environ.update(TF_USE_LEGACY_KERAS="0", KERAS_BACKEND="tensorflow")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
sys.modules["matplotlib"] = None  # Keras would import it, and it would write a list of fonts
sys.path.insert(0, sys.argv[1])
from models import runtime
runtime.prepare(sys.argv[2])
import tensorflow as tf
devices = [one for one in tf.config.list_physical_devices() if one.device_type in ("GPU", "TPU")]
names = [str(tf.config.experimental.get_device_details(one).get("device_name", one.name)) for one in devices]
build = tf.sysconfig.get_build_info()
print()
print(json.dumps({"version": tf.__version__, "devices": names, "built_for": build.get("cuda_version", "")}), flush=True)
from models.training.frameworks.devices import TrainingDevices
kind = devices[0].device_type if devices else "CPU"
found = TrainingDevices("tpu" if kind == "TPU" else "none", None, (kind,))
auto = {}
for name, preset in zip(sys.argv[3:], (True, False)):
    precision, why = found.choose_precision(preset=preset)
    xla, why_xla = found.choose_xla(preset=preset, precision=precision)
    auto[name] = {"precision": [precision, why], "xla": [xla, why_xla]}
print(json.dumps({"onednn": runtime.onednn_state(), "auto": auto}))
"""
_JAX = """
import json, os
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
import jax
print()
print(json.dumps({"version": jax.__version__}), flush=True)
found = [one for one in jax.devices() if one.platform != "cpu"]
print(json.dumps({"devices": [one.device_kind for one in found]}))
"""
_TORCH = """
import json, torch
print()
built_for = torch.version.cuda or torch.version.hip or ""
print(json.dumps({"version": torch.__version__, "built_for": built_for}), flush=True)
count = torch.cuda.device_count() if torch.cuda.is_available() else 0
print(json.dumps({"devices": [torch.cuda.get_device_name(number) for number in range(count)]}))
"""

_SCRIPTS = {"jax": _JAX, "torch": _TORCH}


@dataclass
class Answer:
    """What a framework has said.

    Attributes:
        known: version, devices (accelerators, by name), built_for (the version of CUDA), onednn, auto.
        failure: why it said no more; empty if it said all.
        stderr: what it printed beside that.
    """

    known: dict[str, Any] = field(default_factory=dict)
    failure: str = ""
    stderr: str = ""


class Query:
    """One framework's child process; `answer` waits for it."""

    def __init__(self, command: list[str], environment: Mapping[str, str], seconds: float = SECONDS) -> None:
        self._answer, self._begin, self._seconds = Answer(), time.monotonic(), seconds
        self._reader: threading.Thread | None = None
        self._child: subprocess.Popen[str] | None = None
        try:
            self._child = subprocess.Popen(  # started by the main thread, to which the child is tied
                tied_to_parent(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                env=dict(environment),
            )
        except OSError as error:
            self._answer.failure = f"{command[0]} cannot be started: {error.strerror or error}"
            return
        self._reader = threading.Thread(target=self._read, args=(self._child,), name="devices", daemon=True)
        self._reader.start()

    def is_done(self) -> bool:
        return self._reader is None or not self._reader.is_alive()

    def waited(self) -> float:
        """Seconds since the child began."""
        return time.monotonic() - self._begin

    def answer(self) -> Answer:
        """What it said, once it has ended or its time is over."""
        if self._reader is not None:
            self._reader.join()
        return self._answer

    def stop(self) -> None:
        """Ends the child, if it has not ended."""
        if self._child is not None and self._child.poll() is None:
            self._child.kill()

    def _read(self, child: subprocess.Popen[str]) -> None:
        try:
            output, self._answer.stderr = child.communicate(timeout=self._seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            with contextlib.suppress(subprocess.TimeoutExpired, ValueError):  # it may not die: a driver that hangs
                output, self._answer.stderr = child.communicate(timeout=5)
                self._take(output)
            self._answer.failure = f"no answer within {self._seconds:.0f} s"
            return
        self._take(output)
        if child.returncode:
            self._answer.failure = _reason(child.returncode, self._answer.stderr)

    def _take(self, output: str) -> None:
        for line in output.splitlines():
            with contextlib.suppress(ValueError, TypeError):
                self._answer.known.update(json.loads(line))


def tensorflow_query(onednn: str = "auto", python: str = sys.executable, seconds: float = SECONDS) -> Query:
    """Asks TensorFlow for its devices, and the project's code what `auto` means on them."""
    # -P: the current folder may have a folder "models" of its own.
    return Query([python, "-B", "-P", "-c", _TENSORFLOW, _TREE, onednn, PRESET, ENCODER], _environment(), seconds)


def framework_query(framework: str, python: Path, seconds: float = SECONDS) -> Query:
    """Asks JAX or PyTorch in another environment, whose packages PYTHONPATH must not hide."""
    return Query([str(python), "-B", "-I", "-c", _SCRIPTS[framework]], _environment(), seconds)


def _environment() -> dict[str, str]:
    """The variables of a child that writes nothing: Keras would make a settings file as it is imported."""
    environment = dict(os.environ)
    if not os.path.exists(os.path.expanduser("~/.keras/keras.json")):
        environment.setdefault("KERAS_HOME", f"{os.devnull}/keras")
    return environment


@contextmanager
def stopping(queries: Mapping[str, Query]) -> Iterator[None]:
    """Ends the children that are still running at the end of the block."""
    try:
        yield
    finally:
        for query in queries.values():
            query.stop()


def _reason(code: int, stderr: str) -> str:
    if code < 0:
        return f"its process was ended by signal {-code}" + (
            ": this processor lacks an instruction that it was built with" if code == -4 else ""
        )
    lines = [line for line in stderr.strip().splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else f"exit code {code}"
