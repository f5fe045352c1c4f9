"""REST clients that send raw bytes, and some requests. Not a test itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time

from fronts import HOST

PATH = b"/v1/models/m:predict"
STATUS = b"GET /v1/models/m HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" % PATH
BODY = b'{"instances": [1.0]}'
RESPONSE = {"predictions": [2.0]}


def post(body=BODY, header=b"", length=None):
    return b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n%s" % (
        PATH,
        len(body) if length is None else length,
        header,
        body,
    )


def slow(seconds):
    return post(json.dumps({"signature_name": "slow", "instances": [seconds]}).encode())


def texts(size):
    return post(json.dumps({"signature_name": "text", "instances": ["a" * size]}).encode())


class RawRestClient:
    """A connection to the REST server of `fronts`."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def send(self, content):
        self.writer.write(content)
        await self.writer.drain()

    async def response(self):
        """Status and body of the next response."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 20)
        length = re.search(rb"Content-Length: (\d+)", head)
        body = await asyncio.wait_for(self.reader.readexactly(int(length[1]) if length else 0), 20)
        return int(head.split()[1]), body

    async def closed(self, seconds=20):
        """Waits until the server has closed the connection; returns the bytes sent before."""
        with contextlib.suppress(ConnectionError):
            return await asyncio.wait_for(self.reader.read(), seconds)
        return b""


@contextlib.asynccontextmanager
async def raw_client(fronts, *first, **how):
    reader, writer = await asyncio.open_connection(HOST, fronts.frontend.options.rest_api_port, **how)
    connection = RawRestClient(reader, writer)
    try:
        for content in first:
            await connection.send(content)
        yield connection
    finally:
        writer.transport.abort()


async def wait_until(condition, seconds=20.0):
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "it did not happen in time"
        await asyncio.sleep(0.02)
