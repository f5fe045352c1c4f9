"""End to end: `python -m serving.server` on a tiny SavedModel, over gRPC and REST."""

import re
import shutil
import signal
import subprocess
import sys
import time

import grpc
import httpx
import numpy as np
from fronts import HOST, free_ports

from models.child_processes import tied_to_parent
from serving.server.calls.request_tensors import decode_inputs, encode_outputs
from serving.wire import protos


def wait_for(condition, process, log, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def predict(port, **spec):
    request = protos.PredictRequest(model_spec=protos.ModelSpec(name="tiny", **spec))
    encode_outputs(request.inputs, {"x": np.array([1, 2], np.float32)})
    with grpc.insecure_channel(f"{HOST}:{port}") as channel:
        method = channel.unary_unary(f"/{protos.PREDICTION_SERVICE}/Predict")
        try:
            response = protos.PredictResponse.FromString(method(request.SerializeToString(), timeout=30))
        except grpc.RpcError as error:
            return error.code().name, error.details()
    return decode_inputs(response.outputs)["y"].tolist(), response.model_spec.version.value


def test_a_saved_model_is_served_over_grpc_and_rest_and_a_new_version_takes_over(tmp_path, saved_models):
    base, log, (port, rest) = tmp_path / "tiny", tmp_path / "log.txt", free_ports()
    shutil.copytree(saved_models[1], base / "1")
    command = [sys.executable, "-m", "serving.server", "--model_name=tiny", f"--model_base_path={base}"]
    command += [f"--host={HOST}", f"--port={port}", "--rest_api_port", str(rest), "--num_load_threads=1"]
    with open(log, "wb") as file:
        process = subprocess.Popen(tied_to_parent(command), stderr=file)
    try:
        wait_for(lambda: "ready after" in log.read_text(), process, log)
        assert "--num_load_threads has no effect" in log.read_text()
        assert re.search(r"^\S+ \S+ INFO model tiny version 1 is served$", log.read_text(), re.MULTILINE)
        url = f"http://{HOST}:{rest}/v1/models/tiny"
        assert predict(port) == ([2, 3], 1)
        response = httpx.post(f"{url}:predict", json={"signature_name": "two", "inputs": {"text": ["a"], "n": [3]}})
        assert response.json() == {"outputs": {"upper": ["A"], "n": [3]}}
        assert predict(port, signature_name="no")[0] == "FAILED_PRECONDITION"
        wrong = httpx.post(f"{url}:predict", json={"signature_name": "no", "instances": [1]})
        assert wrong.json() == {"error": 'Serving signature name: "no" not found in signature def'}
        shutil.copytree(saved_models[2], tmp_path / "hidden")
        (tmp_path / "hidden").rename(base / "2")
        wait_for(lambda: predict(port) == ([3, 4], 2), process, log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        # Every line comes from the server: TensorFlow and CUDA logged nothing, although requests failed.
        server_line = re.compile(r"\S+ \S+ (INFO|WARNING) ")
        assert [line for line in log.read_text().splitlines() if not server_line.match(line)] == []
    finally:
        process.kill()
        process.wait()


def test_logging_continues_when_the_filter_process_is_killed():
    code = """
from serving import tensorflow_noise
from serving.server.main import LOG, log_to_stderr
started, start = [], tensorflow_noise._start
tensorflow_noise._start = lambda target: started.append(start(target)) or started[0]
log_to_stderr()
with tensorflow_noise.filtered():
    LOG.info("first")
    started[0].kill()
    started[0].wait()
    LOG.info("second")
    LOG.info("third")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    messages = [line.rpartition(" ")[2] for line in done.stderr.splitlines()]
    assert messages[-2:] == ["second", "third"]
