"""Restores the Keras model from an exported SavedModel: to compare, convert or train it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.build import build_model
from models.config import CONFIG_FILE, REPORT_FILE, ModelsConfig, PresetConfig, TaskConfig
from models.errors import ModelError, PresetError
from models.presets.architecture import ARCHITECTURE_FILE, Architecture
from models.presets.backbones import disable_lora
from models.presets.preset import describe_preset
from models.saved.model_locations import CHECKPOINT, EXTRA_FOLDER, VALUE, WEIGHT
from models.saved.postprocessing import postprocess, predicted_values
from models.text.preprocessing import Preprocessor, to_dense
from tflite.host.labels import LabelSpace
from tflite.host.tokenizer import Tokenizer


@dataclass(frozen=True)
class RestoredModel:
    """A Keras model with its tokenizer, labels and task, as before the export.

    Its first prediction traces it: later ones follow its variables' values, but not a layer that is exchanged.
    """

    model: keras.Model
    tokenizer: Tokenizer
    labels: LabelSpace
    task: TaskConfig
    stored: Mapping[str, Any] = field(default_factory=dict)
    """The whole stored configuration."""
    framework: str = ""
    """What trained it, such as "jax 0.10.2"; empty if that is not known."""

    def predict(self, texts: Sequence[bytes], pairs: Sequence[bytes] | None = None) -> dict[str, np.ndarray]:
        """Predicts with the Keras model; see `models.saved.postprocessing` for the keys.

        Args:
            texts: [B], any bytes.
            pairs: [B], the second texts, for a model about pairs.
        """
        logits = self._logits(self.features(texts, pairs))
        return {name: value.numpy() for name, value in postprocess(logits, self.task, self.labels).items()}

    def features(self, texts: Sequence[bytes], pairs: Sequence[bytes] | None = None) -> dict[str, tf.Tensor]:
        """The model's inputs: `token_ids`, `padding_mask`, `segment_ids`, int32 [B, L], padded to the longest.

        Args: see `predict`.
        """
        columns = [texts] if pairs is None else [texts, pairs]
        batch = [tf.constant(list(column), tf.string) for column in columns]
        return to_dense(self._preprocess(*batch), self.tokenizer.pad_id)

    def predicted_values(self, features: Mapping[str, tf.Tensor]) -> np.ndarray:
        """Only the numbers, [B, C] float32; see `models.saved.postprocessing.predicted_values`."""
        numbers: np.ndarray = predicted_values(self._logits(features), self.task.type, self.labels).numpy()
        return numbers

    def _logits(self, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return self._call({name: features[name] for name in self.model.input})

    @cached_property
    def _call(self) -> Any:
        """The Keras model as one function for inputs of any shape, traced once: half the time of calling it eagerly."""

        def call(features: dict[str, tf.Tensor]) -> tf.Tensor:
            return tf.cast(tf.convert_to_tensor(self.model(features, training=False)), tf.float32)

        inputs = {name: tf.TensorSpec([None, None], tf.int32) for name in self.model.input}
        return tf.function(call, input_signature=[inputs], autograph=False)

    @cached_property
    def _preprocess(self) -> Preprocessor:
        # Made once: it puts the vocabulary into a graph, which takes a second for 30,000 tokens.
        return Preprocessor(self.tokenizer)


def restore(folder: Path | str) -> RestoredModel:
    """Builds the Keras model of a SavedModel that `models.saved.export` wrote, with its weights.

    The SavedModel contains everything: weights, tokenizer, and a preset's architecture. Only exports of earlier
    versions of Transom lack the latter; for those, the preset's own folder is read.

    Args:
        folder: the SavedModel, one version.

    Raises:
        ModelError: Transom did not export it, its weights do not fit its configuration, or it lacks the preset's
            architecture and the preset is gone.
    """
    extra = Path(folder) / EXTRA_FOLDER
    try:
        stored = json.loads((extra / CONFIG_FILE).read_text(encoding="utf-8"))
        config = ModelsConfig.from_stored(stored)
        tokenizer, labels = Tokenizer.load(extra), LabelSpace.load(extra)
        architecture = Architecture.load(extra)
        checkpoint = tf.train.load_checkpoint(str(Path(folder) / CHECKPOINT))
    except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
        raise ModelError(
            f"the model in {folder} cannot be restored",
            got=f"{type(error).__name__}: {str(error).splitlines()[0]}",
            expected=f"a SavedModel that `transom run` made, with {EXTRA_FOLDER}/{CONFIG_FILE}",
        ) from error
    if isinstance(config.model, PresetConfig) and architecture is None:
        architecture = _look_up(config.model, Path(folder))
    model = build_model(
        config.model,
        tokenizer=tokenizer,
        outputs=labels.outputs,
        two_texts=config.task.text_pair is not None,
        architecture=architecture,
    )
    disable_lora(model)
    _assign(model, checkpoint, Path(folder))
    return RestoredModel(model, tokenizer, labels, config.task, stored, _framework(extra))


def _framework(extra: Path) -> str:
    """From the report of the training, which exports of earlier versions lack."""
    try:
        report = json.loads((extra / REPORT_FILE).read_text(encoding="utf-8"))
        return str(report.get("framework", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def _look_up(config: PresetConfig, folder: Path) -> Architecture:
    """The architecture from the preset's folder, for a model that lacks it."""
    try:
        return describe_preset(config.preset)
    except PresetError as error:
        raise ModelError(
            f"the model in {folder} cannot be restored without its preset",
            got=f"no {EXTRA_FOLDER}/{ARCHITECTURE_FILE}, as in exports of earlier versions, and {error.what}",
            expected=f"the preset where it was in training: {config.preset}",
            fix="put the preset back there, or run the pipeline again: models that it pushes now need no preset",
        ) from error


def _assign(model: keras.Model, checkpoint: tf.train.CheckpointReader, folder: Path) -> None:
    """Assigns the exported weights, which are stored in their order."""
    shapes = checkpoint.get_variable_to_shape_map()
    expected = {_key(index): list(variable.shape) for index, variable in enumerate(model.variables)}
    found = {key: shape for key, shape in shapes.items() if key in expected or key.startswith("weights/")}
    if found != expected:
        wrong = sorted(key for key in {*found, *expected} if found.get(key) != expected.get(key))
        raise ModelError(
            f"the weights in {folder} do not fit its configuration",
            got=f"{len(found)} weights; other than expected: {', '.join(wrong[:3])}",
            expected=f"{len(expected)} weights",
            fix="export the model again with this version of Transom",
        )
    for index, variable in enumerate(model.variables):
        variable.assign(checkpoint.get_tensor(_key(index)))


def _key(index: int) -> str:
    return VALUE.format(WEIGHT.format(index))
