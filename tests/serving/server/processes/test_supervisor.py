"""Several processes around the fake service: crashes, hangs, the one configuration and the one metrics page."""

import contextlib
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from server_processes import METRICS, SLOW, has_ended, server, wait_until
from stuck_service import LOOP

READY = r"worker (\d) \(process (\d+)\) is ready"


def test_workers_share_the_ports_and_a_killed_one_is_restarted(tmp_path):
    with server(tmp_path, "--workers=2") as one:
        workers = dict(one.wait_for(r"worker (\d) \(process (\d+)\) is ready", times=2))
        os.kill(int(workers["0"]), signal.SIGKILL)
        for _ in range(20):
            with contextlib.suppress(
                httpx.TransportError
            ):  # a connection that was waiting in the killed worker's queue
                assert one.post().status_code == 200
        one.wait_for(r"worker 0 \(process \d+\) was killed by signal 9; starting it again")
        again = one.wait_for(r"worker 0 \(process (\d+)\) is ready", times=2)
        assert len(set(again)) == 2
        assert one.post().status_code == 200
        assert one.end() == 0
        assert "heavy: []" in one.log  # the supervisor forks, so it must not have loaded libraries that start threads
        for pid in (*workers.values(), *again):
            with pytest.raises(ProcessLookupError):
                os.kill(int(pid), 0)


def test_a_reload_reaches_all_workers_and_later_ones(tmp_path):
    with server(tmp_path, "--workers=2") as one:
        workers = dict(one.wait_for(r"worker (\d) \(process (\d+)\) is ready", times=2))
        assert one.reload("m", "n") == "OK"
        assert {one.post("/v1/models/n:predict").status_code for _ in range(12)} == {200}
        code, words = one.reload("bad")
        assert code == "INVALID_ARGUMENT"
        assert words.startswith("bad in process")
        assert one.reload("broken")[0] == "INTERNAL"
        assert one.reload("n") == "OK"
        os.kill(int(workers["1"]), signal.SIGKILL)
        one.wait_for("is ready", times=3)
        assert {one.post("/v1/models/n:predict").status_code for _ in range(12)} == {200}
        assert {one.post().status_code for _ in range(12)} == {404}


def test_the_metrics_of_all_workers_are_one_page(tmp_path):
    with server(tmp_path, "--workers=2") as one:
        one.wait_for("is ready", times=2)
        for _ in range(20):
            assert one.post().status_code == 200
        page = one.http.get("/monitoring/prometheus/metrics").text
        assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 20' in page
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(one.post, body=SLOW)
            time.sleep(0.3)
            one.process.send_signal(signal.SIGTERM)
            assert json.loads(answer.result().content) == {"predictions": [1]}
        assert one.process.wait(20) == 0


def test_workers_stop_when_their_supervisor_is_killed(tmp_path):
    with server(tmp_path, "--workers=2") as one:
        pids = one.wait_for(r"process (\d+)\) is ready", times=2)
        one.process.kill()
        for pid in pids:
            wait_until(lambda pid=pid: has_ended(pid))


def test_the_supervisor_gives_up_on_workers_that_never_start(tmp_path):
    more = "def broken(options):\n    raise RuntimeError('no such library')"
    with server(tmp_path, "--workers=2", factory="broken", more=more) as one:
        assert one.process.wait(30) == 1
        assert "no such library" in one.log
        assert "no worker has ever been ready: giving up" in one.log


def test_a_worker_has_one_thread_within_an_op(tmp_path):
    more = (
        "import os\ndef report(options):\n"
        "    print('threads', options.intra_op_parallelism, os.environ['OMP_NUM_THREADS'], file=sys.stderr)\n"
        "    return fake(options)"
    )
    with server(tmp_path, "--workers=2", factory="report", more=more) as one:
        one.wait_for("is ready", times=2)
        assert len(one.wait_for("threads 1 1", times=2)) == 2


def test_callers_that_leave_do_not_break_the_control_channel(tmp_path):
    with server(tmp_path, "--workers=2") as one:
        one.wait_for(READY, times=2)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: one.reload("m", timeout=(0.002, 0.05)[number % 2]), range(20)))
            list(pool.map(lambda _: _left(one), range(20)))
        assert one.reload("m", "n") == "OK"
        assert one.status_codes("n") == {200}
        assert httpx.get(f"{one.http.base_url}{METRICS}", timeout=10).status_code == 200


def _left(one):
    with contextlib.suppress(httpx.TimeoutException):
        httpx.get(f"{one.http.base_url}{METRICS}", timeout=0.002)


@pytest.mark.slow
def test_concurrent_reloads_leave_all_workers_in_the_same_state(tmp_path):
    names = ["a", "b", "c", "d"]
    with server(tmp_path, "--workers=3") as one, ThreadPoolExecutor(8) as pool:
        one.wait_for(READY, times=3)
        for answer in [pool.submit(one.reload, "m", names[number % 4]) for number in range(24)]:
            assert answer.result() in ("OK", ("RESOURCE_EXHAUSTED", answer.result()[1]))
        served = [name for name in names if 200 in one.status_codes(name, times=20)]
        assert len(served) == 1
        assert one.status_codes(served[0], times=20) == {200}


def test_a_reload_that_one_worker_refuses_is_rolled_back(tmp_path):
    with server(tmp_path, "--workers=2", factory="stuck") as one:
        one.wait_for(READY, times=2)
        assert one.reload("half", base_path=str(tmp_path)) == ("INVALID_ARGUMENT", "this process refuses")
        one.wait_for("1 of 2 workers refused a reload")
        wait_until(lambda: one.status_codes("half") == {404})
        assert one.status_codes("m") == {200}


