"""The record of each run: one JSON file, rewritten at every step, so that a killed run leaves its trace."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from models.whole_writes import write_whole
from pipeline.paths import Paths
from pipeline.runs.run_lock import is_held
from pipeline.steps import CHECKS, STEPS
from tflite.host.json_text import to_json

FILE_NAME = "run.json"
LOG_NAME = "log.txt"
STEP_LOGS = "logs"
ALREADY_LIVE = "already live"
UNCHANGED = "unchanged"
_TIME = "%Y-%m-%d %H:%M:%S"
_KILLED = "ended without a report: its process was killed (`kill -9`, out of memory), or the machine went down"


@dataclass
class StepRecord:
    """One step of a run.

    Attributes:
        status: running, done, cached, skipped, interrupted or failed.
        seconds: wall time.
        peak_memory_bytes: the largest resident set of its process, shared memory included; 0 if it had none.
        cpu_seconds: of its process and that one's children; 0 if it had none.
    """

    name: str
    status: str
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    cpu_seconds: float = 0.0


@dataclass
class RunRecord:
    """One run of a project.

    Attributes:
        name: the run's name, which sorts by time.
        status: running, pushed, already live (steps ran, but made the model that was live: nothing was pushed),
            unchanged (no step had anything to do), not blessed, finished (--to ended it before the push), debugged
            (--debug ended it in the training), failed, interrupted or unreadable.
        started, ended: local time; `ended` is "" while it runs.
        step: where a run stopped early: a step, or "checks", which come before the first.
        seconds: wall time so far.
        config: the resolved configuration.
        tables: which files the rows came from, with their digests (`components.lineage.lineage_facts.DataFacts`).
        data, findings, evaluation, rows, serving, edge, training: the reports of the steps, once there are any.
            `training.origin` says with which code, packages and machine.
        debug: of a run with --debug: its steps and what stopped it, see `pipeline.inspection.debug_run`; else empty.
        verdict: one sentence that says why the model was pushed or not.
        pushed: folder of the model's version among the pushed ones.
        bundle: folder of its edge bundle; "" if there is none.
        error: what stopped the run early; for an interruption also what was kept and lost.
        notes: messages of the steps, as {"step", "text"}: for example whether training resumed, and why.
        repeats: the former run whose result this one has, because nothing has changed; "".
        peak_memory_bytes: largest resident set of the process, or of a step's process.
    """

    name: str
    status: str
    started: str
    config: dict[str, Any]
    ended: str = ""
    step: str = ""
    seconds: float = 0.0
    steps: list[StepRecord] = field(default_factory=list)
    tables: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    findings: list[dict[str, Any]] = field(default_factory=list)
    evaluation: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, Any] = field(default_factory=dict)
    serving: dict[str, Any] = field(default_factory=dict)
    edge: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    debug: dict[str, Any] = field(default_factory=dict)
    verdict: str = ""
    pushed: str = ""
    bundle: str = ""
    error: str = ""
    notes: list[dict[str, str]] = field(default_factory=list)
    repeats: str = ""
    peak_memory_bytes: int = 0

    def stop(self, status: str, why: str, step: str = "") -> None:
        """Records an early end: status, reason and step (default: the last one that ran)."""
        self.status, self.error, self.step, self.ended = status, why, step or self._last_step(), now()

    def is_idle(self) -> bool:
        """Whether no step had anything to do."""
        return bool(self.steps) and all(step.status in ("cached", "skipped") for step in self.steps)

    def _last_step(self) -> str:
        failed = [one.name for one in self.steps if one.status == "failed"]
        stopped = [one.name for one in self.steps if one.status in ("running", "interrupted")]
        ran = [one.name for one in self.steps if one.status != "skipped"]
        return min(failed, key=STEPS.index) if failed else (stopped or ran or [CHECKS])[-1]

    def save(self, paths: Paths) -> None:
        """Writes `runs/NAME/run.json` atomically."""
        folder = paths.runs / self.name
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / FILE_NAME, to_json(asdict(self), indent=1) + "\n")


def step_log(folder: Path, step: str) -> Path | None:
    """The log of a step in the folder of a run; None if there is none: it did nothing, or the run is an old one."""
    file = folder / STEP_LOGS / f"{step}.txt"
    return file if file.is_file() else None


def now() -> str:
    return time.strftime(_TIME)


def new_name(paths: Paths) -> str:
    """An unused name for a run: the time, and a number if two start in one second."""
    base = name = time.strftime("%Y%m%d-%H%M%S")
    number = 1
    while (paths.runs / name).exists():
        number += 1
        name = f"{base}-{number}"
    return name


def _read(file: Path) -> RunRecord:
    """The run in a file; the status is unreadable if the file is damaged or of another version of Transom."""
    try:
        if file.exists() and not file.is_file():
            raise TypeError("it is no file")
        raw = json.loads(file.read_text(encoding="utf-8"))
        record = RunRecord(**{**raw, "steps": [StepRecord(**step) for step in raw["steps"]]})
        for name, value in vars(RunRecord("", "", "", {})).items():
            if not isinstance(getattr(record, name), (int, float) if isinstance(value, float) else type(value)):
                raise TypeError(f"{name} is {to_json(getattr(record, name))[:60]}")
        if record.status == UNCHANGED and not record.is_idle():
            record.status = ALREADY_LIVE  # earlier records had one word for both
        return record
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        why = f"{file} cannot be read: {type(error).__name__}: {error}"
        return RunRecord(name=file.parent.name, status="unreadable", started="", config={}, error=why)


def read_record(runs: Path, name: str) -> RunRecord:
    """The record of one run in the folder `runs`; its status is unreadable if there is none."""
    return _read(runs / name / FILE_NAME)


def all_runs(paths: Paths) -> list[RunRecord]:
    """The project's runs, oldest first. A run that is still "running" while the lock is free was killed."""
    busy = is_held(paths.lock)
    runs = []
    for file in sorted(paths.runs.glob(f"*/{FILE_NAME}")):
        runs.append(_read(file))
    for run in runs[: -1 if busy else None]:
        if run.status == "running":
            _mark_killed(run, paths.runs / run.name)
    if busy and runs and runs[-1].status == "running":
        _update_seconds(runs[-1], time.time())  # its record was saved at its last step
    return runs


def _mark_killed(run: RunRecord, folder: Path) -> None:
    """Marks a run as killed, with the step, and the time of its last sign of life."""
    run.stop("interrupted", _KILLED)
    files = (folder / FILE_NAME, folder / LOG_NAME, *folder.glob(f"{STEP_LOGS}/*"))
    last = max(file.stat().st_mtime for file in files if file.exists())
    run.ended = time.strftime(_TIME, time.localtime(last))
    _update_seconds(run, last)
    for step in run.steps:
        if step.status == "running":
            step.status = "interrupted"


def _update_seconds(run: RunRecord, until: float) -> None:
    """Sets the run's seconds to those from its start until `until` (a timestamp)."""
    with contextlib.suppress(ValueError):  # a record edited by hand
        run.seconds = max(run.seconds, until - time.mktime(time.strptime(run.started, _TIME)))
