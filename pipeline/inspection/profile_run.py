"""`transom profile`: times and traces steps of a project's training, and says where the time goes. No TensorFlow."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models import heap
from models.config import ModelsConfig, PresetConfig
from models.errors import ConfigError
from models.runtime import cpu_facts
from models.whole_writes import atomic_directory
from pipeline.comparison.other_load import busy_cores
from pipeline.configuration.loading import load
from pipeline.inspection.profile_screen import remarks, screen
from pipeline.paths import Paths
from pipeline.runs.pipeline_run import run
from pipeline.runs.temporary_folders import temporary_folder
from pipeline.steps import BEFORE_TRAINING
from pipeline.terminal.console import View
from pipeline.terminal.run_log import captured_output
from tflite.host.json_text import to_json

if TYPE_CHECKING:
    from models.training.inspection.traced_steps import Profile
    from pipeline.runs.local.local_runner import Outputs

FILE_NAME = "profile.json"
LOG_NAME = "profile-log.txt"


def run_profile(config_file: Path, overrides: list[str], *, steps: int, as_json: bool, verbose: bool) -> int:
    """Prepares the project's rows, times and traces steps of its training, prints and stores what was measured.

    Raises:
        ConfigError: another framework than TensorFlow trains.
        TransomError: the rows cannot be prepared, or the training fails.
    """
    config = load(config_file, overrides)
    if config.train.backend != "tensorflow":
        raise ConfigError(
            "train.backend",
            got=config.train.backend,
            expected="tensorflow: another framework trains in a process of its own, which this profiler does not see",
            fix="profile with --set train.backend=tensorflow; `transom compare-backends` times the others",
        )
    paths = Paths.from_config(config, config_file)
    outputs: Outputs = {}
    run(config_file, overrides, to_step=BEFORE_TRAINING, as_json=as_json, verbose=verbose, outputs=outputs)
    target = _new_folder(paths.profiles)
    with temporary_folder() as folder, captured_output(paths.profiles / LOG_NAME, as_json, verbose) as view:
        busy = busy_cores()
        from models.training.frameworks.tensorflow_devices import set_up_cpu

        set_up_cpu(config)
        from models.training.inspection.traced_steps import profile
        from pipeline.inspection.prepared_rows import PreparedRows

        heap.keep_loaded()
        prepared = PreparedRows(config, paths, outputs, folder)
        with atomic_directory(target) as written, view.step("profile"):
            request = prepared.request(_profiled(prepared.models_config))
            found = profile(request, steps, written, on_note=view.say, on_step=view.progress)
            result = _result(found, max(busy, busy_cores()))
            (written / FILE_NAME).write_text(to_json(result, indent=1) + "\n", encoding="utf-8")
        _tell(view, found, result, target, paths)
    return 0


def _profiled(config: ModelsConfig) -> ModelsConfig:
    """The project's own settings; of a preset without the linear model, which is fitted beside the first epoch only."""
    if not isinstance(config.model, PresetConfig):
        return config
    return config.model_copy(update={"model": config.model.model_copy(update={"linear_rows": 0})})


def _new_folder(profiles: Path) -> Path:
    """An unused one, named by the time."""
    base = profiles / time.strftime("%Y%m%d-%H%M%S")
    names = (base if number == 1 else base.with_name(f"{base.name}-{number}") for number in range(1, 1000))
    return next(name for name in names if not name.exists())


def _result(found: Profile, busy: float) -> dict[str, Any]:
    return {
        "event": "profile",
        "time": time.strftime("%Y-%m-%d %H:%M:%S"),
        "machine": cpu_facts(),
        "cores_busy_otherwise": busy,
        **asdict(found),
        "padding": found.padding,
        "flops_per_second": found.flops_per_step / found.seconds_per_step,
        "remarks": remarks(found, busy),
    }


def _tell(view: View, found: Profile, result: dict[str, Any], target: Path, paths: Paths) -> None:
    if view.as_json:
        view.show({**result, "folder": str(target)})
        return
    for line in screen(found, result["machine"], result["remarks"]):
        view.say(line)
    view.say("")
    view.say(f"profile: {target}")
    view.say(f"look at: xprof --logdir {paths.profiles}    (docs/training.md says how to get it)")