def test_later_workers_get_a_configuration_whose_model_appears_later(tmp_path):
    with server(tmp_path, "--workers=2", factory="stuck") as one:
        workers = dict(one.wait_for(READY, times=2))
        assert one.reload("m", "later")[0] == "UNKNOWN"
        os.kill(int(workers["0"]), signal.SIGKILL)
        one.wait_for(READY, times=3)
        assert one.status_codes("later") == {200}


@pytest.mark.slow
def test_a_changed_file_and_a_reload_reach_later_workers(tmp_path):
    config = tmp_path / "models.txt"
    config.write_text('model_config_list { config { name: "m" base_path: "/m" } }')
    flags = (f"--model_config_file={config}", "--model_config_file_poll_wait_seconds=0.2")
    with server(tmp_path, "--workers=2", *flags) as one:
        workers = dict(one.wait_for(READY, times=2))
        config.write_text('model_config_list { config { name: "filed" base_path: "/m" } }')
        one.wait_for("has changed and is in force")
        assert one.status_codes("filed") == {200}
        os.kill(int(workers["0"]), signal.SIGKILL)
        one.wait_for(READY, times=3)
        assert one.status_codes("filed") == {200}
        assert one.reload("reloaded") == "OK"
        os.kill(int(workers["1"]), signal.SIGKILL)
        one.wait_for(READY, times=4)
        time.sleep(0.5)  # the file is checked again, and has not changed
        assert one.status_codes("reloaded") == {200}


@pytest.mark.slow
def test_a_hanging_worker_is_replaced_and_metrics_do_not_wait_for_it(tmp_path):
    with server(tmp_path, "--workers=2", "--worker_timeout_seconds=3", factory="stuck") as one:
        workers = dict(one.wait_for(READY, times=2))
        for _ in range(10):
            one.post()
        before = one.counted()
        assert before == 10
        with ThreadPoolExecutor(1) as pool:
            pool.submit(_hang, one)
            one.wait_for("hangs; sending it SIGABRT")
            one.wait_for(READY, times=3)
        assert "stuck_service.py" in one.log  # where it hung
        assert one.counted() >= before
        living = [pid for pid in workers.values() if not has_ended(pid)]
        assert len(living) == 1


def _hang(one):
    with contextlib.suppress(httpx.TransportError):
        one.post(body={"instances": [LOOP], "signature_name": "slow"})


def test_a_stopped_worker_is_replaced_and_metrics_do_not_wait_for_it(tmp_path):
    with server(tmp_path, "--workers=2", "--worker_timeout_seconds=4") as one:
        workers = dict(one.wait_for(READY, times=2))
        one.post()
        with httpx.Client(base_url=one.http.base_url, timeout=10) as first:
            first.get(METRICS)  # a connection to one worker; the other one is stopped
            responder = next(pid for pid in workers.values() if _holds(pid, first, one))
            stopped = next(pid for pid in workers.values() if pid != responder)
            os.kill(int(stopped), signal.SIGSTOP)
            assert 'model_name="m",status="OK"} 1' in first.get(METRICS).text
        one.wait_for(rf"process {stopped}\) was killed by signal 9", seconds=60)
        one.wait_for(READY, times=3)


def _holds(pid, client, one):
    """Whether this process holds the connection of a client."""
    stream = client._transport._pool.connections[0]._connection._network_stream
    local = stream.get_extra_info("client_addr")
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[2].split(":")[1], 16) == local[1] and int(fields[1].split(":")[1], 16) == one.rest_port:
            inodes.add(f"socket:[{fields[9]}]")
    return any(os.readlink(f"/proc/{pid}/fd/{fd}") in inodes for fd in _descriptors(pid))


def _descriptors(pid):
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            os.readlink(f"/proc/{pid}/fd/{name}")
            yield name


def test_counters_do_not_fall_when_a_worker_dies(tmp_path):
    with server(tmp_path, "--workers=2") as one:
        workers = dict(one.wait_for(READY, times=2))
        for _ in range(20):
            assert one.post().status_code == 200
        assert one.counted() == 20
        os.kill(int(workers["0"]), signal.SIGKILL)
        wait_until(lambda: has_ended(workers["0"]))
        one.wait_for(READY, times=3)
        assert one.counted() == 20
        os.kill(int(workers["1"]), signal.SIGKILL)
        one.wait_for(READY, times=4)
        assert one.counted() == 20


@pytest.mark.slow
def test_a_hanging_worker_ends_with_its_supervisor(tmp_path):
    flags = ("--workers=2", "--drain_seconds=0.2")
    with server(tmp_path, *flags, factory="stuck") as one, ThreadPoolExecutor(1) as pool:
        workers = dict(one.wait_for(READY, times=2))
        pool.submit(_hang, one)
        one.wait_for("it is stuck")
        one.process.kill()
        one.process.wait()
        for pid in workers.values():
            wait_until(lambda pid=pid: has_ended(pid))


@pytest.mark.slow
def test_a_worker_that_dies_at_once_is_restarted_with_growing_delays(tmp_path):
    more = """
import os
def once(options):
    try:
        os.mkdir(os.environ["ONCE"])
    except FileExistsError:
        os._exit(7)
    return fake(options)
"""
    os.environ["ONCE"] = str(tmp_path / "once")
    with server(tmp_path, "--workers=2", factory="once", more=more) as one:
        pauses = one.wait_for(r"ended with exit code 7; starting it again in (\S+) s", times=5)
        assert [float(one) for one in pauses[:5]] == sorted(float(one) for one in pauses[:5])
        assert float(pauses[4]) >= 1.6
        assert one.post().status_code == 200
