"""Trainer: turns transformed examples and a tokenizer into a SavedModel, with `models.training`."""

from __future__ import annotations

import json
import logging
from functools import partial
from pathlib import Path
from typing import Any

import keras
from tfx import types
from tfx.types import artifact_utils, standard_artifacts, system_executions
from tfx.utils import path_utils

from components.artifacts import TokenizerArtifact
from components.config import EvaluationConfig
from components.fingerprint import fingerprint
from components.lineage.lineage_facts import PresetFacts
from components.lineage.origin import origin
from components.preset_fingerprint import UNKNOWN_DIGEST, describe_checked_preset
from components.tfx_step import Step, StepExecutor, StepRun
from components.training_messages import explain_interrupted_export, log_progress
from models.config import (
    CONFIG_FILE,
    REPORT_FILE,
    ModelConfig,
    ModelsConfig,
    PresetConfig,
    TaskConfig,
)
from models.presets.architecture import ARCHITECTURE_FILE
from models.presets.backbones import merge_lora
from models.presets.preset import PresetInfo
from models.saved.export import export_saved_model
from models.training.elsewhere.environments import require_interpreter
from models.training.elsewhere.parent import train_elsewhere
from models.training.frameworks.tensorflow_devices import set_up_cpu
from models.training.fusion import resolve_linear_part
from models.training.resuming.resume_key import model_key
from models.training.token_rows import TokenRows
from models.training.training_request import Request
from models.training.training_run import plain
from tflite.host.json_text import to_json
from tflite.host.labels import LabelSpace
from tflite.host.tokenizer import Tokenizer

USER_LOG, PROGRESS_LOG = logging.getLogger("transom"), logging.getLogger("transom.progress")
# The code that affects a training's result: a checkpoint of other code is not used.
_TRAINING_CODE = ("models.training.training_run", "models.build")
_EXPORTING_CODE = ("models.saved.export",)
# Only the shapes matter for warming a server up, so no row of the user's data is stored with the model.
WARMUP_TEXTS = ("warm up", "a request of a few words more warms up the next length", "and a long one " * 32)


class Executor(StepExecutor):
    """Unpacks artifacts, trains, exports."""

    def run(self, step: StepRun) -> None:
        stored = json.loads(step.parameters["config"])
        config = ModelsConfig.from_stored(stored)
        calibrate = EvaluationConfig.model_validate(stored.get("evaluation", {})).calibrate
        folder, run_folder = step.folder("tokenizer"), step.folder("model_run")
        tokenizer, labels = Tokenizer.load(folder), LabelSpace.load(folder)
        preset = describe_checked_preset(config.model, step.parameters["preset"])
        temporary = Path(self._get_tmp_dir())

        def store_rows(split: str) -> int:
            """Reads the rows of a split, as Transform wrote them, into a folder; how many there are."""
            uri = artifact_utils.get_split_uri(step.artifacts["examples"], split)
            files = sorted(str(path) for path in Path(uri).iterdir())
            folder = temporary / split
            return len(TokenRows.from_tfrecords(files, folder, outputs=labels.outputs, task=config.task.type))

        if config.train.backend == "tensorflow":
            set_up_cpu(config)
        PROGRESS_LOG.info("reading the rows")
        code = fingerprint(*_TRAINING_CODE)
        counts = {split: store_rows(split) for split in ("train", "eval")}
        model = resolve_linear_part(config.model, counts["eval"])
        request = Request(
            config.model_copy(update={"model": model}),
            tokenizer=folder,
            train_rows=temporary / "train",
            eval_rows=temporary / "eval",
            architecture=preset,
            calibrate=calibrate,
            resume_key={**model_key(model), **_metrics_key(config.task, calibrate), "code": code},
            checkpoint_dir=Path(step.parameters["checkpoints"]),
            log_dir=run_folder / "logs",
        )

        def make_model() -> keras.Model:
            PROGRESS_LOG.info("building the model")
            return request.build()

        told: dict[str, Any] = {"on_progress": log_progress, "on_note": lambda text: USER_LOG.info("%s", text)}
        if config.train.backend == "tensorflow":
            trained = plain(request.train(make_model, **told), partial(request.build, preset))
        else:
            interpreter = require_interpreter(config.train.backend)
            trained = train_elsewhere(make_model, request, temporary / "elsewhere", interpreter=interpreter, **told)
        facts = origin(config.train.backend, _preset_facts(config.model, preset, step.parameters["preset"]))
        report = to_json({**trained.report, "origin": facts.model_dump(mode="json")}, indent=1, ascii=True)
        stored["model"]["linear_rows"] = model.linear_rows
        stored["task"]["threshold"] = trained.task.threshold  # a number, also for `auto`
        extra = {CONFIG_FILE: to_json(stored, indent=1, ascii=True).encode(), REPORT_FILE: report.encode()}
        if preset is not None:
            extra[ARCHITECTURE_FILE] = preset.text().encode()
        target = path_utils.serving_model_dir(step.artifact("model").uri)
        key = request.program_key()
        with explain_interrupted_export(trained):
            merge_lora(trained.model)
            (run_folder / REPORT_FILE).write_text(report + "\n", encoding="utf-8")
            export_saved_model(
                trained.model,
                target,
                tokenizer=tokenizer,
                labels=trained.labels,
                task=trained.task,
                extra_files=extra,
                warmup_texts=WARMUP_TEXTS,
                attributions=True,
                program_key=key and f"{key} {fingerprint(*_EXPORTING_CODE)}",
            )
        trained.checkpoint.remove()


def _preset_facts(model: ModelConfig, preset: PresetInfo | None, digest: str) -> PresetFacts | None:
    """`digest`: with which the graph was built, and which `describe_checked_preset` has found again."""
    if not isinstance(model, PresetConfig) or preset is None:
        return None
    return PresetFacts(name=model.preset, digest=preset.digest() if digest in ("", UNKNOWN_DIGEST) else digest)


def _metrics_key(task: TaskConfig, calibrate: bool) -> dict[str, Any]:
    """Whether temperatures are fitted, where that decides the eval metrics and so the best epoch: not at 0.5."""
    return {"evaluation.calibrate": calibrate} if task.type == "multi_label" and task.threshold != 0.5 else {}


class Trainer(Step, executor=Executor):
    """Trains the Transformer that the configuration describes and exports it as a SavedModel."""

    INPUTS = {"examples": standard_artifacts.Examples, "tokenizer": TokenizerArtifact}
    OUTPUTS = {"model": standard_artifacts.Model, "model_run": standard_artifacts.ModelRun}
    PARAMETERS = {"config": str, "preset": str, "checkpoints": str, "backend": str}
    TYPE_ANNOTATION = system_executions.Train

    def __init__(
        self,
        examples: types.BaseChannel,
        tokenizer: types.BaseChannel,
        *,
        config: dict[str, Any],
        checkpoints: str,
        preset: str = "",
        backend: str = "",
    ) -> None:
        """`config` is the dump of a ModelsConfig, with `evaluation.calibrate`; all its keys are stored with the model.

        `preset`: a digest of the preset's files, see `components.preset_fingerprint`. `backend`: of the environment of
        another framework than TensorFlow, see `models.training.elsewhere.installed_packages.environment_key`.
        """
        super().__init__(
            examples=examples,
            tokenizer=tokenizer,
            config=to_json(config, sort_keys=True, ascii=True),
            preset=preset,
            checkpoints=checkpoints,
            backend=backend,
        )
