"""What training reports while it runs (TensorBoard), when it is ended, and afterwards (the report)."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from models.build import count_parameters
from models.errors import Interrupted
from models.training.frameworks.contract import framework_version, onednn_state
from models.training.frameworks.devices import peak_device_memory_mb

if TYPE_CHECKING:
    from models.training.loop import Loop
    from models.training.packed.packed_batches import PackedBatches

_WITH_XLA = {True: "with XLA", False: "without XLA", "parts": "with XLA in parts"}


class TensorBoardWriter:
    """TensorBoard event files: `train` by optimizer step, `eval` by epoch; writes nothing without a folder."""

    def __init__(self, directory: Path | str | None) -> None:
        splits = ("train", "eval") if directory is not None else ()
        self._writers = {split: EventFileWriter(str(Path(str(directory), split)), flush_secs=5) for split in splits}

    def write(self, split: str, values: Mapping[str, float], step: int) -> None:
        """Writes one point of each curve."""
        if split in self._writers:
            points = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
            event = Event(wall_time=time.time(), step=step, summary=Summary(value=points))
            self._writers[split].add_event(event)

    def flush(self) -> None:
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()


def peak_memory_mb() -> float:
    """Peak main memory of this process in MB (10^6 bytes)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def describe_start(loop: Loop, chosen: Mapping[str, str]) -> str:
    """One line: what trains, on which devices, and how it computes.

    Args:
        chosen: reasons for what `auto` came to: "precision_because", "xla_because".
    """

    def reason(name: str) -> str:
        return f" ({chosen[name]})" if name in chosen else ""

    config, devices = loop.config, loop.devices
    several = f" with {len(devices.names)} devices ({devices.strategy_name})" if len(devices.names) > 1 else ""
    text = f"training on {framework_version()}{several} in {config.precision}{reason('precision_because')}"
    if config.backend == "tensorflow":
        text += f", {_WITH_XLA[config.xla]}{reason('xla_because')}"
    return text


def describe_end(loop: Loop) -> str:
    """One line: how many epochs were trained, why no more, and which epoch's weights are kept."""
    position, metric, best = loop.position, loop.metric, loop.position.best or {}
    text = f"trained for {position.epoch} of {loop.epochs} epochs"
    if position.epoch < loop.epochs:
        waited = position.epochs_without_gain(metric)
        text += f", because the eval {metric} has not improved for {waited} epoch{'' if waited == 1 else 's'}"
    value = best[metric]
    if value is None or math.isnan(value):
        return (
            f"{text}; kept the weights of epoch {position.best_epoch}, with the lowest loss ({best['loss']:.4f}), "
            f"because the eval rows give no {metric}: are all their targets the same?"
        )
    tied = [entry for entry in position.history if entry[metric] == value]
    why = f", the one with the lowest loss of {len(tied)} with that {metric}" if len(tied) > 1 else ""
    return f"{text}; kept the weights of epoch {position.best_epoch} ({metric} {value:.4f}){why}"


def describe_interruption(loop: Loop, work: float) -> Interrupted:
    """What is kept, what is lost, and what comes next, after the last checkpoint.

    Args:
        work: seconds of training that were in no checkpoint before it.
    """
    done, kept, of_training = loop.position.total_steps, loop.checkpoints.kept_step, f"{work:.0f} s of training"
    what = f"training, after step {done} of {loop.steps}"
    if kept is None:
        steps = "its only step" if done == 1 else f"all {done} steps"
        lost = f"{steps}, {of_training}" if done else "nothing: training had just begun"
        if loop.prepare is not None and not done:
            lost = f"{loop.preparing}, {of_training}"
        return Interrupted(what, lost=lost, then="training starts at step 1")
    ended = kept == loop.steps or (kept == done and loop.has_stalled())
    rest = "only evaluation and export are left" if ended else f"training continues at step {kept + 1}"
    last = "step" if done - kept == 1 else f"{done - kept} steps"
    return Interrupted(
        what,
        kept=f"a checkpoint of step {kept}, in {loop.checkpoints.folder}",
        lost=f"the last {last}, {of_training}" if kept < done else "nothing of the training",
        then=f"with the same settings, data and code {rest}",
    )


def make_report(loop: Loop) -> dict[str, Any]:
    """The report of a finished training, as JSON values."""
    position, rows, devices = loop.position, loop.batches.rows, loop.devices
    return {
        "strategy": devices.strategy_name,
        "replicas": devices.replicas,
        "devices": list(devices.names),
        "framework": framework_version(),
        "xla": devices.always_compiles or (loop.config.backend == "tensorflow" and loop.config.xla),
        "onednn": onednn_state(),
        "precision": loop.config.precision,
        "seed": loop.config.seed,
        "config": loop.config.model_dump(mode="json"),
        "rows": {"train": len(rows), "eval": len(loop.evaluation.rows)},
        "dropped_rows": {"train": rows.dropped, "eval": loop.evaluation.rows.dropped},
        "parameters": count_parameters(loop.model),
        "shapes": {"train": _shapes(loop.batches), "eval": _shapes(loop.evaluation)},
        "steps": position.total_steps,
        "steps_planned": loop.steps,
        "epochs": position.epoch,
        "stopped_early": position.epoch < loop.epochs,
        "metric": loop.metric,
        "best_epoch": position.best_epoch,
        "best_value": (position.best or {}).get(loop.metric),
        "history": position.history,
        "calibration": {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(loop.calibration).items()
        },
        "linear_weight": None if loop.fusion is None else loop.fusion.linear / loop.fusion.encoder,
        "contrastive": position.contrastive,
        "head_start": position.head_start,
        "traces": {"train": loop.step.traces, "eval": loop.predictor.traces},
        "resumed_at_step": loop.resumed_at,
        "started_anew_because": loop.restart_reason,
        "seconds": position.seconds,
        "first_step_seconds": loop.first_step_seconds,
        "tokens_per_second": loop.pace.rate(),
        "padded_tokens_per_second": loop.pace.rate(padded=True),
        "peak_memory_mb": peak_memory_mb(),
        "peak_device_memory_mb": peak_device_memory_mb(),
    }


def _shapes(batches: PackedBatches) -> list[list[int]]:
    """Of each replica's share of a batch: lines, and tokens of each."""
    return [[shape.lines.count, shape.lines.length] for shape in batches.shapes]
