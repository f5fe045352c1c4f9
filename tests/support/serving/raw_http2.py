"""An HTTP/2 client that sends raw frames, for what no real client does on purpose. Not a test itself."""

from __future__ import annotations

import asyncio
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
PREDICT = "/tensorflow.serving.PredictionService/Predict"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def field(name, value):
    """One header, neither indexed nor Huffman-coded; name and value have fewer than 127 bytes each."""
    name, value = name.encode(), value.encode() if isinstance(value, str) else value
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def fields(path=PREDICT, **more):
    named = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x"}
    named |= {"content-type": "application/grpc", "te": "trailers"}
    return b"".join(field(name, value) for name, value in (named | more).items())


def headers(stream, path=PREDICT, flags=END_HEADERS, **more):
    return frame(HEADERS, flags, stream, fields(path, **more))


def message(body, compressed=0, length=None):
    return struct.pack(">BI", compressed, len(body) if length is None else length) + body


def data(stream, payload, flags=END_STREAM):
    return frame(DATA, flags, stream, payload)


def settings(**numbers):
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", int(key[1:]), value) for key, value in numbers.items()))


class RawClient:
    """A connection that has sent the preface and SETTINGS."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, port, greeting=None, limit=2**16):
        client = cls(*await asyncio.open_connection("127.0.0.1", port, limit=limit))
        client.send(PREFACE + frame(SETTINGS) if greeting is None else greeting)
        return client

    def send(self, *frames):
        self.writer.write(b"".join(frames))

    async def frame(self):
        """(kind, flags, stream, payload) of the next frame; None at the end of the connection."""
        try:
            head = await self.reader.readexactly(9)
            length = int.from_bytes(head[:3], "big")
            kind, flags, stream = struct.unpack(">BBI", head[3:])
            return kind, flags, stream, await self.reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def until(self, *kinds, seconds=20.0):
        """The next frame of one of these kinds, or None at the end of the connection."""
        async with asyncio.timeout(seconds):
            while (got := await self.frame()) is not None and got[0] not in kinds:
                pass
        return got

    def close(self):
        self.writer.close()
