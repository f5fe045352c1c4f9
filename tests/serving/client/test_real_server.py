"""The client, and a canary's lifecycle, against `python -m serving.server` as the manifests would start TF Serving.

The tiny SavedModel has the outputs of Transom's models.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import tensorflow as tf
from docs_examples import BLOCKS, missing_program, prepare, run
from tensorflow.core.protobuf import saved_model_pb2

from models.child_processes import tied_to_parent
from serving.client import AsyncClient, Client, InvalidRequest, ModelNotFound, Unavailable
from serving.deploy import server_files
from serving.deploy.plan import plan
from serving.deploy.release import release
from serving.errors import DeployError

if importlib.util.find_spec("serving.server.main") is None:
    pytest.skip("there is no serving/server/main.py yet", allow_module_level=True)

NAMES = ["neg", "pos"]


class Reviews(tf.Module):
    """ "pos" if the text contains "good"."""

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
    """The SavedModel, whose classify signature has TF Serving's method name."""
    module = Reviews()
    tf.saved_model.save(module, str(folder), {"serving_default": module.ask, "classify": module.classify})
    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    saved.meta_graphs[0].signature_def["classify"].method_name = "tensorflow/serving/classify"
    path.write_bytes(saved.SerializeToString())


@dataclass(frozen=True)
class Running:
    """A server: its addresses, and the folder of its files."""

    grpc: str
    rest: str
    config: Path

    def url(self, wire: str) -> str:
        """The address for "grpc" or "rest"."""
        return self.grpc if wire == "grpc" else self.rest


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Running]:
    """Two versions, the newer a canary, served on two free ports with the files and flags of the manifests."""
    base = tmp_path_factory.mktemp("push") / "reviews"
    save(base / "1")
    shutil.copytree(base / "1", base / "2")
    ports, config = [free_port(), free_port()], tmp_path_factory.mktemp("config")
    deployed = plan("compose", base, canary=2)
    for name, text in server_files.files(deployed).items():
        (config / name).write_text(text.replace(deployed.base_path, str(base)))
    flags = [flag.replace(server_files.CONFIG_FOLDER, str(config)) for flag in server_files.arguments(deployed, *ports)]
    process = subprocess.Popen(
        tied_to_parent([sys.executable, "-m", "serving.server", *flags]),
        cwd=repository,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    running = Running(f"grpc://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}", config)
    try:
        wait_for(running, process)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        finally:
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(running: Running, process: subprocess.Popen[bytes]) -> None:
    """Waits until it responds over both protocols; at most two minutes, as the machine is shared."""
    end = time.monotonic() + 120
    while True:
        assert process.poll() is None, "the server ended"
        try:
            for url in (running.grpc, running.rest):
                with Client(url, "reviews", retries=0, timeout=5) as client:
                    client.predict(["x"])
        except (Unavailable, ModelNotFound):  # the port is closed, or the models are not loaded
            assert time.monotonic() < end, "the server does not respond"
            time.sleep(0.2)
        else:
            return


@pytest.mark.parametrize("wire", ["grpc", "rest"])
def test_predictions_for_long_lists_and_hard_strings_come_in_order(server: Running, wire: str) -> None:
    texts = [f"{number} {'good' if number % 3 else ''} é日\0😀" for number in range(300)]
    with Client(server.url(wire), "reviews", batch_size=32) as client:
        answers = client.predict(texts)
    assert [one.label for one in answers] == ["pos" if number % 3 else "neg" for number in range(300)]
    assert answers[1].probabilities == {"neg": 0.125, "pos": 0.875}


@pytest.mark.parametrize("wire", ["grpc", "rest"])
def test_the_server_understands_every_call_of_the_client(server: Running, wire: str) -> None:
    async def ask() -> None:
        async with AsyncClient(server.url(wire), "reviews") as client:
            assert [(one.version, one.state) for one in await client.status()] == [(2, "AVAILABLE"), (1, "AVAILABLE")]
            metadata = await client.metadata()
            assert metadata.version == 2
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
    with Client(url, "reviews", label="beta") as client, pytest.raises(ModelNotFound, match="Unrecognized servable"):
        client.predict(["x"])
    with Client(url, "reviews") as client:
        with pytest.raises(InvalidRequest):
            client.predict(["x"], ["y"])
        with pytest.raises(InvalidRequest, match='"none" not found'):
            client.predict_arrays({"text": ["x"]}, signature="none")


def test_a_canary_is_promoted_and_rolled_back_while_it_is_served(server: Running) -> None:
    def versions() -> list[int]:
        found = []
        for label in ("stable", "canary"):
            with Client(server.rest, "reviews", label=label) as client:
                assert client.predict(["good"])[0].label == "pos"
                found.append(client.metadata().version)
        return found

    assert versions() == [1, 2]
    release("promote", "reviews", server.config, [server.grpc])
    assert versions() == [2, 2]
    release("rollback", "reviews", server.config, [server.grpc])
    assert versions() == [1, 1]
    with pytest.raises(DeployError, match="only version 1 is loaded"):
        release("rollback", "reviews", server.config, [server.grpc])


def test_the_examples_of_the_docs_work(server: Running, tmp_path: Path, repository: Path) -> None:
    prepare(tmp_path, repository)
    ports = urlsplit(server.grpc).port or 0, urlsplit(server.rest).port or 0
    for language, code in BLOCKS:
        if "deploy" not in code and missing_program(language, code) is None:
            printed = run(language, code, tmp_path, ports, repository)
            assert printed.strip()
            if " curl " in f" {code}":
                assert "error" not in json.loads(printed)


def test_metrics_are_at_the_path_in_the_manifests(server: Running) -> None:
    answer = httpx.get(server.rest + server_files.METRICS_PATH, trust_env=False)
    assert answer.status_code == 200
    assert ":tensorflow:serving:request_count" in answer.text
