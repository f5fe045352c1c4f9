"""REST clients that keep the server waiting, or have gone, do not affect others."""

import asyncio
import contextlib
import json
import ssl
import subprocess

import pytest
from fronts import with_fronts
from rest_clients import BODY, CHUNKED, PATH, RESPONSE, STATUS, post, raw_client, slow, texts, wait_until

from serving.server.front.connections import ConnectionState
from serving.server.options import TlsFiles

WAITING_CLIENTS = {
    "silent": b"",
    "half a line": b"POST /v1/mod",
    "half a header": b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nA",
    "idle after a response": STATUS,
    "half a body": post(length=1000),
    "half a chunk": CHUNKED + b"100\r\n{",
    "waiting for 100 Continue": post(b"", b"Expect: 100-continue\r\n", 100),
}


@pytest.mark.parametrize("first", WAITING_CLIENTS.values(), ids=WAITING_CLIENTS)
def test_a_new_connection_is_served_alongside_any_number_that_wait(first):
    async def test(fronts):
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(60):
                await stack.enter_async_context(raw_client(fronts, first))
            for _ in range(5):
                async with raw_client(fronts, STATUS) as connection:
                    assert (await connection.response())[0] == 200
            assert len(fronts.frontend.connections) <= 12
        await wait_until(lambda: len(fronts.frontend.connections) <= 1)

    with_fronts(test, max_connections=10)


@pytest.mark.parametrize(
    ("state", "first"),
    [
        (ConnectionState.OPENING, WAITING_CLIENTS["silent"]),
        (ConnectionState.OPENING, WAITING_CLIENTS["half a header"]),
        (ConnectionState.IDLE, WAITING_CLIENTS["idle after a response"]),
        (ConnectionState.RECEIVING, WAITING_CLIENTS["half a body"]),
        (ConnectionState.RECEIVING, WAITING_CLIENTS["half a chunk"]),
        (ConnectionState.SENDING, texts(8_000_000)),
    ],
)
def test_a_client_that_keeps_the_server_waiting_is_closed_in_time(state, first):
    async def test(fronts):
        connections = fronts.frontend.connections
        connections.timeouts = dict(connections.timeouts) | {state: 0.5}
        async with raw_client(fronts, first, limit=1000) as connection:
            if state is not ConnectionState.SENDING:
                await connection.closed()
            await wait_until(lambda: len(connections) == 0)
        assert (await fronts.http.get("/v1/models/m")).status_code == 200

    with_fronts(test)


def test_running_requests_are_never_dropped_for_new_connections():
    async def test(fronts):
        async with raw_client(fronts, slow(1.0)) as first, raw_client(fronts, slow(1.0)) as second:
            await wait_until(lambda: fronts.frontend.in_flight == 2)
            async with raw_client(fronts, STATUS) as third:
                for connection in (first, second, third):
                    assert (await connection.response())[0] == 200

    with_fronts(test, max_connections=2)


def test_endless_bodies_do_not_hold_memory_for_long(monkeypatch):
    monkeypatch.setattr("serving.server.front.connections._LOW_MEMORY_PATIENCE", 0.3)

    async def test(fronts):
        budget = fronts.frontend.budget
        async with contextlib.AsyncExitStack() as stack:
            holders = [
                await stack.enter_async_context(raw_client(fronts, post(b" " * 400_000, length=500_000)))
                for _ in range(4)
            ]
            await wait_until(lambda: budget.bytes > 500_000)
            assert budget.bytes <= 1_000_000
            assert (await fronts.http.post(PATH.decode(), content=BODY)).json() == RESPONSE
            for connection in holders:
                assert (await connection.closed())[9:12] in (b"", b"429")
        await wait_until(lambda: budget.bytes == 0)

    with_fronts(test, max_pending_bytes=1_000_000)


def test_pipelined_requests_are_handled_in_order_and_no_faster_than_responses_are_read():
    async def test(fronts):
        async with raw_client(fronts, (STATUS + post()) * 200) as connection:
            for _ in range(200):
                assert (await connection.response())[0] == 200
                assert json.loads((await connection.response())[1]) == RESPONSE
        async with raw_client(fronts, limit=1000) as connection:
            sent = 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.5):
                    for sent in range(2000):  # noqa: B007  used below
                        await connection.send(STATUS * 1000)
            assert sent < 1000  # 40 MB, part of it in the system's buffers

    with_fronts(test)


def test_a_response_is_sent_after_the_client_has_stopped_sending():
    async def test(fronts):
        async with raw_client(fronts, STATUS + slow(0.2) + post()) as connection:
            connection.writer.write_eof()
            got = await connection.closed()
        assert got.count(b"HTTP/1.1 200 OK") == 3

    with_fronts(test)


@pytest.mark.parametrize("reset", [True, False])
def test_work_for_a_client_that_has_gone_is_cancelled(reset):
    async def test(fronts):
        async with raw_client(fronts, slow(60)) as connection:
            await wait_until(lambda: fronts.frontend.in_flight == 1)
            if reset:
                connection.writer.transport.abort()
            else:
                connection.writer.close()
            await wait_until(lambda: fronts.frontend.in_flight == 0)
        await wait_until(lambda: len(fronts.frontend.connections) == 0)

    with_fronts(test)


def certificate(folder, name):
    files = folder / f"{name}.key", folder / f"{name}.crt"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    try:
        subprocess.run([*command, "-keyout", files[0], "-out", files[1]], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return TlsFiles(server_key=files[0].read_bytes(), server_cert=files[1].read_bytes())


def test_endless_handshakes_block_no_one_and_certificates_can_change(tmp_path):
    old, new = certificate(tmp_path, "old"), certificate(tmp_path, "new")

    def trust(tls):
        context = ssl.create_default_context(cadata=tls.server_cert.decode())
        context.check_hostname = False
        return context

    async def ask(fronts, tls):
        async with raw_client(fronts, STATUS, ssl=trust(tls)) as connection:
            return (await connection.response())[0]

    async def test(fronts):
        async with contextlib.AsyncExitStack() as stack:
            for first in (b"", b"\x16\x03\x01\x02\x00\x01", STATUS):
                for _ in range(10):
                    await stack.enter_async_context(raw_client(fronts, first))
            assert await ask(fronts, old) == 200
            fronts.rest.reload_tls(new)
            assert await ask(fronts, new) == 200
            with pytest.raises(ssl.SSLError):
                await ask(fronts, old)
            assert len(fronts.frontend.connections) <= 7

    with_fronts(test, max_connections=5, tls=old)
