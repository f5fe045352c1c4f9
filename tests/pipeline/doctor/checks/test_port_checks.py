from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from doctor_projects import statuses, unprivileged

from pipeline.doctor.checks.port_checks import _by_whom, default_ports, ports


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


def test_the_defaults_are_those_of_the_commands() -> None:
    assert list(default_ports()) == [8500, 8501, 6006]


def test_a_port_that_another_program_has(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    (found,) = ports({port: ("gRPC", "--port=PORT")})
    assert found.status == "note"
    assert found.text.startswith(f"{port} (gRPC) is in use by process {os.getpid()} (")
    assert found.remedy == "end that program, or give --port=PORT"


def test_a_port_that_was_freed_is_free(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()
    assert statuses(list(ports({port: ("gRPC", "--port=PORT")}))) == [("ports", "ok")]


def test_who_has_a_port_may_be_unknown(listener: socket.socket, tmp_path: Path) -> None:
    assert _by_whom(listener.getsockname()[1], tmp_path) == ""


def test_a_port_that_this_user_may_not_take() -> None:
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as file:
        if int(file.read()) <= 1:
            pytest.skip("every user may take every port here")
    with unprivileged():
        (found,) = ports({1: ("gRPC", "--port=PORT")})
    assert (found.status, found.remedy) == ("warn", "give --port=PORT")
