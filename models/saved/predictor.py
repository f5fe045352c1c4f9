"""Predicts with a pushed SavedModel, without Keras: for `transom predict` and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from models.errors import ModelError
from models.saved.model_locations import EXTRA_FOLDER, newest_version
from models.text.tensorflow_text_ops import register_text_ops
from tflite.host.labels import LABELS_FILE, LabelSpace
from tflite.host.prediction import Prediction, check_pairs

_BATCH_ROWS = 64


class Predictor:
    """A loaded SavedModel; make it with `load`."""

    def __init__(self, folder: Path, module: Any, labels: tuple[str, ...]) -> None:
        self.folder, self.labels = folder, labels
        self._module = module  # it owns the variables of its signatures
        self._predict_batch = module.signatures["serving_default"]
        self.pairs = "text_pair" in self._predict_batch.structured_input_signature[1]

    def predict(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Prediction]:
        """Predicts for the texts, in their order.

        Args:
            texts: any strings.
            pairs: the second texts, one for each text, for a model about pairs.

        Raises:
            ModelError: pairs for a model of single texts, or a wrong number of them for a model of pairs.
        """
        check_pairs(self.folder, self.pairs, len(texts), None if pairs is None else len(pairs))
        # Sorted by length, because a batch is padded to its longest text.
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]) + (len(pairs[row]) if pairs else 0))
        predictions: dict[int, Prediction] = {}
        for begin in range(0, len(order), _BATCH_ROWS):
            rows = order[begin : begin + _BATCH_ROWS]
            inputs = {"text": _strings(texts, rows)} | ({"text_pair": _strings(pairs, rows)} if pairs else {})
            predictions.update(zip(rows, self._to_predictions(self._predict_batch(**inputs)), strict=True))
        return [predictions[row] for row in range(len(texts))]

    def _to_predictions(self, outputs: dict[str, tf.Tensor]) -> list[Prediction]:
        scores = outputs["score"].numpy().tolist()
        if "label" not in outputs:
            return [Prediction(score) for score in scores]
        rows = zip(scores, outputs["label"].numpy().tolist(), outputs["probabilities"].numpy().tolist(), strict=True)
        return [Prediction(s, label.decode("utf-8"), dict(zip(self.labels, p, strict=True))) for s, label, p in rows]


def load(directory: Path | str) -> Predictor:
    """Loads the SavedModel that `directory` means; see `newest_version`.

    Raises:
        ModelError: there is no model, there are several, or it cannot be loaded.
    """
    folder = newest_version(Path(directory))
    register_text_ops()
    try:
        module = tf.saved_model.load(str(folder))
        labels = LabelSpace.load(folder / EXTRA_FOLDER).labels
        return Predictor(folder, module, labels)
    except (OSError, LookupError, ValueError, TypeError, AttributeError, tf.errors.OpError) as error:
        raise ModelError(
            f"the model in {folder} cannot be loaded",
            got=(str(error) or type(error).__name__).splitlines()[0],
            expected=f"a SavedModel that Transom exported, with {EXTRA_FOLDER}/{LABELS_FILE}",
            fix="push it again",
        ) from error


def _strings(texts: Sequence[str], rows: list[int]) -> tf.Tensor:
    # A lone surrogate (half an emoji, an undecodable byte of a terminal) is not UTF-8: the graph reads it as U+FFFD.
    return tf.constant([texts[row].encode("utf-8", errors="surrogatepass") for row in rows], tf.string)
