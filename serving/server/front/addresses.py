"""Ports that are taken are found out before TensorFlow is loaded, and held while workers share them."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator

from serving.errors import OptionsError
from serving.server.options import ServerOptions


def check_free(options: ServerOptions) -> None:
    """Finds out whether the ports can be listened on, without sharing them with anyone.

    Raises:
        OptionsError: one is taken, or the host is none of this machine's.
    """
    for flag, port in _ports(options):
        with _socket(options.host) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _bind(probe, options.host, port, flag)


@contextlib.contextmanager
def held(options: ServerOptions) -> Iterator[None]:
    """Keeps the ports for workers that listen on them with SO_REUSEPORT, also while none of them lives.

    The sockets do not listen, so no connection comes to them.

    Raises:
        OptionsError: one is taken.
    """
    check_free(options)
    with contextlib.ExitStack() as sockets:
        for flag, port in _ports(options):
            holder = sockets.enter_context(_socket(options.host))
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            _hold(holder, options.host, port, flag)
        yield


def _ports(options: ServerOptions) -> list[tuple[str, int]]:
    return [(flag, port) for flag, port in (("port", options.port), ("rest_api_port", options.rest_api_port)) if port]


def _socket(host: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)


def _hold(holder: socket.socket, host: str, port: int, flag: str) -> None:
    """Binds a socket that no other server, which only starts, may share: without SO_REUSEADDR."""
    try:
        _bind(holder, host, port, flag)
    except OptionsError:
        # Nobody was there a moment ago: it may be connections that a server of one process has closed, which the
        # system remembers for a minute.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind(holder, host, port, flag)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)


def _bind(one: socket.socket, host: str, port: int, flag: str) -> None:
    try:
        one.bind((host, port))
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise OptionsError(
                f"--host={host}",
                got=error.strerror or str(error),
                expected="an address of this machine",
                fix="give one that it has, 0.0.0.0 for all of them or 127.0.0.1 for this machine alone",
            ) from error
        raise taken(f"--{flag}: {host}:{port} cannot be listened on", error.strerror or str(error), flag) from error


def taken(what: str, got: str, flag: str) -> OptionsError:
    """The error of an address that cannot be listened on; `flag` gives another."""
    return OptionsError(
        what,
        got=got,
        expected="an address of this machine that nothing else uses",
        fix=f"stop what listens there, or choose another --{flag}",
    )
