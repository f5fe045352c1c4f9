"""A .tflite file for MediaPipe's TextClassifier that returns its input token ids as "probabilities"."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
import tiny_edge as tiny

from tflite.bundle.mediapipe_metadata import FileDescription, add_metadata
from tflite.host.tokenizer import Tokenizer

_INPUTS = ("token_ids", "padding_mask", "segment_ids")


def write(path: Path, tokenizer: Tokenizer) -> None:
    """Writes the file; its output is `max_length` token ids, then the mask, then the segment ids."""
    length = tokenizer.max_length
    manifest = tiny.manifest(lengths=(length,))

    def reveal(**features: tf.Tensor) -> dict[str, tf.Tensor]:
        given = tf.concat([features[name] for name in _INPUTS], axis=1)
        return {manifest.output: tf.cast(given, tf.float32)}  # exact up to 2**24

    specs = {name: tf.TensorSpec([1, length], tf.int32, name=name) for name in _INPUTS}
    module = tf.Module()
    module.reveal = tf.function(reveal, autograph=False)
    folder = path.with_suffix("")
    signatures = {manifest.signature(length): module.reveal.get_concrete_function(**specs)}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=list(signatures))
    vocabulary = "".join(f"{token}\n" for token in tokenizer.vocabulary)
    labels = [f"{name} {place}" for name in _INPUTS for place in range(length)]
    path.write_bytes(add_metadata(converter.convert(), manifest, FileDescription("probe"), vocabulary, labels))
