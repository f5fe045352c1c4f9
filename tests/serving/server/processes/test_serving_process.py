"""A process around the fake service: signals, whatever is running in it, and its configuration file."""

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from fronts import HOST
from server_processes import SLOW, server
from stuck_service import CALL, LOCK, LOOP, RUN

from serving.server.processes.serving_process import _background

DRAIN_SECONDS = 0.2


ENDS_WITHIN = 15  # seconds; 5.2 are promised, but the machine may be busy


@pytest.mark.parametrize("workers", [1, 2])
def test_more_connections_than_descriptors_exclude_no_client(tmp_path, workers):
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
        answer = pool.submit(one.post, body=SLOW)
        time.sleep(0.3)
        one.process.send_signal(which)
        one.wait_for("draining: 1 requests in flight")
        with pytest.raises(httpx.ConnectError):
            one.post()
        assert answer.result().json() == {"predictions": [1]}
        assert one.process.wait(20) == 0
        assert "model m version 1 is served" in one.log
        assert f"gRPC on {HOST}:{one.port}, REST on {HOST}:{one.rest_port}" in one.log


def test_draining_ends_after_its_time(tmp_path):
    with server(tmp_path, "--drain_seconds=0.2") as one, ThreadPoolExecutor(1) as pool:
        one.wait_for("ready after")
        answer = pool.submit(one.post, body={"instances": [30], "signature_name": "slow"})
        time.sleep(0.3)
        start = time.monotonic()
        assert one.end() == 0
        assert time.monotonic() - start < 8
        assert "still in flight after 0.2 s: 1" in one.log
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
            assert f"--port: cannot listen on {HOST}:{one.port}" in done.stderr
            assert "heavy: []" in done.stderr


def test_a_changed_config_file_is_reloaded(tmp_path):
    config = tmp_path / "models.txt"
    config.write_text('model_config_list { config { name: "m" base_path: "/m" } }')
    flags = (f"--model_config_file={config}", "--model_config_file_poll_wait_seconds=0.1")
    with server(tmp_path, *flags) as one:
        one.wait_for("ready after")
        config.write_text("model_config_list { config {")
        one.wait_for("Failed to read ModelServerConfig file")
        assert one.post().status_code == 200
        config.write_text("")  # what a poll sees while the file is being written
        one.wait_for("is empty: the models stay as they are")
        assert one.post().status_code == 200
        config.write_text('model_config_list { config { name: "n" base_path: "/n" } }')
        one.wait_for("has changed and is in force")
        assert one.post("/v1/models/n:predict").status_code == 200
        assert one.post().status_code == 404


def let_hang(one, pool, kind):
    """Sends a request that never ends, and waits until it has arrived."""
    pool.submit(one.post, body={"instances": [kind], "signature_name": "slow"})
    one.wait_for("it is stuck")


@pytest.mark.slow_variants
@pytest.mark.parametrize(
    ("workers", "kind", "which"),
    [
        (2, LOOP, signal.SIGINT),
        (1, RUN, signal.SIGTERM),
        (1, RUN, signal.SIGINT),
        (1, LOOP, signal.SIGTERM),
        (1, CALL, signal.SIGTERM),
        (2, RUN, signal.SIGTERM),
        (2, CALL, signal.SIGTERM),
        (2, LOCK, signal.SIGTERM),
    ],
)
def test_a_signal_ends_a_server_that_hangs(tmp_path, workers, kind, which):
    flags = (f"--workers={workers}", f"--drain_seconds={DRAIN_SECONDS}")
    with server(tmp_path, *flags, factory="stuck") as one, ThreadPoolExecutor(1) as pool:
        one.wait_for("ready after", times=workers)
        let_hang(one, pool, kind)
        code = one.end(which, seconds=ENDS_WITHIN)
        assert code == (0 if kind == RUN or workers > 1 else 1)
        assert "Traceback" not in one.log
        if kind in (LOOP, CALL):
            assert "stuck_service.py" in one.log  # where it hangs


@pytest.mark.parametrize("factory", ["never_starts", "never_imports"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_ends_a_server_that_is_starting(tmp_path, workers, factory):
    # There is nothing to drain yet, so the drain time does not matter.
    with server(tmp_path, f"--workers={workers}", factory=factory) as one:
        time.sleep(1.5)
        assert one.end(seconds=ENDS_WITHIN) in (0, -signal.SIGTERM)
        assert "Traceback" not in one.log


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_signal_ends_at_once(tmp_path, workers):
    with server(tmp_path, f"--workers={workers}", factory="stuck") as one, ThreadPoolExecutor(1) as pool:
        one.wait_for("ready after", times=workers)
        let_hang(one, pool, RUN)
        one.process.send_signal(signal.SIGTERM)
        one.wait_for("draining: 1 requests in flight")
        time.sleep(0.5)
        one.end(seconds=ENDS_WITHIN)  # the drain would take 30 s


def test_a_reload_continues_when_its_caller_leaves(tmp_path):
    with server(tmp_path) as one:
        one.wait_for("ready after")
        assert one.reload("n", timeout=0.005)[0] == "DEADLINE_EXCEEDED"
        one.reload("n")
        assert one.status_codes("n") == {200}


def test_a_background_failure_is_logged_and_ends_nothing_else(caplog):
    async def fail():
        raise RuntimeError("it fails")

    async def block():
        async with _background(fail()):
            await asyncio.sleep(0.01)
        return "the block has ended"

    assert asyncio.run(block()) == "the block has ended"
    assert "a background task has failed" in caplog.text
    assert "it fails" in caplog.text
