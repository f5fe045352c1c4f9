"""What is known of each framework after a comparison, and what follows from it. Standard library only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from models.training.progress import format_duration
from models.training_config import Xla
from pipeline.terminal.columns import aligned

# A change of framework for less is not worth another environment: measurements differ by as much from run to run.
_WORTHWHILE = 0.1
_FEW_CORES = 0.25  # that the system itself and idle programs may use


@dataclass(frozen=True)
class Measurement:
    """A short training on a framework.

    Attributes:
        tokens_per_second: useful tokens, without padding; the steps that compile are left out.
        start_seconds: for the process, its imports, and the weights that go to and fro.
        first_step_seconds: from the start of training to the end of its first step, mostly compilation.
        peak_memory_mb: main memory of the process that trains, in MB (10^6 bytes).
        peak_device_memory_mb: of each GPU, in MB.
        eval_loss: after the last step; NaN is None.
        whole_seconds: estimate for the project's training with its first step, and with the start of a process where a
            run needs one (not for TensorFlow); without evaluations. None: nothing was timed.
    """

    framework: str
    version: str
    tokens_per_second: float
    start_seconds: float
    first_step_seconds: float
    peak_memory_mb: float
    eval_loss: float | None
    steps: int
    devices: list[str]
    precision: str
    xla: Xla
    whole_seconds: float | None
    peak_device_memory_mb: dict[str, float] = field(default_factory=dict)


def table(measured: Sequence[Measurement]) -> Iterator[str]:
    """A line for each framework, below one of titles."""
    yield from aligned(
        [
            (
                "framework",
                "tokens/s",
                "start",
                "first step",
                "memory",
                "precision",
                "eval loss",
                "your training",
                "device",
            ),
            *(
                (
                    f"{each.framework} {each.version}",
                    f"{_rounded(each.tokens_per_second):,}",
                    format_duration(each.start_seconds),
                    format_duration(each.first_step_seconds),
                    _memory(each),
                    each.precision,
                    "-" if each.eval_loss is None else f"{each.eval_loss:.3f}",
                    "-" if each.whole_seconds is None else f"about {_two_digits(each.whole_seconds)}",
                    ", ".join(each.devices),
                )
                for each in measured
            ),
        ]
    )


def advice(measured: Sequence[Measurement], configured: str) -> str:
    """Which framework to pick, in one sentence.

    Args:
        configured: `train.backend` of the project.
    """
    times = {each.framework: each.whole_seconds for each in measured if each.whole_seconds is not None}
    if not times:
        return "no framework was timed: give more --steps"
    best = min(times, key=lambda framework: times[framework])
    if configured not in times:
        return f"set train.backend: {best}: {configured} was not measured here"
    if len(times) == 1:
        return f"keep train.backend: {configured}: no other was measured here"
    saved = 1.0 - times[best] / times[configured]
    if best == configured:
        second = min(value for framework, value in times.items() if framework != best)
        return f"keep train.backend: {best}: the next takes {second / times[best]:.2f} times as long"
    if saved < _WORTHWHILE:
        return f"keep train.backend: {configured}: {best} would save only {saved:.0%} of the time"
    before, after = (_two_digits(times[framework]) for framework in (configured, best))
    return f"set train.backend: {best}: your training takes about {after} instead of {before}"


def doubts(measured: Sequence[Measurement], busy: float) -> Iterator[str]:
    """What makes the figures less than comparable, a sentence each.

    Args:
        busy: cores that other programs used meanwhile.
    """
    if busy > _FEW_CORES:
        yield (
            f"warning: other programs kept {busy:.1f} cores busy: the figures, and their order, may be wrong; "
            "compare again on an idle machine"
        )
    if len({each.precision for each in measured}) > 1:
        each = ", ".join(f"{one.framework} in {one.precision}" for one in measured)
        yield f"note: they computed in different precisions ({each}); with train.precision: float32, all use the same"


def _rounded(value: float) -> int:
    """With three significant digits: another measurement would change the next one."""
    return int(float(f"{value:.3g}"))


def _two_digits(seconds: float) -> str:
    return format_duration(float(f"{seconds:.2g}"))


def _memory(one: Measurement) -> str:
    device = max(one.peak_device_memory_mb.values(), default=0.0)
    return f"{one.peak_memory_mb / 1000:.1f} GB" + (f" + {device / 1000:.1f} GB" if device else "")
