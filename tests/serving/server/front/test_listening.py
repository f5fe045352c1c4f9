"""Sockets that take connections: what is left of those that never became any."""

import asyncio
import gc
import itertools
import shutil
import socket
import ssl
import subprocess
import weakref

import pytest

from serving.server.front import addresses
from serving.server.front.connections import Connections
from serving.server.front.listening import Listener
from serving.server.options import ServerOptions
from serving.wire.protos import ModelServerConfig


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with")
    folder = tmp_path_factory.mktemp("tls")
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*made, "-keyout", folder / "key", "-out", folder / "cert"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert", folder / "key")
    return context


@pytest.mark.parametrize("greeting", [b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"])
@pytest.mark.parametrize("most", [5, 1000])
def test_handshakes_that_fail_leave_nothing_for_the_collection_of_garbage(context, monkeypatch, greeting, most):
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
        listener = Listener([bound], Connections(most), Protocol, context)
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


def test_workers_can_take_over_the_port_of_a_single_process_at_once():
    with socket.create_server(("127.0.0.1", 0)) as before:  # with SO_REUSEADDR, as a single process has
        port = before.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            before.accept()[0].close()  # first, so that its end waits for a minute (TIME_WAIT)
            assert client.recv(1) == b""
    with addresses.held(ServerOptions(models=ModelServerConfig(), host="127.0.0.1", port=port, rest_api_port=0)):
        pass
