"""Unusual and invalid HTTP: chunked bodies, refusals, responses of any size."""

import asyncio
import contextlib
import email.utils
import json
import logging

import pytest
from fronts import with_fronts
from rest_clients import BODY, CHUNKED, PATH, RESPONSE, STATUS, post, raw_client


def test_chunks_of_any_size_are_read():
    async def test(fronts):
        body = json.dumps({"instances": [1.0] * 20_000}).encode()
        for size in (7_000, 70_000):
            async with raw_client(fronts, CHUNKED) as connection:
                for start in range(0, len(body), size):
                    piece = body[start : start + size]
                    await connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
                await connection.send(b"0\r\n\r\n" + STATUS)
                status, response = await connection.response()
                assert (status, len(json.loads(response)["predictions"])) == (200, 20_000)
                assert (await connection.response())[0] == 200
        single = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY)
        async with raw_client(fronts, CHUNKED + single + b"0\r\nTrailer: x\r\n\r\n" + STATUS) as connection:
            assert json.loads((await connection.response())[1]) == RESPONSE
            assert (await connection.response())[0] == 200

    with_fronts(test)


@pytest.mark.parametrize(
    "piece", [b"1\r\n \r\n" * 1000, b"1;" + b"a" * 5000 + b"\r\n \r\n"], ids=["bytes", "extensions"]
)
def test_chunks_that_are_mostly_framing_are_refused(piece):
    async def test(fronts):
        async with raw_client(fronts, CHUNKED) as connection:

            async def push():
                with contextlib.suppress(ConnectionError):
                    while True:
                        await connection.send(piece)

            pushing = asyncio.create_task(push())
            assert (await connection.response())[0] == 400
            await connection.closed()
            pushing.cancel()

    with_fronts(test)


def test_an_endless_header_is_refused():
    async def test(fronts):
        for start, more in ((b"GET /", b"a" * 5000), (b"GET / HTTP/1.1\r\n", b"A: b\r\n" * 1000)):
            async with raw_client(fronts, start) as connection:
                with contextlib.suppress(ConnectionError):
                    for _ in range(200):
                        await connection.send(more)
                assert (await connection.closed())[9:12] in (b"", b"400")

    with_fronts(test)


def test_expect_100_continue_gets_100_or_a_refusal():
    async def test(fronts):
        expect = b"Expect: 100-Continue\r\n"
        async with raw_client(fronts, post(b"", expect, len(BODY))) as connection:
            assert await connection.response() == (100, b"")
            await connection.send(BODY)
            assert json.loads((await connection.response())[1]) == RESPONSE
        for header, length, status in ((expect, 10**6, 413), (b"Expect: more\r\n", 10, 417)):
            async with raw_client(fronts, post(b"", header, length)) as connection:
                assert (await connection.response())[0] == status
                await connection.closed()

    with_fronts(test, max_message_bytes=10**5)


def test_a_refusal_reaches_a_client_that_keeps_sending():
    async def test(fronts):
        async with raw_client(fronts, post(b"", length=10**8)) as connection:
            with contextlib.suppress(ConnectionError):
                for _ in range(30):
                    await connection.send(b" " * 10**5)
            assert (await connection.response())[0] == 413

    with_fronts(test, max_message_bytes=10**5)


INVALID_HTTP = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 300,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "noise": bytes(range(256)) * 4,
    "both lengths": post(b"0\r\n\r\n", b"Transfer-Encoding: chunked\r\n"),
    "two lengths": post(b"{}", b"Content-Length: 3\r\n"),
    "a length below zero": post(length=-1),
    "a length of 5,000 digits": b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n\r\n" % (PATH, b"9" * 5000),
    "chunks within chunks": post(b"", b"Transfer-Encoding: chunked, chunked\r\n"),
    "a chunk beyond 64 bits": CHUNKED + b"F" * 17 + b"\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "line ends of one byte": STATUS.replace(b"\r\n", b"\n"),
    "a long line": b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * 9000),
    "many headers": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200 + b"\r\n",
}


