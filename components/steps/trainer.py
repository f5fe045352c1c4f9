"""Trainer: transformed examples and a tokenizer become a SavedModel, through `models.training`."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs
from tfx.utils import path_utils

from components.artifacts import TokenizerArtifact
from components.fingerprint import fingerprint
from components.preset_fingerprint import describe_told
from models.build import build_model, layer_depths
from models.config import CONFIG_FILE, ModelsConfig
from models.errors import Interrupted
from models.presets.architecture import ARCHITECTURE_FILE
from models.presets.backbones import merge_lora
from models.saved.export import export_saved_model
from models.training.progress import Progress, format_duration
from models.training.resuming.resume_key import model_key
from models.training.token_rows import TokenRows
from models.training.training_run import TrainedModel, train
from tflite.host.json_text import to_json
from tflite.host.labels import LabelSpace
from tflite.host.prediction import TaskType
from tflite.host.tokenizer import Tokenizer

SAYS, PROGRESS = logging.getLogger("transom"), logging.getLogger("transom.progress")
FIGURES = logging.getLogger("transom.figures")
REPORT_FILE = "training.json"
# What decides a training's result besides settings and data: a checkpoint of other code is not used.
_TRAINS = ("models.training.training_run", "models.build")
# Shapes, not contents, warm a server up: no row of the user's leaves with the model.
WARMUP_TEXTS = ("warm up", "a request of a few words more warms up the next length", "and a long one " * 32)


class _Spec(component_spec.ComponentSpec):
    PARAMETERS = {
        "config": component_spec.ExecutionParameter(type=str),
        "preset": component_spec.ExecutionParameter(type=str),
        "checkpoints": component_spec.ExecutionParameter(type=str),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "tokenizer": component_spec.ChannelParameter(type=TokenizerArtifact),
    }
    OUTPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "model_run": component_spec.ChannelParameter(type=standard_artifacts.ModelRun),
    }
    TYPE_ANNOTATION = standard_component_specs.TrainerSpec.TYPE_ANNOTATION


class Executor(base_executor.BaseExecutor):
    """Unpacks artifacts, trains, exports; nothing else."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See TFX's `BaseExecutor.Do`."""
        stored = json.loads(exec_properties["config"])
        config = ModelsConfig.from_stored(stored)
        folder = artifact_utils.get_single_uri(input_dict["tokenizer"])
        tokenizer, labels = Tokenizer.load(folder), LabelSpace.load(folder)
        run_folder = Path(artifact_utils.get_single_uri(output_dict["model_run"]))
        preset = describe_told(config.model, exec_properties["preset"])

        def rows(split: str) -> TokenRows:
            return self._rows(input_dict["examples"], split, outputs=labels.outputs, task=config.task.type)

        def make_model() -> keras.Model:
            PROGRESS.info("building the model")
            return build_model(config.model, tokenizer=tokenizer, outputs=labels.outputs)

        PROGRESS.info("reading the rows")
        trained = train(
            make_model,
            rows("train"),
            rows("eval"),
            task=config.task,
            config=config.train,
            labels=labels,
            pad_id=tokenizer.pad_id,
            max_length=tokenizer.max_length,
            depths=layer_depths,
            preset=config.model.type == "preset",
            resume_key={**model_key(config.model), "code": fingerprint(*_TRAINS)},
            checkpoint_dir=Path(exec_properties["checkpoints"]),
            log_dir=run_folder / "logs",
            on_progress=_tell,
            on_note=lambda text: SAYS.info("%s", text),
        )
        report = to_json(trained.report, indent=1, ascii=True)
        extra = {CONFIG_FILE: to_json(stored, indent=1, ascii=True).encode(), REPORT_FILE: report.encode()}
        if preset is not None:
            extra[ARCHITECTURE_FILE] = preset.text().encode()
        target = path_utils.serving_model_dir(artifact_utils.get_single_uri(output_dict["model"]))
        with _exporting(trained):
            merge_lora(trained.model)
            (run_folder / REPORT_FILE).write_text(report + "\n", encoding="utf-8")
            export_saved_model(
                trained.model,
                target,
                tokenizer=tokenizer,
                labels=labels,
                task=config.task,
                extra_files=extra,
                warmup_texts=WARMUP_TEXTS,
            )
        trained.checkpoints.remove()

    def _rows(self, examples: list[types.Artifact], split: str, *, outputs: int, task: TaskType) -> TokenRows:
        """The rows of a split, as Transform wrote them."""
        uri = Path(artifact_utils.get_split_uri(examples, split))
        files = sorted(str(path) for path in uri.iterdir())
        return TokenRows.from_tfrecords(files, Path(self._get_tmp_dir()) / split, outputs=outputs, task=task)


@contextmanager
def _exporting(trained: TrainedModel) -> Iterator[None]:
    """Says what an interruption costs once the training is done: nothing of it, where its checkpoint was written."""
    PROGRESS.info("exporting the SavedModel")
    try:
        yield
    except KeyboardInterrupt as error:
        step, folder = trained.checkpoints.kept_step, trained.checkpoints.folder
        what, same = "the export of the trained model", "with the same settings, data and code"
        if step is None:
            lost, then = "the whole training, of which there is no checkpoint", "training starts at step 1"
            raise Interrupted(what, lost=lost, then=then) from error
        if step < trained.report["steps"]:
            kept, then = f"a checkpoint of step {step}, in {folder}", f"{same} training continues at step {step + 1}"
            raise Interrupted(what, kept=kept, lost="all steps after it", then=then) from error
        kept, then = f"the whole training, as a checkpoint in {folder}", f"{same} only the export is left"
        raise Interrupted(what, kept=kept, lost="nothing but the export", then=then) from error


def _tell(state: Progress) -> None:
    """A line that stays for each epoch; between them how far it is, what matters most first."""
    epoch = f"epoch {state.epoch}/{state.epochs}"
    if state.evaluation is not None:
        figures = ", ".join(f"{name} {value:.4f}" for name, value in state.evaluation.items())
        FIGURES.info("%s: training loss %.4f, eval %s", epoch, state.loss, figures)
        return
    step = f"step {state.step}/{state.steps}"
    parts = [epoch, step] if state.evaluated is None else [epoch, f"evaluated {state.evaluated:.0%}", step]
    if state.seconds_left is not None:
        parts.append(f"{format_duration(state.seconds_left)} left")
    if state.tokens_per_second:
        parts.append(f"{state.tokens_per_second:.0f} tokens/s")
    PROGRESS.info("%s", ", ".join([*parts, f"loss {state.loss:.4f}"]))


class Trainer(base_component.BaseComponent):
    """Trains the Transformer that the configuration describes and exports it as a SavedModel."""

    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        tokenizer: types.BaseChannel,
        *,
        config: dict[str, Any],
        checkpoints: str,
        preset: str = "",
    ) -> None:
        """`config` is the dump of a ModelsConfig; what else it holds (`data`, `name`) is stored with the model.

        `preset`: a digest of the preset's files, see `components.preset_fingerprint`.
        """
        super().__init__(
            spec=_Spec(
                examples=examples,
                tokenizer=tokenizer,
                config=to_json(config, sort_keys=True, ascii=True),
                preset=preset,
                checkpoints=checkpoints,
                code=fingerprint(__name__),
                model=types.Channel(type=standard_artifacts.Model),
                model_run=types.Channel(type=standard_artifacts.ModelRun),
            )
        )
