"""How far a training has come, and what an interruption of its export costs, as lines for the user."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from models.errors import Interrupted
from models.training.progress import Progress, format_duration
from models.training.training_run import TrainedModel
from tflite.host.json_text import finite

PROGRESS_LOG, METRICS_LOG = logging.getLogger("transom.progress"), logging.getLogger("transom.figures")


def log_progress(state: Progress) -> None:
    """Logs a lasting line after each epoch; between them, the progress, the most important part first."""
    epoch = f"epoch {state.epoch}/{state.epochs}" if state.epoch else "tuning on pairs of rows"
    if state.evaluation is not None:
        metrics = ", ".join(f"{name} {value:.4f}" for name, value in state.evaluation.items())
        METRICS_LOG.info("%s: training loss %.4f, eval %s", epoch, state.loss, metrics)
        return
    step = f"step {state.step:,}/{state.steps:,}"
    parts = [epoch, step] if state.evaluated is None else [epoch, f"evaluated {state.evaluated:.0%}", step]
    if state.seconds_left is not None:
        parts.append(f"{format_duration(state.seconds_left)} left")
    if state.tokens_per_second:
        parts.append(f"{state.tokens_per_second:,.0f} tokens/s")
    amounts = {"unit": "steps", "done": state.step, "total": state.steps, "seconds_left": state.seconds_left}
    amounts |= {"tokens_per_second": round(state.tokens_per_second, 1), "loss": state.loss}
    PROGRESS_LOG.info("%s", ", ".join([*parts, f"loss {state.loss:.4f}"]), extra={"amounts": finite(amounts)})


@contextmanager
def explain_interrupted_export(trained: TrainedModel) -> Iterator[None]:
    """Turns a KeyboardInterrupt during the export into an error that says how much of the training is kept.

    Raises:
        Interrupted: in place of the KeyboardInterrupt.
    """
    PROGRESS_LOG.info("exporting the SavedModel")
    try:
        yield
    except KeyboardInterrupt as error:
        step, folder = trained.checkpoint.step, trained.checkpoint.folder
        what, same = "the export of the trained model", "with the same settings, data and code"
        if step is None:
            lost, then = "the whole training, because there is no checkpoint", "training starts at step 1"
            raise Interrupted(what, lost=lost, then=then) from error
        if step < trained.report["steps"]:
            kept, then = f"a checkpoint of step {step}, in {folder}", f"{same} training continues at step {step + 1}"
            raise Interrupted(what, kept=kept, lost="all steps after it", then=then) from error
        kept, then = f"the whole training, as a checkpoint in {folder}", f"{same} only evaluation and export are left"
        raise Interrupted(what, kept=kept, lost="at most the last evaluation, and the export", then=then) from error
