"""Tiny models with random weights, exported: one for each kind of task. That of pairs has no temperature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import golden_text
import keras
import numpy as np
from surface_weights import fill_surface

from models.build import build_model
from models.config import CONFIG_FILE, EncoderConfig, ModelsConfig, TaskConfig
from models.saved.export import export_saved_model
from models.saved.restore import RestoredModel
from tflite.host.labels import LabelSpace
from tflite.host.tokenizer import Tokenizer

ENCODER = EncoderConfig(num_layers=1, width=8, num_heads=2, linear_rows=31)
KINDS = {
    "single": (TaskConfig(text="review"), LabelSpace(labels=("bad", "good", "très 好"), temperatures=(1.7,))),
    "pair": (TaskConfig(text="a", text_pair="b"), LabelSpace(labels=("no", "yes"))),
    "multi": (
        TaskConfig(type="multi_label", label_separator="; "),
        LabelSpace(labels=("x", "y", "z"), temperatures=(0.6, 1.0, 2.5)),
    ),
    "number": (TaskConfig(type="regression", text_pair="other"), LabelSpace(mean=1000.0, std=50.0)),
}


@dataclass(frozen=True)
class Exported:
    """An exported model and its parts."""

    folder: Path
    model: keras.Model
    tokenizer: Tokenizer
    labels: LabelSpace
    task: TaskConfig

    def ask_keras(self, texts: list[bytes], pairs: list[bytes] | None = None) -> dict[str, np.ndarray]:
        """Predictions of the Keras model itself."""
        return self._restored.predict(texts, pairs)

    @cached_property
    def _restored(self) -> RestoredModel:
        # Made once: its graph of the text operations takes a second or two.
        return RestoredModel(self.model, self.tokenizer, self.labels, self.task)


class Exports(Mapping[str, Exported]):
    """Kind of task to its tiny model, exported when it is first asked for: an export takes four seconds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Exported] = {}

    def __getitem__(self, kind: str) -> Exported:
        if kind not in self._made:
            self._made[kind] = export(kind, self._folder / kind / "Format-Serving")
        return self._made[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(KINDS)

    def __len__(self) -> int:
        return len(KINDS)


def tiny_model(
    tokenizer: Tokenizer, outputs: int, config: EncoderConfig = ENCODER, *, two_texts: bool = False
) -> keras.Model:
    """An encoder whose predictions differ between texts."""
    keras.utils.set_random_seed(1)
    model = build_model(config, tokenizer=tokenizer, outputs=outputs, two_texts=two_texts)
    fill_surface(model)
    for variable in model.trainable_variables:
        if "kernel" in variable.path or "embedding" in variable.path:
            variable.assign(keras.random.normal(variable.shape, stddev=0.7, seed=len(variable.path)))
    return model


def export(
    kind: str,
    folder: Path,
    tokenizer: Tokenizer | None = None,
    *,
    attributions: bool = False,
    labels: LabelSpace | None = None,
) -> Exported:
    """Exports a tiny model for the kind of task, or with other labels, into a folder that does not exist yet."""
    tokenizer = tokenizer or golden_text.tokenizer()
    task, labels = KINDS[kind][0], labels or KINDS[kind][1]
    model = tiny_model(tokenizer, labels.outputs, two_texts=task.text_pair is not None)
    config = ModelsConfig(task=task, model=ENCODER).model_dump_json().encode()
    extra = {"a.txt": b"a", CONFIG_FILE: config}
    parts = {"tokenizer": tokenizer, "labels": labels, "task": task}
    export_saved_model(model, folder, **parts, extra_files=extra, attributions=attributions)
    return Exported(folder, model, tokenizer, labels, task)
