"""The parent of a training in a child process: TensorFlow's model goes there, and comes back trained."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

import models
from models import runtime
from models.child_processes import tied_to_parent
from models.errors import TrainingError
from models.training.elsewhere import child
from models.training.elsewhere.handover import INITIAL, TRAINED, load_weights, save_weights
from models.training.elsewhere.messages import receive
from models.training.progress import Progress
from models.training.resuming.checkpoint import KeptCheckpoint
from models.training.resuming.stopping import is_main_thread, stoppable
from models.training.training_request import Request
from models.training.training_run import TrainedModel
from tflite.host.labels import LabelSpace

# The child has libraries of its own. So it gets these two packages alone, not the folder that they are installed in.
_START = """
import importlib.util, os, pathlib, sys
output = os.dup(1)
os.dup2(2, 1)  # what the imports print is no message
for package in sys.argv[2:]:
    where = pathlib.Path(package)
    spec = importlib.util.spec_from_file_location(
        where.name, where / "__init__.py", submodule_search_locations=[package]
    )
    sys.modules[where.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[where.name])
from models import heap, runtime
heap.prepare(runtime.usable_cores())
from {child} import main
sys.exit(main(pathlib.Path(sys.argv[1]), output))
"""
_PACKAGES = ("tflite", "models")
_OUTPUT = "output.txt"
_LINES_SHOWN = 6

logger = logging.getLogger(__name__)


def train_elsewhere(
    make_model: Callable[[], keras.Model],
    request: Request,
    folder: Path,
    *,
    interpreter: Path,
    on_progress: Callable[[Progress], None],
    on_note: Callable[[str], None],
) -> TrainedModel:
    """Trains in a child process, on the framework that the request's `train.backend` names.

    The child starts while this process makes the model. Signals that ask to stop are passed on, and the child's
    checkpoint keeps its training; without this process, it ends.

    Args:
        make_model: builds the model on TensorFlow, in float32.
        folder: for the files that go to and fro; made if there is none.
        interpreter: Python in an environment with the framework and Keras.

    Raises:
        TransomError: the child's; a TrainingError if it ended without one.
        OSError: the child's: a full disk, above all.
        Interrupted: a signal ended the training; a checkpoint keeps its state.
    """
    backend = request.config.train.backend
    folder.mkdir(parents=True, exist_ok=True)
    request.save(folder)
    with (
        _child(interpreter, backend, folder) as process,
        stoppable(lambda: process.send_signal(signal.SIGINT)) as stop,
    ):
        keras.utils.set_random_seed(request.config.train.seed)
        with keras.device("cpu"):  # the child trains on the accelerator
            model = make_model()
        save_weights(model, folder / INITIAL)
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # its last words come first
            os.write(process.stdin.fileno(), b"\n")  # unbuffered: nothing is left to be flushed later
        finished = receive(process.stdout, on_progress, on_note)
        if finished is None:
            if stop.since is not None:  # it had not begun
                raise KeyboardInterrupt
            raise _ended_without_a_word(backend, process.wait(), _printed(folder))
    load_weights(model, folder / TRAINED)
    return _trained(model, finished, request)


def _trained(model: keras.Model, finished: dict[str, Any], request: Request) -> TrainedModel:
    where, step = finished["checkpoint"]
    labels = LabelSpace.load(request.tokenizer)
    return TrainedModel(
        model,
        finished["report"],
        KeptCheckpoint(None if where is None else Path(where), step),
        replace(labels, temperatures=tuple(finished["temperatures"])),
        request.config.task.model_copy(update={"threshold": finished["threshold"]}),
    )


@contextlib.contextmanager
def _child(interpreter: Path, backend: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The running child; killed at the end of the block, if it has not ended by then.

    It has a session of its own, so that a terminal's Ctrl-C reaches it once, from here.
    """
    root = Path(models.__file__).resolve().parents[1]
    packages = [str(root / name) for name in _PACKAGES]
    command = tied_to_parent(
        [str(interpreter), *_isolation(interpreter), "-c", _START.format(child=child.__name__), str(folder), *packages]
    )
    with (folder / _OUTPUT).open("wb") as output, _interruptible_children():
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            env={**os.environ, **_variables(folder, backend), "KERAS_BACKEND": backend},
            encoding="utf-8",
            start_new_session=True,
        )
    with process:
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            if printed := _printed(folder):
                logger.warning("printed by the training on %s:\n%s", backend, printed)


@contextlib.contextmanager
def _interruptible_children() -> Iterator[None]:
    """Within the block, a child that is started hears SIGINT from its beginning, also where this process ignores it.

    A program inherits that a signal is ignored, but no handler.
    """
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN or not is_main_thread():
        yield
        return
    signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _isolation(interpreter: Path) -> list[str]:
    """Options of Python: another environment is used alone; this one with all the paths that this process has."""
    return ["-P"] if interpreter == Path(sys.executable) else ["-I"]


def _variables(folder: Path, backend: str) -> dict[str, str]:
    """Environment variables of the child that differ from this process's."""
    temporary = folder / "tmp"  # AutoGraph leaves files there
    temporary.mkdir(exist_ok=True)
    # Without NPROC, JAX starts a thread per visible core, also where a quota allows fewer.
    variables = {"TMPDIR": str(temporary), "NPROC": os.environ.get("NPROC", str(runtime.usable_cores()))}
    return variables if backend == "tensorflow" else {**variables, runtime.XLA_FLAGS: runtime.XLA_FLAGS_AS_GIVEN}


def _printed(folder: Path) -> str:
    """What the child has printed, but for its messages."""
    return (folder / _OUTPUT).read_text(encoding="utf-8", errors="replace").strip()


def _ended_without_a_word(backend: str, status: int, printed: str) -> TrainingError:
    lines = [line for line in printed.splitlines() if line.strip()]
    last = "; ".join(lines[-_LINES_SHOWN:]) or "nothing"
    how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit code {status}"
    fix = f"try train.backend: tensorflow; if that works, report this as a bug of Transom with {backend}"
    if backend == "tensorflow":
        fix = "report this as a bug of Transom"
    if status == -signal.SIGKILL:
        fix = "free some memory, or halve train.batch_size and double train.accumulate; then run again"
    return TrainingError(
        f"the training on {backend} ended without a result",
        got=f"{how}; its last lines: {last}",
        expected="weights and a report",
        fix=fix,
    )
