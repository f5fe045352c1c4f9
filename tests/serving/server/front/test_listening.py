"""Listening sockets."""

import asyncio
import gc
import itertools
import socket
import ssl
import weakref

import pytest
from self_signed import self_signed

from serving.server.front.connections import Connections
from serving.server.front.listening import SocketListener, is_local, peer_address


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    key, certificate = self_signed(tmp_path_factory.mktemp("tls"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@pytest.mark.parametrize("greeting", [b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"])
@pytest.mark.parametrize("most", [5, 1000])
def test_failed_handshakes_leave_no_garbage(context, monkeypatch, greeting, most):
    made, count = weakref.WeakSet(), itertools.count()

    class Protocol(asyncio.Protocol):
        def __init__(self):
            made.add(self)

    class Watched(asyncio.sslproto.SSLProtocol):
        def __init__(self, *arguments, **options):
            made.add(self)
            next(count)
            super().__init__(*arguments, **options)

    monkeypatch.setattr(asyncio.sslproto, "SSLProtocol", Watched)

    async def test():
        bound = socket.create_server(("127.0.0.1", 0))
        listener = SocketListener([bound], Connections(most), Protocol, context)
        clients = []
        for _ in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", bound.getsockname()[1])
            writer.write(greeting)
            clients.append(writer)
            await asyncio.sleep(0.01)
        for writer in clients:
            writer.close()
        async with asyncio.timeout(20):
            while listener.connections:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        listener.close()
        return len(made)

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(test()) == 0
        assert next(count) == 20
    finally:
        gc.enable()


def test_a_client_that_has_left_is_not_a_local_client():
    class Transport:
        def __init__(self, family, address):
            self.known = {"socket": socket.socket(family), "peername": address}

        def get_extra_info(self, name):
            return self.known[name]

    for family, address, peer in (
        (socket.AF_INET, ("127.0.0.1", 1), "ipv4:127.0.0.1:1"),
        (socket.AF_INET6, ("::1", 1, 0, 0), "ipv6:[::1]:1"),
        (socket.AF_UNIX, "", "unix:"),
        (socket.AF_INET, None, ""),
    ):
        transport = Transport(family, address)
        assert peer_address(transport) == peer
        transport.known["socket"].close()
    assert not is_local("")
