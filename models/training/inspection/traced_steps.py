"""Times some steps of a training, compiled as in a run, and then traces some with TensorFlow's profiler."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from models import heap
from models.training.batches import Batch, one_ahead
from models.training.frameworks.contract import framework_version
from models.training.frameworks.devices import peak_device_memory_mb
from models.training.inspection.matrix_work import step_flops
from models.training.inspection.operation_times import STEP, WAIT, read_trace
from models.training.inspection.some_steps import step_batches, weights_of
from models.training.loop import Loop
from models.training.training_checks import explain_step_errors, loss_not_finite
from models.training.training_report import peak_memory_mb
from models.training.training_request import Request

_WARM_UP = 3  # steps after the first that are not timed: memory and caches fill
_MOST_TRACED = 10  # steps: a trace of more is slow to read
_MOST_COMPILING = 100  # steps that compile another shape, and so are not timed


@dataclass(frozen=True)
class Profile:
    """Where the time of a training's steps goes.

    Attributes:
        steps: that were timed, without the profiler.
        seconds_per_step: their mean wall time, with the wait for their rows.
        waiting_per_step: of that, the wait.
        tokens_per_second, padded_tokens_per_second: without and with padding.
        first_step_seconds: of the first step, mostly tracing and compiling.
        compiled_seconds: of all steps that compiled something.
        traced: steps under the profiler.
        traced_seconds_per_step: their mean wall time, which is longer: the profiler takes some.
        parts: of that, the seconds of each part, see `models.training.inspection.operation_times`.
        flops_per_step: see `models.training.inspection.matrix_work`.
        training_steps: of the whole training, if no epoch is saved.
        training_seconds: estimate for them, without evaluations.
    """

    framework: str
    devices: list[str]
    precision: str
    xla: bool | str
    batch_size: int
    accumulate: int
    steps: int
    seconds_per_step: float
    waiting_per_step: float
    tokens_per_second: float
    padded_tokens_per_second: float
    first_step_seconds: float
    compiled_seconds: float
    traced: int
    traced_seconds_per_step: float
    parts: dict[str, float]
    flops_per_step: float
    peak_memory_mb: float
    peak_device_memory_mb: dict[str, float]
    training_steps: int
    training_seconds: float

    @property
    def padding(self) -> float:
        """The share of padding among the tokens that are computed."""
        return 1.0 - self.tokens_per_second / self.padded_tokens_per_second


@dataclass(frozen=True)
class _Taken:
    waited: float
    seconds: float  # without the wait
    tokens: int
    padded: int
    compiled: bool
    batches: Sequence[Batch]

    @property
    def whole(self) -> float:
        return self.waited + self.seconds


def profile(
    request: Request, steps: int, folder: Path, *, on_note: Callable[[str], None], on_step: Callable[[str], None]
) -> Profile:
    """Takes steps of a training on TensorFlow.

    Args:
        request: without folders for checkpoints and logs.
        steps: to be timed; `_MOST_TRACED` of them at most are then traced.
        folder: gets the trace, as TensorBoard's profiler reads it.
        on_step: receives a word on the progress.

    Raises:
        TrainingError: rows that cannot be trained on, a loss that is not finite, or too little memory.
    """
    with heap.returned_memory(), request.prepare(on_note) as ready, ready.loop.devices.running():
        loop = ready.loop
        heap.give_back()
        with contextlib.closing(_steps(loop)) as taking:
            on_step("the first step, which compiles")
            first = next(taking)
            warm = list(itertools.islice(taking, _WARM_UP))
            timed = list(_until(taking, steps, on_step))
            traced, parts = _trace(taking, min(steps, _MOST_TRACED), folder, on_step)
        flops = step_flops(loop, timed[0].batches)
        return _summary(loop, [first, *warm, *timed], traced, parts, flops)


def _steps(loop: Loop) -> Generator[_Taken, None, None]:
    """Takes a step whenever the next one is asked for; the rows come from a thread, as in `Loop`."""
    batches = one_ahead(step_batches(loop, itertools.count()))
    for number in itertools.count():
        traces, began = loop.step.traces, time.perf_counter()
        with tf.profiler.experimental.Trace(WAIT):
            given = next(batches)
        waited = time.perf_counter()
        with tf.profiler.experimental.Trace(STEP, step_num=number, _r=1), explain_step_errors(loop.config):
            result = loop.step(given, weights_of(loop, given), number)
            loss = float(result.loss)
        ended = time.perf_counter()
        if not math.isfinite(loss):
            raise loss_not_finite(loss, number + 1, loop.steps, float(result.learning_rate), loop.config)
        tokens = sum(batch.tokens for batch in given)
        padded = sum(batch.features["token_ids"].size for batch in given)
        yield _Taken(waited - began, ended - waited, tokens, padded, loop.step.traces > traces, given)


def _until(taking: Iterator[_Taken], count: int, on_step: Callable[[str], None]) -> Iterator[_Taken]:
    """Takes steps until so many have compiled nothing: a rare batch may have a shape of its own."""
    done = 0
    for one in itertools.islice(taking, count + _MOST_COMPILING):
        yield one
        if not one.compiled:
            done += 1
            on_step(f"step {done} of {count}")
        if done == count:
            return


def _trace(
    taking: Iterator[_Taken], count: int, folder: Path, on_step: Callable[[str], None]
) -> tuple[int, dict[str, float]]:
    """How many steps were traced, and the seconds of each part of all of them."""
    tf.profiler.experimental.start(str(folder))
    try:
        traced = list(_until(taking, count, lambda text: on_step(f"{text}, under the profiler")))
    finally:
        tf.profiler.experimental.stop()
    on_step("reading the trace")
    counted = [not one.compiled for one in traced]
    return sum(counted), read_trace(folder, counted)


def _summary(loop: Loop, taken: list[_Taken], traced: int, parts: dict[str, float], flops: float) -> Profile:
    timed = [one for one in taken[1 + _WARM_UP :] if not one.compiled]
    seconds = sum(one.whole for one in timed)
    mean, compiled = seconds / len(timed), sum(one.whole for one in taken if one.compiled)
    return Profile(
        framework=framework_version(),
        devices=list(loop.devices.names),
        precision=loop.config.precision,
        xla=loop.config.xla,
        batch_size=loop.config.batch_size,
        accumulate=loop.config.accumulate,
        steps=len(timed),
        seconds_per_step=mean,
        waiting_per_step=sum(one.waited for one in timed) / len(timed),
        tokens_per_second=sum(one.tokens for one in timed) / seconds,
        padded_tokens_per_second=sum(one.padded for one in timed) / seconds,
        first_step_seconds=taken[0].whole,
        compiled_seconds=compiled,
        traced=traced,
        traced_seconds_per_step=sum(parts.values()) / traced,
        parts={kind: spent / traced for kind, spent in sorted(parts.items(), key=lambda part: -part[1])},
        flops_per_step=flops,
        peak_memory_mb=peak_memory_mb(),
        peak_device_memory_mb=peak_device_memory_mb(),
        training_steps=loop.steps,
        training_seconds=compiled + mean * loop.steps,
    )
