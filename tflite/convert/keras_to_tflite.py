"""Converts a Keras model to a float32 .tflite file with one signature per length and built-in operations only."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from models.errors import ModelError
from models.saved.postprocessing import predicted_values
from tflite.convert import flatbuffer
from tflite.host.labels import LabelSpace
from tflite.host.manifest import Manifest

_SEGMENTS = "segment_embedding"
INPUTS = ("token_ids", "padding_mask", "segment_ids")
_UNSUPPORTED = re.compile(r"(?:Flex|Custom) ops: ([^\n]+)")


def convert(model: keras.Model, manifest: Manifest, labels: LabelSpace) -> bytes:
    """Converts the model for rows of each length; the signatures share their weights.

    Args:
        model: from {"token_ids", "padding_mask", "segment_ids"} int32 [B, L] to logits [B, C], in float32.
        manifest: the task and the lengths.
        labels: the meaning of the logits.

    Returns:
        A .tflite file. Its signatures (`Manifest.signature`, one for each length L) take the three inputs, int32
        [1, L], and return `probabilities` [1, C] float32, or `score` [1, 1] float32 in the targets' unit.

    Raises:
        ModelError: the model needs an operation that is not built into LiteRT; the message names it.
    """
    module = _ExportModule(model, manifest, labels)
    signatures = {manifest.signature(length): module.signature(length) for length in manifest.lengths}
    with _zeroed_common_row(model), tempfile.TemporaryDirectory() as folder:
        # Through a SavedModel: the converter does not see the variables behind a Keras 3 model's functions.
        tf.saved_model.save(module, folder, signatures=signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(signatures))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        try:
            content: bytes = converter.convert()
        except (MemoryError, OSError):  # a fault of the machine, not the model: the step fails, and no result is cached
            raise
        except Exception as error:
            raise _conversion_error(error) from error
    file = flatbuffer.read(content)
    custom = [name for name in flatbuffer.operations(file) if name.startswith("custom ")]
    if custom:
        raise _unsupported_operations(", ".join(custom))
    flatbuffer.use_embedding_lookups(file)
    return flatbuffer.write(file)


@contextlib.contextmanager
def _zeroed_common_row(model: keras.Model) -> Iterator[None]:
    """During conversion, moves the embedding of uncommon token pairs from the bigram table to every segment row.

    The sum of a token's embeddings stays the same. Most tokens use that row, so its quantization error would be in all
    of them; a row of zeros has no error, and the small segment table is not quantized.
    """
    tables = {layer.name: layer.embeddings for layer in model.layers if layer.name in ("bigram_embedding", _SEGMENTS)}
    if len(tables) < 2:
        yield
        return
    before = {name: table.numpy() for name, table in tables.items()}
    common = before["bigram_embedding"][0]
    tables["bigram_embedding"].assign(before["bigram_embedding"] - common)
    tables[_SEGMENTS].assign(before[_SEGMENTS] + common)
    try:
        yield
    finally:
        for name, table in tables.items():
            table.assign(before[name])


class _ExportModule(tf.Module):
    """The model followed by its activation. It tracks the variables, because Keras does not."""

    def __init__(self, model: keras.Model, manifest: Manifest, labels: LabelSpace) -> None:
        super().__init__(name="transom")
        self.weights = [variable.value for variable in model.variables]
        self._logits = lambda features: model(features, training=False)
        self._manifest, self._labels = manifest, labels

    def signature(self, length: int) -> Callable[..., dict[str, tf.Tensor]]:
        inputs = [tf.TensorSpec([1, length], tf.int32, name=name) for name in INPUTS]
        function: Callable[..., dict[str, tf.Tensor]] = tf.function(
            self._predict, input_signature=inputs, autograph=False, jit_compile=False
        )
        return function

    def _predict(self, token_ids: tf.Tensor, padding_mask: tf.Tensor, segment_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        features = dict(zip(INPUTS, (token_ids, padding_mask, segment_ids), strict=True))
        logits = tf.cast(tf.convert_to_tensor(self._logits(features)), tf.float32)
        return {self._manifest.output: predicted_values(logits, self._manifest.task, self._labels)}


def _conversion_error(error: Exception) -> ModelError:
    names = ", ".join(match.group(1).strip() for match in _UNSUPPORTED.finditer(str(error)))
    if names:
        return _unsupported_operations(names)
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return ModelError("the model cannot be converted", got=lines[0][:300], expected="a model that LiteRT can express")


def _unsupported_operations(names: str) -> ModelError:
    return ModelError(
        "the model needs operations that are not built into LiteRT",
        got=names,
        expected="only built-in operations, which every runtime has",
        fix="choose another model: an encoder from scratch, or a preset whose layers TFLite can express",
    )
