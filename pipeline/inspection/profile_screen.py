"""What `transom profile` prints: one screen of figures, and what follows from them. Standard library only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from models.training.progress import format_duration
from pipeline.terminal.columns import aligned

if TYPE_CHECKING:
    from models.training.inspection.traced_steps import Profile

# The names of parts, as `models.training.inspection` has them, which loads TensorFlow.
WAITING, BETWEEN, PRODUCTS, DROPOUT, OPTIMIZER = (
    "waiting for rows",
    "between operations",
    "matrix products",
    "dropout",
    "optimizer",
)
_MOST_REMARKS = 3
_FEW_CORES = 0.25  # that the system itself and idle programs may use
_BAR = 24
# From which share of a step on a part is worth a remark.
_MUCH_WAITING, _MUCH_BETWEEN, _MUCH_OPTIMIZER, _MUCH_DROPOUT, _MUCH_PADDING = 0.1, 0.25, 0.2, 0.15, 0.15
_MANY_COMPILING = 0.2  # of the whole training
_MOSTLY = 0.5
_XLA = {True: "on", False: "off", "parts": "in parts"}


def screen(found: Profile, machine: Mapping[str, Any], notes: Sequence[str]) -> Iterator[str]:
    """The figures and the remarks, of at most 24 lines of 80 columns, but for long remarks."""
    yield ""
    yield f"{machine['cpu']}, {machine['cores']} cores"
    yield f"{found.framework}, {found.precision}, XLA {_XLA[found.xla]}, batches of {found.batch_size} rows"
    waiting = _time(found.waiting_per_step)
    yield f"{_time(found.seconds_per_step)} a step, {waiting} of it waiting for rows: the mean of {found.steps} steps"
    yield from _parts(found)
    yield ""
    yield from aligned(list(_figures(found)))
    if notes:
        yield ""
    for note in notes:
        yield f"- {note}"


def _parts(found: Profile) -> Iterator[str]:
    whole = found.traced_seconds_per_step
    longer = whole / found.seconds_per_step - 1.0
    slower = f", {longer:.0%} slower" if longer > 0.01 else ""
    yield f"under the profiler, the mean of {found.traced}{slower}:"
    rows = [
        (f"  {kind}", f"{spent / whole:6.1%}", _time(spent), "#" * round(_BAR * spent / whole))
        for kind, spent in found.parts.items()
    ]
    yield from aligned([*rows, ("  together", f"{sum(found.parts.values()) / whole:6.1%}", _time(whole), "")])


def _figures(found: Profile) -> Iterator[tuple[str, str]]:
    devices = max(found.peak_device_memory_mb.values(), default=0.0)
    rate = found.flops_per_step / found.seconds_per_step
    yield "tokens", f"{found.tokens_per_second:,.0f} a second; padding is {found.padding:.0%} of what is computed"
    yield "matrix products", f"{_flops(found.flops_per_step)} a step, {_flops(rate)} a second, padding included"
    yield "memory", f"{found.peak_memory_mb / 1000:.1f} GB" + (f", device {devices / 1000:.1f} GB" if devices else "")
    yield "compilation", f"{format_duration(found.compiled_seconds)}, without what earlier runs have kept"
    training = f"{found.training_steps:,} steps, about {format_duration(found.training_seconds)} without evaluations"
    yield "the whole training", training


def remarks(found: Profile, busy: float) -> list[str]:
    """What follows from the figures, the most important first: at most three sentences, and at least one.

    Args:
        busy: cores that other programs used meanwhile.
    """
    share = {kind: spent / found.traced_seconds_per_step for kind, spent in found.parts.items()}
    weighed: list[tuple[float, str]] = []
    if busy > _FEW_CORES:
        weighed.append((2.0, f"other programs kept {busy:.1f} cores busy: profile again on an idle machine"))
    weighed += _of_parts(found, share)
    if found.padding > _MUCH_PADDING:
        text = f"{found.padding:.0%} of what is computed is padding: a larger train.batch_size leaves less"
        weighed.append((found.padding, text))
    compiling = found.compiled_seconds / found.training_seconds
    if compiling > _MANY_COMPILING and found.xla:
        text = f"compilation is {compiling:.0%} of the training: train.xla: false may be faster for so few steps"
        weighed.append((compiling, text))
    if (products := share.get(PRODUCTS, 0.0)) > _MOSTLY:
        text = f"{products:.0%} of the time is matrix products: a smaller model (model.num_layers), shorter texts"
        weighed.append((0.0, f"{text} (tokenizer.max_length) or train.precision make them faster"))
    if not weighed:
        top = max(share, key=lambda kind: share[kind])
        weighed.append((0.0, f"no part stands out: the largest is {top}, with {share[top]:.0%}"))
    return [text for _, text in sorted(weighed, key=lambda one: -one[0])[:_MOST_REMARKS]]


def _of_parts(found: Profile, share: Mapping[str, float]) -> Iterator[tuple[float, str]]:
    waiting = found.waiting_per_step / found.seconds_per_step
    if waiting > _MUCH_WAITING:
        yield (
            waiting,
            f"{waiting:.0%} of the time waits for rows: a thread makes them beside the step, so another program "
            "or a slow disk holds it up",
        )
    if (between := share.get(BETWEEN, 0.0)) > _MUCH_BETWEEN:
        yield (
            between,
            f"{between:.0%} of the time is between operations: they are too small for this machine; a larger "
            "train.batch_size, or train.xla: true, makes fewer and larger ones",
        )
    if (optimizer := share.get(OPTIMIZER, 0.0)) > _MUCH_OPTIMIZER:
        yield (
            optimizer,
            f"{optimizer:.0%} of the time updates the weights: a larger train.batch_size, or train.accumulate, "
            "updates them less often; model.lora_rank trains fewer",
        )
    if (dropout := share.get(DROPOUT, 0.0)) > _MUCH_DROPOUT:
        yield dropout, f"{dropout:.0%} of the time is dropout's random numbers: with train.xla: true they cost less"


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1.0 else f"{1000 * seconds:.3g} ms"


def _flops(number: float) -> str:
    for name, size in (("TFLOP", 1e12), ("GFLOP", 1e9)):
        if number >= size:
            return f"{number / size:.3g} {name}"
    return f"{number / 1e6:.3g} MFLOP"