@pytest.mark.parametrize("content", INVALID_HTTP.values(), ids=INVALID_HTTP)
def test_invalid_http_gets_400_in_json_and_no_log_line(content, caplog):
    async def test(fronts):
        async with raw_client(fronts, content + STATUS) as connection:
            status, body = await connection.response()
            assert status == 400
            assert len(json.loads(body)["error"]) < 1000
            await connection.closed()

    with caplog.at_level(logging.INFO):
        with_fronts(test)
    assert not caplog.records


def test_unusual_requests_are_handled_and_leave_the_connection_usable():
    zeros = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %s20\r\n\r\n" % (PATH, b"0" * 5000)
    upgrade = b"GET /v1/models/m HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n"
    odd = {
        zeros + BODY: 200,
        upgrade % b"websocket": 200,
        upgrade % b"h2c": 200,
        post(BODY, b"Connection: Upgrade\r\nUpgrade: h2c\r\n"): 200,
        b"TRACE /v1/models/m HTTP/1.1\r\nHost: x\r\n\r\n": 400,
        b"GET http://x/v1/models/m HTTP/1.1\r\nHost: x\r\n\r\n": 200,
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n": 404,
        b"GET /v1/models/m HTTP/1.0\r\nConnection: keep-alive\r\n\r\n": 200,
    }

    async def test(fronts):
        for request, status in odd.items():
            async with raw_client(fronts, request) as connection:
                assert (await connection.response())[0] == status, request
                await connection.send(STATUS)
                assert (await connection.response())[0] == 200, request

    with_fronts(test)


@pytest.mark.parametrize("accepted", ["identity", "gzip"])
def test_a_large_response_is_complete(accepted):
    async def test(fronts):
        text = "".join(map(str, range(300_000)))
        body = {"signature_name": "text", "instances": [text]}
        response = await fronts.http.post(PATH.decode(), json=body, headers={"Accept-Encoding": accepted})
        assert response.headers.get("Content-Encoding", "identity") == accepted
        assert response.json()["predictions"][0]["label"] == text
        assert (await fronts.http.get("/v1/models/m")).status_code == 200

    with_fronts(test)


@pytest.mark.parametrize(
    ("first_line", "headers", "line", "connection_header", "stays"),
    [
        (b"GET /v1/models/m HTTP/1.1", b"", b"HTTP/1.1 200 OK", None, True),
        (b"GET /v1/models/m HTTP/1.1", b"Connection: close\r\n", b"HTTP/1.1 200 OK", b"close", False),
        (b"GET /v1/models/m HTTP/1.0", b"", b"HTTP/1.0 200 OK", None, False),
        (b"GET /v1/models/m HTTP/1.0", b"Connection: keep-alive\r\n", b"HTTP/1.0 200 OK", b"keep-alive", True),
        (b"GET /v1/models/m/versions/9 HTTP/1.1", b"", b"HTTP/1.1 404 Not Found", None, True),
        (b"HEAD /none HTTP/1.1", b"", b"HTTP/1.1 404 Not Found", None, True),
    ],
)
def test_a_response_header_matches_the_protocol(first_line, headers, line, connection_header, stays):
    async def test(fronts):
        async with raw_client(fronts, first_line + b"\r\nHost: x\r\n" + headers + b"\r\n") as connection:
            head, *fields = (await connection.reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[:-2]
            assert head == line
            named = dict(field.split(b": ", 1) for field in fields)
            assert len(named) == len(fields)
            assert named.get(b"Connection") == connection_header
            assert named[b"Content-Type"] == b"application/json"
            assert email.utils.parsedate(named[b"Date"].decode()) is not None
            assert int(named[b"Content-Length"]) > 0
            if not first_line.startswith(b"HEAD"):
                json.loads(await connection.reader.readexactly(int(named[b"Content-Length"])))
            if stays:
                await connection.send(STATUS)
                assert (await connection.response())[0] == 200
            else:
                assert await connection.closed() == b""

    with_fronts(test)
