"""Sockets that take connections for a protocol of asyncio, within what `Connections` allows.

asyncio's own server accepts as many connections at once as wait, whatever descriptors there are; without any left
it logs a traceback a second and takes nobody in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from serving.server.front.connections import Connections

BACKLOG = 1024
_AT_ONCE = 16  # connections accepted in one turn of the loop, fewer than the descriptors in reserve
_PAUSE_SECONDS = 0.1
_HANDSHAKE_SECONDS, _GOODBYE_SECONDS = 10.0, 2.0
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

MakeProtocol = Callable[[], asyncio.BaseProtocol]


def bind_tcp(host: str, port: int, *, shared: bool) -> list[socket.socket]:
    """Sockets that are bound to each address of a host, not yet listening.

    Args:
        host: a name or an address; empty for all addresses.
        port: 0 for a free one.
        shared: whether other processes listen on the port as well.

    Raises:
        OSError: it is taken, or the host is none of this machine's.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with contextlib.ExitStack() as undo:
        bound = []
        for family, kind, protocol, _, address in dict.fromkeys(found):
            one = undo.enter_context(socket.socket(family, kind, protocol))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(address)
            bound.append(one)
        undo.pop_all()
    return bound


def bind_unix(path: Path) -> socket.socket:
    """A UNIX socket that is bound to a path, not yet listening; a socket that a killed server left there is replaced.

    Raises:
        OSError: something else is there, or the folder is missing.
    """
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.stat().st_mode):
            path.unlink()
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        one.bind(str(path))
    except OSError:
        one.close()
        raise
    return one


class Listener:
    """Takes connections from when it is made until `close`.

    Args:
        sockets: bound ones, TCP or UNIX; the listener closes them.
        connections: what decides who may come; each protocol made registers itself there, see `Connections`.
        make_protocol: for each connection.
        tls: the context of new connections, which may be replaced at any time; None for plain ones.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        connections: Connections,
        make_protocol: MakeProtocol,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.tls = tls
        self.connections, self.make_protocol = connections, make_protocol
        self._loop = asyncio.get_running_loop()
        self._sockets = list(sockets)
        for one in self._sockets:
            one.setblocking(False)
            one.listen(BACKLOG)
            self._resume(one)

    def close(self) -> None:
        """Takes no more connections; those that are open go on."""
        sockets, self._sockets = self._sockets, []
        for one in sockets:
            self._loop.remove_reader(one)
            one.close()

    def _resume(self, one: socket.socket) -> None:
        if one in self._sockets:
            self._loop.add_reader(one, self._accept, one)

    def _pause(self, one: socket.socket) -> None:
        self._loop.remove_reader(one)
        self.connections.when_room(lambda: self._resume(one))
        self._loop.call_later(_PAUSE_SECONDS, self._resume, one)

    def _accept(self, one: socket.socket) -> None:
        connections = self.connections
        for turn in range(_AT_ONCE):
            full = len(connections) >= connections.most
            if full and turn:
                return  # nobody is closed for a connection that may not be there
            if full and not connections.make_room():
                connections.note("had to wait, as all others were being answered")
                self._pause(one)
                return
            try:
                accepted, _ = one.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                connections.note(f"could not be accepted ({error.strerror})")
                if error.errno in _EXHAUSTED:
                    connections.evict()
                    self._pause(one)
                return
            accepted.setblocking(False)
            _Opening(self, accepted)


class _Opening:
    """A connection until its protocol knows it: for long only in a handshake of TLS."""

    def __init__(self, listener: Listener, accepted: socket.socket) -> None:
        self._listener = listener
        self._accepted: socket.socket | None = accepted
        listener.connections.register(self)
        self._task = asyncio.get_running_loop().create_task(self._open(accepted))
        self._task.add_done_callback(self._done)

    async def _open(self, accepted: socket.socket) -> None:
        loop, listener, self._accepted = asyncio.get_running_loop(), self._listener, None
        try:
            if listener.tls is None:
                await loop.connect_accepted_socket(listener.make_protocol, accepted)
            else:
                await loop.connect_accepted_socket(
                    listener.make_protocol,
                    accepted,
                    ssl=listener.tls,
                    ssl_handshake_timeout=_HANDSHAKE_SECONDS,
                    ssl_shutdown_timeout=_GOODBYE_SECONDS,
                )
        except (OSError, asyncio.CancelledError) as error:
            # It is the client's affair, and it has gone, or was evicted. The frames that asyncio's handshake left in
            # the traceback hold the error, and a quarter of a megabyte, until Python collects garbage, which is late.
            error.__traceback__ = None

    def _done(self, task: asyncio.Task[None]) -> None:
        self._listener.connections.unregister(self)
        if self._accepted is not None:  # evicted before the task began
            self._accepted.close()

    def evict(self) -> None:
        self._task.cancel()
