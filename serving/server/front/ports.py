"""Checks the ports before TensorFlow is loaded, and reserves them while workers share them."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator

from serving.errors import OptionsError
from serving.server.options import ServerOptions


def check_ports_free(options: ServerOptions) -> None:
    """Checks that this server alone can listen on the ports.

    Raises:
        OptionsError: a port is in use, or the host is not this machine.
    """
    for flag, port in _ports(options):
        with _socket(options.host) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _bind(probe, options.host, port, flag)


@contextlib.contextmanager
def reserve_ports(options: ServerOptions) -> Iterator[None]:
    """Reserves the ports for workers that listen on them with SO_REUSEPORT, even while no worker is alive.

    The sockets do not listen, so they receive no connections.

    Raises:
        OptionsError: a port is in use.
    """
    check_ports_free(options)
    with contextlib.ExitStack() as sockets:
        for flag, port in _ports(options):
            holder = sockets.enter_context(_socket(options.host))
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            _reserve(holder, options.host, port, flag)
        yield


def _ports(options: ServerOptions) -> list[tuple[str, int]]:
    return [(flag, port) for flag, port in (("port", options.port), ("rest_api_port", options.rest_api_port)) if port]


def _socket(host: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)


def _reserve(holder: socket.socket, host: str, port: int, flag: str) -> None:
    """Binds without SO_REUSEADDR, so that another server that starts at the same time cannot share the port."""
    try:
        _bind(holder, host, port, flag)
    except OptionsError:
        # The port was free a moment ago. The system may remember connections that a server of one process closed, for
        # about a minute.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind(holder, host, port, flag)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)


def _bind(unbound: socket.socket, host: str, port: int, flag: str) -> None:
    try:
        unbound.bind((host, port))
    except OSError as error:
        got = error.strerror or str(error)
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise OptionsError(
                f"--host={host}",
                got=got,
                expected="an address of this machine",
                fix="give one of its addresses, 0.0.0.0 for all of them, or 127.0.0.1 for this machine alone",
            ) from error
        raise address_unavailable(f"--{flag}: cannot listen on {host}:{port}", got, flag) from error


def address_unavailable(what: str, got: str, flag: str) -> OptionsError:
    """The error for an address that cannot be listened on; `flag` sets another."""
    return OptionsError(
        what,
        got=got,
        expected="an address of this machine that nothing else uses",
        fix=f"stop the program that listens there, or choose another --{flag}",
    )
