"""Where the time of traced steps goes: a trace of TensorFlow's profiler, divided so that the parts make up the whole.

At each moment of a step, the time belongs to the operations that run then, in equal parts if several run at once; if
none runs, to what is between them: Python, and the scheduling of operations. Of nested events, the innermost counts.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import TrainingError
from models.training.inspection.operation_kinds import calls_others, kind_of_node, kind_of_xla

STEP, WAIT = "transom_step", "transom_wait"
"""Names of the events around a step, and around the wait for its rows."""
WAITING, BETWEEN, COMPILED = "waiting for rows", "between operations", "compiled, not told apart"

_TICKS = 1e12  # of a second


@dataclass(frozen=True)
class Operation:
    """When an operation ran, in picoseconds; `calls` are functions, whose time counts only where nothing else runs."""

    kind: str
    start: int
    end: int
    calls: bool = False


def divide(
    steps: Sequence[tuple[int, int]], waits: Sequence[tuple[int, int]], operations: Iterable[Operation]
) -> dict[str, float]:
    """The seconds of each part, of all steps and waits together; the parts' sum is that of the steps and waits.

    Args:
        steps, waits: when each began and ended, in picoseconds; in order, and apart from each other.
    """
    parts: defaultdict[str, float] = defaultdict(float, {WAITING: sum(end - start for start, end in waits)})
    edges: list[tuple[int, int, str, bool]] = []
    for one in operations:
        if one.end > one.start:
            edges += [(one.start, 1, one.kind, one.calls), (one.end, -1, one.kind, one.calls)]
    edges.sort(key=lambda edge: edge[:2])
    running: tuple[Counter[str], Counter[str]] = (Counter(), Counter())  # operations, and calls
    place = 0

    def pass_to(time: int) -> None:
        nonlocal place
        while place < len(edges) and edges[place][0] <= time:
            _, change, kind, calls = edges[place]
            running[calls][kind] += change
            place += 1

    def share(length: int) -> None:
        counted = next((one for one in running if sum(one.values())), None)
        if counted is None:
            parts[BETWEEN] += length
            return
        total = sum(counted.values())
        for kind, count in counted.items():
            parts[kind] += length * count / total

    for start, end in steps:
        now = start
        pass_to(now)
        while now < end:
            following = min(edges[place][0], end) if place < len(edges) else end
            share(following - now)
            now = following
            pass_to(now)
    return {kind: ticks / _TICKS for kind, ticks in parts.items() if ticks}


def read_trace(folder: Path, counted: Sequence[bool]) -> dict[str, float]:
    """The seconds of each part of the steps in a trace, see `divide`.

    Args:
        counted: of each step in it, whether it counts.
        folder: what `tf.profiler.experimental.start` was given.

    Raises:
        TrainingError: the profiler has not written all steps.
    """
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    spans: dict[str, list[tuple[int, int]]] = {STEP: [], WAIT: []}
    operations: list[Operation] = []
    for file in sorted(folder.rglob("*.xplane.pb")):
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
        # With a GPU, the operations of the host only start those of the device.
        devices = [plane for plane in space.planes if plane.name.startswith("/device:GPU")]
        for plane in space.planes:
            host = plane.name == "/host:CPU"
            for line in plane.lines if host or plane in devices else ():
                events = list(_events(plane, line))
                if host:
                    for name, found in spans.items():
                        found += [(start, end) for event, start, end, _ in events if event == name]
                if not (host and devices):
                    operations += innermost(_operations(events, of_device=not host))
    if not len(spans[STEP]) == len(spans[WAIT]) == len(counted):
        raise TrainingError(
            f"the profile in {folder}",
            got=f"{len(spans[STEP])} steps in it",
            expected=f"all {len(counted)} that the training has taken",
            fix="try again with fewer --steps: a trace that is too large is not written",
        )
    steps, waits = (list(itertools.compress(sorted(spans[name]), counted)) for name in (STEP, WAIT))
    return divide(steps, waits, operations)


def _events(plane: Any, line: Any) -> Iterator[tuple[str, int, int, str]]:
    """Name, begin and end in picoseconds, and XLA's name ("" if there is none) of each event."""
    xla = {number for number, stat in plane.stat_metadata.items() if stat.name == "hlo_op"}
    for event in line.events:
        start = line.timestamp_ns * 1000 + event.offset_ps
        hlo = next((one for one in event.stats if one.metadata_id in xla), None)
        named = "" if hlo is None else hlo.str_value or plane.stat_metadata[hlo.ref_value].name
        yield plane.event_metadata[event.metadata_id].name, start, start + event.duration_ps, named


def _operations(events: Iterable[tuple[str, int, int, str]], *, of_device: bool) -> Iterator[Operation]:
    for name, start, end, hlo in events:
        if hlo or of_device:
            yield Operation(kind_of_xla(hlo or name), start, end)
        elif (kind := kind_of_node(name)) is not None:
            yield Operation(kind, start, end)
        elif calls_others(name):
            yield Operation(COMPILED, start, end, calls=True)


def innermost(operations: Iterable[Operation]) -> Iterator[Operation]:
    """The operations of one thread, without the time in which others run inside of them."""
    open_: list[Operation] = []
    now = 0

    def until(time: int) -> Iterator[Operation]:
        """What the last that was opened did from `now` on."""
        nonlocal now
        if open_ and time > now:
            yield Operation(open_[-1].kind, now, time, open_[-1].calls)
        now = max(now, time)

    def close(time: int) -> Iterator[Operation]:
        while open_ and open_[-1].end <= time:
            yield from until(open_[-1].end)
            open_.pop()

    for one in sorted(operations, key=lambda one: (one.start, -one.end)):
        yield from close(one.start)
        yield from until(one.start)
        open_.append(one)
    yield from close(max((one.end for one in open_), default=0))
