"""Compares the frameworks that are installed here, on the rows of a project. No TensorFlow at import."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import ModelsConfig
from models.errors import TrainingError, TransomError
from models.runtime import cpu_facts
from models.training.elsewhere.environments import COSTS, FRAMEWORKS, install_command, interpreter
from models.training.elsewhere.installed_packages import check_backend
from models.training.progress import Progress, format_duration
from models.whole_writes import write_whole
from pipeline.comparison.measurement import Measurement, advice, doubts, table
from pipeline.comparison.other_load import busy_cores
from pipeline.config import ProjectConfig
from pipeline.configuration.loading import load
from pipeline.paths import Paths
from pipeline.runs.error_causes import error_text
from pipeline.runs.pipeline_run import run
from pipeline.runs.temporary_folders import temporary_folder
from pipeline.steps import BEFORE_TRAINING
from pipeline.terminal.console import View
from pipeline.terminal.run_log import captured_output
from tflite.host.json_text import to_json

if TYPE_CHECKING:
    from pipeline.comparison.sampled_training import SampledTraining
    from pipeline.runs.local.local_runner import Outputs

FILE_NAME, LOG_NAME = "backends.json", "backends-log.txt"


def compare(config_file: Path, overrides: list[str], *, steps: int, as_json: bool, verbose: bool) -> int:
    """Prepares the project's rows, trains some on each installed framework, prints and stores what was measured.

    Raises:
        TransomError: the rows cannot be prepared, or no framework trains; then the first one's error.
    """
    config = load(config_file, overrides)
    paths = Paths.from_config(config, config_file)
    interpreters, errors = _interpreters()
    outputs: Outputs = {}
    run(config_file, overrides, to_step=BEFORE_TRAINING, as_json=as_json, verbose=verbose, outputs=outputs)
    measured: list[Measurement] = []
    with temporary_folder() as folder, captured_output(paths.output / LOG_NAME, as_json, verbose) as view:
        sample = _sample(config, paths, outputs, folder, steps)
        for framework, error in errors.items():
            view.say(f"{framework} cannot train: {error_text(error)}")
        busy = [busy_cores()]
        for framework, python in interpreters.items():
            try:
                with view.step(framework):
                    measured.append(sample.run(framework, python, lambda progress: view.progress(_note(progress))))
            except (TransomError, OSError, ValueError) as error:
                errors[framework] = error
                view.say(f"{framework} did not train: {error_text(error)}")
            busy.append(busy_cores())
        if not measured:
            raise next(iter(errors.values()))
        _tell(view, config, paths, sample, measured, errors, max(busy))
    return 0


def _interpreters() -> tuple[dict[str, Path], dict[str, Exception]]:
    """The frameworks that are installed here, with their interpreters, and why others that are cannot train.

    Raises:
        ConfigError: an environment variable names no program.
    """
    found, errors = {"tensorflow": Path(sys.executable)}, dict[str, Exception]()
    for framework in FRAMEWORKS:
        if python := interpreter(framework):
            try:
                check_backend(framework)
                found[framework] = python
            except TrainingError as error:
                errors[framework] = error
    return found, errors


def _sample(config: ProjectConfig, paths: Paths, outputs: Outputs, folder: Path, steps: int) -> SampledTraining:
    from pipeline.comparison.sampled_training import SampledTraining
    from pipeline.graph import with_local_preset

    sections = {name: getattr(config, name) for name in ModelsConfig.model_fields}
    sections["model"] = with_local_preset(config.model, paths)
    examples = outputs[BEFORE_TRAINING]["transformed_examples"].uri
    tokenizer = outputs["TokenizerTrainer"]["tokenizer"].uri
    return SampledTraining.from_examples(ModelsConfig(**sections), Path(examples), Path(tokenizer), folder, steps)


def _note(progress: Progress) -> str:
    left = "" if progress.seconds_left is None else f", about {format_duration(progress.seconds_left)} left"
    return f"step {progress.step} of {progress.steps}, {progress.tokens_per_second:,.0f} tokens/s{left}"


def _tell(
    view: View,
    config: ProjectConfig,
    paths: Paths,
    sample: SampledTraining,
    measured: list[Measurement],
    errors: dict[str, Exception],
    busy: float,
) -> None:
    """`busy`: cores that other programs used at most, before, between or after the trainings."""
    facts, pick = cpu_facts(), advice(measured, config.train.backend)
    result: dict[str, Any] = {
        "event": "comparison",
        "time": time.strftime("%Y-%m-%d %H:%M:%S"),
        "machine": facts,
        "cores_busy_otherwise": busy,
        "rows": sample.rows,
        "batch_size": config.train.batch_size,
        "measured": [asdict(each) for each in measured],
        "errors": {framework: error_text(error) for framework, error in errors.items()},
        "advice": pick,
    }
    if view.as_json:
        view.show(result)
    else:
        for line in _lines(facts, sample, measured, pick, busy):
            view.say(line)
    file = paths.output / FILE_NAME
    try:
        write_whole(file, to_json(result, indent=1) + "\n")
    except OSError as error:
        view.say(f"{file} could not be written: {error.strerror}")
        return
    if not view.as_json:
        view.say(f"also in {file}")


def _lines(
    facts: dict[str, Any], sample: SampledTraining, measured: list[Measurement], pick: str, busy: float
) -> Iterator[str]:
    yield ""
    yield f"{measured[0].steps} steps on {sample.rows} of your rows; {facts['cpu']}, {facts['cores']} cores"
    yield from table(measured)
    yield ""
    yield pick
    yield from doubts(measured, busy)
    known = {each.framework for each in measured}
    for framework in (name for name in FRAMEWORKS if name not in known and interpreter(name) is None):
        yield f"not installed: {framework}; `{install_command(framework)}` makes its environment ({COSTS[framework]})"
