"""The SavedModels of the attacked server: half_plus_two with a signature for every method, and a text model."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

FLOATS, TEXT, OTHER = "half_plus_two", "text", "other"
"""Served names. `OTHER` is half_plus_two again, for reloads."""

SPEED_OF_LIGHT = 2**31 - 1
"""The number that `endless` has to count to."""


def prepare(folder: Path, *, encoder: bool) -> Path:
    """Writes the models, each as version 1, unless they exist, and the configuration that serves them.

    Args:
        folder: of all models.
        encoder: the text model is Transom's own encoder (two layers, 128 wide, about 1 MB per row in a run); otherwise
            a bag of words, which is written in a second.

    Returns:
        The `ModelServerConfig` file.
    """
    for name, save in {FLOATS: _save_floats, TEXT: _save_encoder if encoder else _save_bag}.items():
        if not (folder / name / "1" / "saved_model.pb").exists():
            # In a child process, so that the measuring process never imports TensorFlow.
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as child:
                child.submit(save, folder / name / "1").result()
    config = folder / "models.config"
    config.write_text(config_text(folder, FLOATS, TEXT))
    return config


def config_text(folder: Path, *names: str) -> str:
    """A `ModelServerConfig` with these names."""
    rows = [
        f'  config {{ name: "{name}" base_path: "{base_path(folder, name)}" model_platform: "tensorflow" }}\n'
        for name in names
    ]
    return f"model_config_list {{\n{''.join(rows)}}}\n"


def base_path(folder: Path, name: str) -> Path:
    """The folder with the versions of a served name."""
    return folder / (FLOATS if name == OTHER else name)


def _save_encoder(folder: Path) -> None:
    from benchmarks.small_model import export_small_model, made_up_texts

    export_small_model(folder, made_up_texts(256))


def _save_bag(folder: Path) -> None:
    """Sums the vectors of hashed words: `text` to `label`, `score` and `probabilities`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    class Bag(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vectors = tf.Variable(tf.random.stateless_normal([1000, 2], (0, 1)))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
        def predict(self, text):
            ids = tf.strings.to_hash_bucket_fast(tf.strings.split(text), 1000)
            probabilities = tf.nn.softmax(tf.reduce_sum(tf.gather(self.vectors, ids), 1))
            label = tf.gather(tf.constant(["bad", "good"]), tf.argmax(probabilities, 1))
            return {"label": label, "score": tf.reduce_max(probabilities, 1), "probabilities": probabilities}

    model = Bag()
    tf.saved_model.save(model, str(folder), {"serving_default": model.predict})


def _save_floats(folder: Path) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    features = {"x": tf.io.FixedLenFeature([], tf.float32, 0.0)}
    strings = [tf.TensorSpec([None], tf.string, name="inputs")]

    class Floats(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def predict(self, x):
            return {"y": x * 0.5 + 2.0}

        @tf.function(input_signature=strings)
        def classify(self, inputs):
            x = tf.io.parse_example(inputs, features)["x"]
            return {"scores": tf.stack([x, 1 - x], 1), "classes": tf.tile([["x", "rest"]], [tf.shape(x)[0], 1])}

        @tf.function(input_signature=strings)
        def regress(self, inputs):
            return {"outputs": tf.io.parse_example(inputs, features)["x"] * 0.5 + 2.0}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([None], tf.int64)])
        def two(self, text, n):
            return {"upper": tf.strings.upper(text), "n": n}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="n")])
        def wide(self, n):
            """As many zeros as requested: a response larger than its request."""
            return {"zeros": tf.zeros([tf.shape(n)[0], tf.reduce_max(n)])}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="n")])
        def endless(self, n):
            steps = tf.reduce_max(n)
            _, last = tf.while_loop(lambda i, x: i < steps, lambda i, x: (i + 1, x + 1), [0, 0])
            return {"last": tf.fill(tf.shape(n), last)}

    model = Floats()
    names = ["classify", "regress", "two", "wide", "endless"]
    signatures = {"serving_default": model.predict} | {name: getattr(model, name) for name in names}
    tf.saved_model.save(model, str(folder), signatures)
