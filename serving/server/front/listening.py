"""Listening sockets for an asyncio protocol, within what `Connections` allows.

asyncio's own server accepts all waiting connections at once, however few descriptors there are; once they run out, it
logs a traceback a second and accepts nothing in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import ssl
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote

from serving.server.front.connections import Connections

BACKLOG = 1024
_ACCEPTS_PER_TURN = 16  # connections accepted in one turn of the loop; fewer than the reserved descriptors
_PAUSE_SECONDS = 0.1
_HANDSHAKE_SECONDS, _GOODBYE_SECONDS = 10.0, 2.0
_EXHAUSTED_ERRORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

MakeProtocol = Callable[[], asyncio.BaseProtocol]


def bind_tcp(host: str, port: int, *, shared: bool) -> list[socket.socket]:
    """Sockets bound to each address of a host, not listening yet.

    Args:
        host: a name or an address; empty for all addresses.
        port: 0 for any free port.
        shared: whether other processes listen on the port as well.

    Raises:
        OSError: the port is in use, or the host is not this machine.
    """
    addresses = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with contextlib.ExitStack() as undo:
        bound = []
        for family, kind, protocol, _, address in dict.fromkeys(addresses):
            sock = undo.enter_context(socket.socket(family, kind, protocol))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            bound.append(sock)
        undo.pop_all()
    return bound


def bind_unix(path: Path) -> socket.socket:
    """A UNIX socket bound to a path, not listening yet. It replaces a socket that a killed server left there.

    Raises:
        OSError: something else is there, or the folder is missing.
    """
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.stat().st_mode):
            path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(path))
    except OSError:
        sock.close()
        raise
    return sock


def peer_address(transport: asyncio.BaseTransport) -> str:
    """The client's address as `GrpcCall.peer`. Empty for one that has left: it may not have been on this machine."""
    if transport.get_extra_info("socket").family == socket.AF_UNIX:
        return "unix:"
    address = transport.get_extra_info("peername")
    if address is None:
        return ""
    host, port = address[:2]
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"


def is_local(peer: str) -> bool:
    """Whether a request came from this machine, over loopback or a UNIX socket; false if unknown.

    Requests through a proxy on this machine look local too.

    Args:
        peer: see `GrpcCall.peer`.
    """
    kind, _, rest = unquote(peer).partition(":")
    if kind in ("unix", "unix-abstract"):
        return True
    if kind not in ("ipv4", "ipv6"):
        return False
    host = rest.rpartition(":")[0].removeprefix("[").removesuffix("]").partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)  # from a socket for both IPv4 and IPv6
    return (mapped or address).is_loopback


class SocketListener:
    """Accepts connections until `close`.

    Args:
        sockets: bound TCP or UNIX sockets; the listener closes them.
        connections: decides which may stay; each new protocol registers itself there, see `Connections`.
        tls: the context of new connections, which may be replaced at any time; None for no TLS.
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
        for sock in self._sockets:
            sock.setblocking(False)
            sock.listen(BACKLOG)
            self._resume(sock)

    def close(self) -> None:
        """Accepts no more connections; open ones continue."""
        sockets, self._sockets = self._sockets, []
        for sock in sockets:
            self._loop.remove_reader(sock)
            sock.close()

    def _resume(self, sock: socket.socket) -> None:
        if sock in self._sockets:
            self._loop.add_reader(sock, self._accept, sock)

    def _pause(self, sock: socket.socket) -> None:
        self._loop.remove_reader(sock)
        self.connections.call_when_room(lambda: self._resume(sock))
        self._loop.call_later(_PAUSE_SECONDS, self._resume, sock)

    def _accept(self, sock: socket.socket) -> None:
        connections = self.connections
        for turn in range(_ACCEPTS_PER_TURN):
            full = len(connections) >= connections.limit
            if full and turn:
                return  # do not close one for a connection that may not exist
            if full and not connections.make_room():
                connections.count_event("had to wait while all others were being served")
                self._pause(sock)
                return
            try:
                accepted, _ = sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                connections.count_event(f"could not be accepted ({error.strerror})")
                if error.errno in _EXHAUSTED_ERRORS:
                    connections.evict()
                    self._pause(sock)
                return
            accepted.setblocking(False)
            _OpeningConnection(self, accepted)


class _OpeningConnection:
    """A connection before its protocol has registered, which takes long only in a TLS handshake."""

    def __init__(self, listener: SocketListener, accepted: socket.socket) -> None:
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
            # The client is at fault or gone, or was evicted. In the traceback, asyncio's handshake would keep the error
            # and a quarter of a megabyte alive until Python collects garbage, which is late.
            error.__traceback__ = None

    def _done(self, task: asyncio.Task[None]) -> None:
        self._listener.connections.unregister(self)
        if self._accepted is not None:  # evicted before the task began
            self._accepted.close()

    def evict(self) -> None:
        self._task.cancel()
