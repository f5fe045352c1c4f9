"""Tiny SavedModels, and a server core that serves a folder of versions: their states, and who answered."""

from __future__ import annotations

import asyncio
import shutil
import struct
from pathlib import Path

import numpy as np

from serving.server.model_service import ModelService
from serving.server.options import ServerOptions
from serving.wire.protos import (
    Example,
    GetModelStatusRequest,
    ModelConfig,
    ModelServerConfig,
    ModelSpec,
    PredictionLog,
)

BIASES = (0, 1, 2)


def save_model(folder: Path, bias: float) -> None:
    """Saves a SavedModel whose signatures add or return the bias."""
    import tensorflow as tf

    features = {"x": tf.io.FixedLenFeature([], tf.float32)}

    class Biased(tf.Module):
        def __init__(self):
            super().__init__()
            self.bias = tf.Variable(float(bias))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def predict(self, x):
            return {"y": x + self.bias, "bias": tf.fill(tf.shape(x), self.bias)}

        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, name="x")])
        def matrix(self, x):
            return {"sum": tf.reduce_sum(x, 1), "rows": tf.fill([tf.shape(x)[0]], tf.shape(x)[0])}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([None], tf.int64)])
        def two(self, text, n):
            return {"upper": tf.strings.upper(text), "n": n}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def positive(self, x):
            with tf.control_dependencies([tf.debugging.assert_positive(x, message="not positive")]):
                return {"y": x + self.bias}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def scalar(self, x):
            return {"total": tf.reduce_sum(x), "name": tf.constant("total")}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="n")])
        def slow(self, n):
            steps = tf.reduce_max(n)
            _, last = tf.while_loop(lambda i, x: i < steps, lambda i, x: (i + 1, x + 1), [0, 0])
            return {"last": tf.fill(tf.shape(n), last)}

        def _x(self, examples):
            return tf.io.parse_example(examples, features)["x"]

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
        def classify(self, inputs):
            x = self._x(inputs)
            scores = tf.stack([x, self.bias - x], 1)
            return {"scores": scores, "classes": tf.tile([["x", "rest"]], [tf.shape(x)[0], 1])}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
        def regress(self, inputs):
            return {"outputs": self._x(inputs) + self.bias}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
        def bad_regress(self, inputs):
            return {"outputs": tf.stack([self._x(inputs)] * 2, 1)}

    model = Biased()
    names = ["matrix", "two", "positive", "scalar", "slow", "classify", "regress", "bad_regress"]
    tf.saved_model.save(model, str(folder), {"serving_default": model.predict} | {n: getattr(model, n) for n in names})


def publish(model: Path, base: Path, version: int) -> Path:
    """Publishes a model under a base path as a version, complete when its name appears."""
    base.mkdir(parents=True, exist_ok=True)
    hidden = base / f".{version}"
    shutil.copytree(model, hidden)
    return hidden.rename(base / str(version))


def withdraw(base: Path, version: int) -> None:
    """Removes a version, its name first."""
    hidden = (base / str(version)).rename(base / f".gone-{version}")
    shutil.rmtree(hidden)


def config_of(**base_paths: Path) -> ModelServerConfig:
    """A configuration of models, name to base path."""
    configs = [ModelConfig(name=n, base_path=str(p), model_platform="tensorflow") for n, p in base_paths.items()]
    return ModelServerConfig(model_config_list={"config": configs})


def options_of(config, **fields) -> ServerOptions:
    """Options with frequent polling and no retries."""
    return ServerOptions(
        **{"file_system_poll_wait_seconds": 0.05, "max_num_load_retries": 0, "models": config, **fields}
    )


def with_core(options: ServerOptions, use, **observers):
    """Starts a core, runs `use(core)` in an event loop, and stops the core."""

    async def main():
        core = ModelService(options, **observers)
        await core.start()
        try:
            return await use(core)
        finally:
            await core.stop()

    return asyncio.run(asyncio.wait_for(main(), 60))


def spec(name="m", signature="", version=None, label=None) -> ModelSpec:
    found = ModelSpec(name=name, signature_name=signature)
    if version is not None:
        found.version.value = version
    if label is not None:
        found.version_label = label
    return found


def example(x: float) -> Example:
    found = Example()
    found.features.feature["x"].float_list.value.append(x)
    return found


def floats(*values: float) -> dict[str, np.ndarray]:
    return {"x": np.array(values, np.float32)}


async def until(condition, seconds=20.0):
    """Waits until the condition holds."""
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the condition did not hold in time")


def write_warm_up(folder: Path, *logs: PredictionLog) -> None:
    """Adds warm-up requests to a SavedModel, as TFRecords without checksums."""
    (folder / "assets.extra").mkdir()
    content = b""
    for log in logs:
        record = log.SerializeToString()
        content += struct.pack("<QI", len(record), 0) + record + bytes(4)
    (folder / "assets.extra" / "tf_serving_warmup_requests").write_bytes(content)


def states(core, name="m"):
    response = core.get_model_status(GetModelStatusRequest(model_spec=spec(name)))
    return {one.version: one.state for one in response.model_version_status}


def status(core, version, name="m"):
    response = core.get_model_status(GetModelStatusRequest(model_spec=spec(name, version=version)))
    return response.model_version_status[0]


async def bias(core, **kwargs):
    predicted = await core.predict(spec(**kwargs), floats(0))
    return predicted.outputs["bias"].item()


LOADING, AVAILABLE, END = 20, 30, 50


def policy(config, **fields):
    config.model_config_list.config[0].model_version_policy.MergeFrom(
        type(config.model_config_list.config[0].model_version_policy)(**fields)
    )
    return config
