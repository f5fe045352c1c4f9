"""The gate's server is ended in every case, also while it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serving.check.local_server import _process, local_server
from serving.errors import ServingError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")

STARTS = """
import signal, sys
from pathlib import Path
from serving.check.local_server import local_server
signal.signal(signal.SIGTERM, signal.default_int_handler)  # as `transom run` does
with local_server(Path(sys.argv[1]), forked=len(sys.argv) > 2):
    pass
"""


def children(pid: int) -> list[int]:
    """The running processes that a process started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(stat.parent.name))
    return found


def until(condition, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def runs(pid: int) -> bool:
    try:
        return b"serving.server" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("forked", [False, True])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_while_the_server_starts_ends_it(
    tmp_path: Path, repository: Path, how: signal.Signals, forked: bool
) -> None:
    command = [sys.executable, "-c", STARTS, str(tmp_path), *(["forked"] if forked else [])]
    parent = subprocess.Popen(command, cwd=repository, stderr=subprocess.DEVNULL)
    try:
        until(lambda: any(forked or runs(child) for child in children(parent.pid)))
        child = children(parent.pid)[0]
        parent.send_signal(how)
        parent.wait(30)
        until(lambda: not is_alive(child))
    finally:
        parent.kill()
        parent.wait()


@pytest.mark.parametrize(
    ("flags", "message"), [((), "it took too long"), (("--no_such_flag",), "it ended with exit code 2")]
)
@pytest.mark.parametrize("forked", [False, True])
def test_a_server_that_does_not_start_is_ended(
    tmp_path: Path, flags: tuple[str, ...], message: str, forked: bool
) -> None:
    before = set(children(os.getpid()))
    with (
        pytest.raises(ServingError, match=message),
        # Where TensorFlow is loaded, a forked server soon finds that there is no model.
        local_server(tmp_path, flags=flags, seconds=60.0 if flags else 0.1 if forked else 1.0, forked=forked),
    ):
        pass
    assert set(children(os.getpid())) == before


@pytest.mark.parametrize("forked", [False, True])
def test_an_exception_of_the_block_ends_it(tmp_path: Path, forked: bool) -> None:
    before = set(children(os.getpid()))

    def fail() -> None:
        with _process(tmp_path / "log", "m", [f"--model_base_path={tmp_path}"], forked) as (process, _):
            assert process.poll() is None
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert set(children(os.getpid())) == before
