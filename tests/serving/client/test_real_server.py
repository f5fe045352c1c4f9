"""The client against `python -m serving.server`, on a tiny SavedModel that answers as Transom's models do."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from serving.client import AsyncClient, Client, ClientError, InvalidRequest, ModelNotFound

if importlib.util.find_spec("serving.server.main") is None:
    pytest.skip("there is no serving/server/main.py yet", allow_module_level=True)

NAMES = ["neg", "pos"]


class Reviews(tf.Module):
    """pos where the text holds "good"."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def ask(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        good = tf.cast(tf.strings.regex_full_match(text, "(?s).*good.*"), tf.float32)
        probabilities = tf.stack([0.875 - 0.75 * good, 0.125 + 0.75 * good], axis=-1)
        label = tf.gather(tf.constant(NAMES), tf.argmax(probabilities, axis=-1))
        return {"label": label, "score": tf.reduce_max(probabilities, axis=-1), "probabilities": probabilities}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def classify(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(inputs, {"text": tf.io.FixedLenFeature([], tf.string, default_value="")})
        scores = self.ask(parsed["text"])["probabilities"]
        return {"classes": tf.broadcast_to(tf.constant(NAMES), tf.shape(scores)), "scores": scores}


def save(folder: Path) -> None:
    """The SavedModel, its classify signature under TF Serving's method name."""
    module = Reviews()
    tf.saved_model.save(module, str(folder), {"serving_default": module.ask, "classify": module.classify})
    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    saved.meta_graphs[0].signature_def["classify"].method_name = "tensorflow/serving/classify"
    path.write_bytes(saved.SerializeToString())


@dataclass(frozen=True)
class Running:
    """Addresses of a server."""

    grpc: str
    rest: str

    def url(self, wire: str) -> str:
        return self.grpc if wire == "grpc" else self.rest


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Running]:
    """`python -m serving.server` on two free ports, ready."""
    base = tmp_path_factory.mktemp("push") / "reviews"
    save(base / "1")
    ports = [free_port(), free_port()]
    flags = [f"--port={ports[0]}", f"--rest_api_port={ports[1]}", "--model_name=reviews", f"--model_base_path={base}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "serving.server", *flags],
        cwd=repository,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    running = Running(f"grpc://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}")
    try:
        wait_for(running, process)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(running: Running, process: subprocess.Popen[bytes]) -> None:
    """Until it answers over both wires; at most two minutes, as the machine is shared."""
    end = time.monotonic() + 120
    while True:
        assert process.poll() is None, "the server ended"
        try:
            for url in (running.grpc, running.rest):
                with Client(url, "reviews", retries=0, timeout=5) as client:
                    client.predict(["x"])
        except ClientError:
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.2)
        else:
            return


@pytest.mark.parametrize("wire", ["grpc", "rest"])
def test_long_lists_and_hard_strings_are_answered_in_order(server: Running, wire: str) -> None:
    texts = [f"{number} {'good' if number % 3 else ''} é日\0😀" for number in range(300)]
    with Client(server.url(wire), "reviews", batch_size=32) as client:
        answers = client.predict(texts)
    assert [one.label for one in answers] == ["pos" if number % 3 else "neg" for number in range(300)]
    assert answers[1].probabilities == {"neg": 0.125, "pos": 0.875}


@pytest.mark.parametrize("wire", ["grpc", "rest"])
def test_every_call_of_the_client_is_understood(server: Running, wire: str) -> None:
    async def ask() -> None:
        async with AsyncClient(server.url(wire), "reviews") as client:
            assert [(one.version, one.state) for one in await client.status()] == [(1, "AVAILABLE")]
            metadata = await client.metadata()
            assert metadata.version == 1
            assert metadata.signatures["serving_default"].outputs["probabilities"].shape == (None, 2)
            assert await client.classify([{"text": "good"}, {}]) == [
                [("neg", 0.125), ("pos", 0.875)],
                [("neg", 0.875), ("pos", 0.125)],
            ]
            outputs = await client.predict_arrays({"text": ["good", b"\xff"]})
            assert outputs["label"].tolist() == [b"pos", b"neg"]
            assert outputs["score"].dtype == "float32"
            assert (await client.predict(["\ud83d good"]))[0].label == "pos"

    asyncio.run(ask())


@pytest.mark.parametrize("wire", ["grpc", "rest"])
def test_refusals_are_typed(server: Running, wire: str) -> None:
    url = server.url(wire)
    with Client(url, "absent") as client, pytest.raises(ModelNotFound, match=r"Servable not found.*Latest\(absent\)"):
        client.predict(["x"])
    with Client(url, "reviews", version=7) as client, pytest.raises(ModelNotFound, match=r"Specific\(reviews, 7\)"):
        client.predict(["x"])
    with Client(url, "reviews", label="canary") as client, pytest.raises(ModelNotFound, match="Unrecognized servable"):
        client.predict(["x"])
    with Client(url, "reviews") as client:
        with pytest.raises(InvalidRequest):
            client.predict(["x"], ["y"])
        with pytest.raises(InvalidRequest, match='"none" not found'):
            client.predict_arrays({"text": ["x"]}, signature="none")
