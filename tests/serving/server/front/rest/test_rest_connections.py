"""Clients of REST that keep the server waiting, or have gone: nobody else notices."""

import asyncio
import contextlib
import json
import ssl
import subprocess

import pytest
from fronts import with_fronts
from rest_clients import ANSWER, BODY, CHUNKED, PATH, STATUS, client, post, settled, slow, texts

from serving.server.front.connections import ConnectionState
from serving.server.options import TlsFiles

BESIEGERS = {
    "silent": b"",
    "half a line": b"POST /v1/mod",
    "half a header": b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nA",
    "idle after an answer": STATUS,
    "half a body": post(length=1000),
    "half a chunk": CHUNKED + b"100\r\n{",
    "waiting to be told to send": post(b"", b"Expect: 100-continue\r\n", 100),
}


@pytest.mark.parametrize("first", BESIEGERS.values(), ids=BESIEGERS)
def test_a_new_connection_is_served_beside_any_number_that_wait(first):
    async def test(fronts):
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(60):
                await stack.enter_async_context(client(fronts, first))
            for _ in range(5):
                async with client(fronts, STATUS) as one:
                    assert (await one.answer())[0] == 200
            assert len(fronts.frontend.connections) <= 12
        await settled(lambda: len(fronts.frontend.connections) <= 1)

    with_fronts(test, max_connections=10)


@pytest.mark.parametrize(
    ("state", "first"),
    [
        (ConnectionState.OPENING, BESIEGERS["silent"]),
        (ConnectionState.OPENING, BESIEGERS["half a header"]),
        (ConnectionState.IDLE, BESIEGERS["idle after an answer"]),
        (ConnectionState.RECEIVING, BESIEGERS["half a body"]),
        (ConnectionState.RECEIVING, BESIEGERS["half a chunk"]),
        (ConnectionState.SENDING, texts(8_000_000)),
    ],
)
def test_who_keeps_the_server_waiting_is_closed_in_time(state, first):
    async def test(fronts):
        connections = fronts.frontend.connections
        connections.timeouts = dict(connections.timeouts) | {state: 0.5}
        async with client(fronts, first, limit=1000) as one:
            if state is not ConnectionState.SENDING:
                await one.closed()
            await settled(lambda: len(connections) == 0)
        assert (await fronts.http.get("/v1/models/m")).status_code == 200

    with_fronts(test)


def test_requests_that_run_are_never_given_up_for_new_connections():
    async def test(fronts):
        async with client(fronts, slow(1.0)) as first, client(fronts, slow(1.0)) as second:
            await settled(lambda: fronts.frontend.in_flight == 2)
            async with client(fronts, STATUS) as third:
                for one in (first, second, third):
                    assert (await one.answer())[0] == 200

    with_fronts(test, max_connections=2)


def test_bodies_that_never_end_do_not_hold_the_memory_for_long(monkeypatch):
    monkeypatch.setattr("serving.server.front.connections._LOW_MEMORY_PATIENCE", 0.3)

    async def test(fronts):
        budget = fronts.frontend.budget
        async with contextlib.AsyncExitStack() as stack:
            holders = [
                await stack.enter_async_context(client(fronts, post(b" " * 400_000, length=500_000))) for _ in range(4)
            ]
            await settled(lambda: budget.bytes > 500_000)
            assert budget.bytes <= 1_000_000
            assert (await fronts.http.post(PATH.decode(), content=BODY)).json() == ANSWER
            for one in holders:
                assert (await one.closed())[9:12] in (b"", b"429")
        await settled(lambda: budget.bytes == 0)

    with_fronts(test, max_pending_bytes=1_000_000)


def test_pipelined_requests_are_answered_in_their_order_and_no_faster_than_they_are_read():
    async def test(fronts):
        async with client(fronts, (STATUS + post()) * 200) as one:
            for _ in range(200):
                assert (await one.answer())[0] == 200
                assert json.loads((await one.answer())[1]) == ANSWER
        async with client(fronts, limit=1000) as one:
            sent = 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.5):
                    for sent in range(2000):  # noqa: B007  told below
                        await one.send(STATUS * 1000)
            assert sent < 1000  # 40 MB, of which the system's own buffers keep some

    with_fronts(test)


def test_an_answer_comes_after_the_client_has_ended_its_sending():
    async def test(fronts):
        async with client(fronts, STATUS + slow(0.2) + post()) as one:
            one.writer.write_eof()
            got = await one.closed()
        assert got.count(b"HTTP/1.1 200 OK") == 3

    with_fronts(test)


@pytest.mark.parametrize("reset", [True, False])
def test_work_for_a_client_that_has_gone_is_given_up(reset):
    async def test(fronts):
        async with client(fronts, slow(60)) as one:
            await settled(lambda: fronts.frontend.in_flight == 1)
            if reset:
                one.writer.transport.abort()
            else:
                one.writer.close()
            await settled(lambda: fronts.frontend.in_flight == 0)
        await settled(lambda: len(fronts.frontend.connections) == 0)

    with_fronts(test)


def certificate(folder, name):
    files = folder / f"{name}.key", folder / f"{name}.crt"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    try:
        subprocess.run([*command, "-keyout", files[0], "-out", files[1]], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return TlsFiles(server_key=files[0].read_bytes(), server_cert=files[1].read_bytes())


def test_handshakes_that_never_end_keep_nobody_out_and_certificates_may_change(tmp_path):
    old, new = certificate(tmp_path, "old"), certificate(tmp_path, "new")

    def trust(tls):
        context = ssl.create_default_context(cadata=tls.server_cert.decode())
        context.check_hostname = False
        return context

    async def ask(fronts, tls):
        async with client(fronts, STATUS, ssl=trust(tls)) as one:
            return (await one.answer())[0]

    async def test(fronts):
        async with contextlib.AsyncExitStack() as stack:
            for first in (b"", b"\x16\x03\x01\x02\x00\x01", STATUS):
                for _ in range(10):
                    await stack.enter_async_context(client(fronts, first))
            assert await ask(fronts, old) == 200
            fronts.rest.reload_tls(new)
            assert await ask(fronts, new) == 200
            with pytest.raises(ssl.SSLError):
                await ask(fronts, old)
            assert len(fronts.frontend.connections) <= 7

    with_fronts(test, max_connections=5, tls=old)
