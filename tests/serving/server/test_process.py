"""Whole processes around the fake service: draining, workers, their death, reloads and metrics."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import pytest
from fronts import HOST, free_ports

from serving import protos
from serving.processes import tied

HERE = Path(__file__).parent
PREDICT = "/v1/models/m:predict"
SLOW = {"instances": [1.0], "signature_name": "slow"}

# `serve` takes a factory, so a test hands over its own.
SERVER = """
import sys
sys.path.insert(0, {here!r})
from serving.server import main
from serving.server.flags import parse, to_options
def fake(options):
    from fake_service import FakeService
    return FakeService(options)

{more}
main._log_to_stderr()
try:
    code = main.serve(to_options(parse(sys.argv[1:])), {factory})
except main.OptionsError as error:
    print(error, file=sys.stderr)
    code = 2
heavy = {{"grpc", "aiohttp", "numpy", "tensorflow"}} & set(sys.modules)
print("heavy:", sorted(heavy), file=sys.stderr)
sys.exit(code)
"""


class Server:
    def __init__(self, folder, *flags, factory="fake", more=""):
        self.port, self.rest_port = free_ports()
        monitoring = folder / "monitoring.txt"
        monitoring.write_text("prometheus_config { enable: true }")
        self.log_file = folder / "log.txt"
        self.arguments = ["--model_name=m", "--model_base_path=/m", f"--host={HOST}", f"--port={self.port}"]
        self.arguments += [f"--rest_api_port={self.rest_port}", f"--monitoring_config_file={monitoring}", *flags]
        self.code = SERVER.format(here=str(HERE), factory=factory, more=more)
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(tied([sys.executable, "-c", self.code, *self.arguments]), stderr=log)
        self.http = httpx.Client(base_url=f"http://{HOST}:{self.rest_port}", timeout=20)

    @property
    def log(self):
        return self.log_file.read_text()

    def wait_for(self, pattern, times=1, seconds=30):
        deadline = time.monotonic() + seconds
        while len(found := re.findall(pattern, self.log)) < times:
            assert time.monotonic() < deadline, self.log
            assert self.process.poll() is None, self.log
            time.sleep(0.02)
        return found

    def reload(self, *names):
        request = protos.ReloadConfigRequest()
        for name in names:
            request.config.model_config_list.config.add(name=name, base_path=f"/{name}")
        with grpc.insecure_channel(f"{HOST}:{self.port}") as channel:
            method = channel.unary_unary(f"/{protos.MODEL_SERVICE}/HandleReloadConfigRequest")
            try:
                method(request.SerializeToString(), timeout=20)
            except grpc.RpcError as error:
                return error.code().name, error.details()
        return "OK"

    def ask(self, path=PREDICT, body=None):
        """One request on a connection of its own, so that any worker may get it."""
        return httpx.post(f"http://{HOST}:{self.rest_port}{path}", json=body or {"instances": [1]}, timeout=20)

    def end(self, which=signal.SIGTERM):
        self.process.send_signal(which)
        return self.process.wait(20)


@contextlib.contextmanager
def server(folder, *flags, **how):
    one = Server(folder, *flags, **how)
    try:
        yield one
    finally:
        one.http.close()
        if one.process.poll() is None:
            one.process.terminate()
            try:
                one.process.wait(10)
            except subprocess.TimeoutExpired:
                one.process.kill()
                one.process.wait()


@pytest.mark.parametrize("workers", [1, 2])
def test_more_connections_than_descriptors_keep_nobody_out(tmp_path, workers):
    few = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (150, 150))"
    with server(tmp_path, f"--workers={workers}", more=few) as one, contextlib.ExitStack() as stack:
        one.wait_for("ready after", times=workers)
        for _ in range(400):
            half = stack.enter_context(socket.create_connection((HOST, one.rest_port)))
            half.sendall(b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nA")
        for _ in range(10):
            start = time.monotonic()
            assert httpx.get(f"http://{HOST}:{one.rest_port}/v1/models/m", timeout=20).status_code == 200
            assert time.monotonic() - start < 5
        one.wait_for("connections of at most", times=workers)
        assert len(one.log) < 5000


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_requests_in_flight_and_exits_with_zero(tmp_path, which):
    with server(tmp_path) as one, ThreadPoolExecutor(1) as pool:
        one.wait_for("ready after")
        answer = pool.submit(one.ask, body=SLOW)
        time.sleep(0.3)
        one.process.send_signal(which)
        one.wait_for("draining: 1 requests in flight")
        with pytest.raises(httpx.ConnectError):
            one.ask()
        assert answer.result().json() == {"predictions": [1]}
        assert one.process.wait(20) == 0
        assert "model m version 1 is served" in one.log
        assert f"gRPC on {HOST}:{one.port}, REST on {HOST}:{one.rest_port}" in one.log


def test_the_drain_ends_after_its_time(tmp_path):
    with server(tmp_path, "--drain_seconds=0.2") as one, ThreadPoolExecutor(1) as pool:
        one.wait_for("ready after")
        answer = pool.submit(one.ask, body={"instances": [30], "signature_name": "slow"})
        time.sleep(0.3)
        start = time.monotonic()
        assert one.end() == 0
        assert time.monotonic() - start < 8
        assert "1 requests were still in flight after 0.2 s" in one.log
        with pytest.raises(httpx.HTTPError):
            answer.result()


@pytest.mark.parametrize("workers", ["--workers=1", "--workers=2"])
def test_a_port_in_use_ends_with_an_error_at_once(tmp_path, workers):
    with server(tmp_path, workers) as one:
        one.wait_for("ready after")
        for second in ("--workers=1", "--workers=2"):
            arguments = [*one.arguments, second]
            done = subprocess.run(
                [sys.executable, "-c", one.code, *arguments], capture_output=True, text=True, timeout=30, check=False
            )
            assert done.returncode == 2
            assert f"--port: {HOST}:{one.port} cannot be listened on" in done.stderr
            assert "heavy: []" in done.stderr


def test_a_changed_config_file_is_reloaded(tmp_path):
    config = tmp_path / "models.txt"
    config.write_text('model_config_list { config { name: "m" base_path: "/m" } }')
    flags = (f"--model_config_file={config}", "--model_config_file_poll_wait_seconds=0.1")
    with server(tmp_path, *flags) as one:
        one.wait_for("ready after")
        config.write_text("model_config_list { config {")
        one.wait_for("Failed to read ModelServerConfig file")
        assert one.ask().status_code == 200
        config.write_text('model_config_list { config { name: "n" base_path: "/n" } }')
        one.wait_for("has changed and is in force")
        assert one.ask("/v1/models/n:predict").status_code == 200
        assert one.ask().status_code == 404


def test_workers_share_the_ports_and_a_killed_one_comes_back(tmp_path):
    with server(tmp_path, "--workers=2") as one:
        workers = dict(one.wait_for(r"worker (\d) \(process (\d+)\) is ready", times=2))
        os.kill(int(workers["0"]), signal.SIGKILL)
        for _ in range(20):
            with contextlib.suppress(httpx.TransportError):  # a connection that was waiting in the killed one's queue
                assert one.ask().status_code == 200
        one.wait_for(r"worker 0 \(process \d+\) was killed by signal 9; starting it again")
        again = one.wait_for(r"worker 0 \(process (\d+)\) is ready", times=2)
        assert len(set(again)) == 2
        assert one.ask().status_code == 200
        assert one.end() == 0
        assert "heavy: []" in one.log  # the supervisor forks: it must not have loaded what starts threads
        for pid in (*workers.values(), *again):
            with pytest.raises(ProcessLookupError):
                os.kill(int(pid), 0)


def test_a_reload_reaches_all_workers_and_those_that_come_later(tmp_path):
    with server(tmp_path, "--workers=2") as one:
        workers = dict(one.wait_for(r"worker (\d) \(process (\d+)\) is ready", times=2))
        assert one.reload("m", "n") == "OK"
        assert {one.ask("/v1/models/n:predict").status_code for _ in range(12)} == {200}
        code, words = one.reload("bad")
        assert code == "INVALID_ARGUMENT"
        assert words.startswith("bad in process")
        assert one.reload("broken")[0] == "INTERNAL"
        assert one.reload("n") == "OK"
        os.kill(int(workers["1"]), signal.SIGKILL)
        one.wait_for("is ready", times=3)
        assert {one.ask("/v1/models/n:predict").status_code for _ in range(12)} == {200}
        assert {one.ask().status_code for _ in range(12)} == {404}


def test_the_metrics_of_all_workers_are_one_page(tmp_path):
    with server(tmp_path, "--workers=2") as one:
        one.wait_for("is ready", times=2)
        for _ in range(20):
            assert one.ask().status_code == 200
        page = one.http.get("/monitoring/prometheus/metrics").text
        assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 20' in page
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(one.ask, body=SLOW)
            time.sleep(0.3)
            one.process.send_signal(signal.SIGTERM)
            assert json.loads(answer.result().content) == {"predictions": [1]}
        assert one.process.wait(20) == 0


def test_workers_stop_when_their_supervisor_is_killed(tmp_path):
    with server(tmp_path, "--workers=2") as one:
        pids = one.wait_for(r"process (\d+)\) is ready", times=2)
        one.process.kill()
        deadline = time.monotonic() + 15
        for pid in pids:
            while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
                assert time.monotonic() < deadline
                time.sleep(0.05)


def test_workers_that_never_start_are_given_up(tmp_path):
    more = "def broken(options):\n    raise RuntimeError('no such library')"
    with server(tmp_path, "--workers=2", factory="broken", more=more) as one:
        assert one.process.wait(30) == 1
        assert "no such library" in one.log
        assert "no worker has ever been ready: giving up" in one.log


def test_a_worker_has_one_thread_within_an_op(tmp_path):
    more = (
        "import os\ndef told(options):\n"
        "    print('threads', options.intra_op_parallelism, os.environ['OMP_NUM_THREADS'], file=sys.stderr)\n"
        "    return fake(options)"
    )
    with server(tmp_path, "--workers=2", factory="told", more=more) as one:
        one.wait_for("is ready", times=2)
        assert len(one.wait_for("threads 1 1", times=2)) == 2
