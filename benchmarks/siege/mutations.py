"""Mutates valid requests: bytes, protobuf fields, JSON values, HTTP/1 requests, HTTP/2 frames.

Every choice comes from the given `random.Random`, so that the seed determines the case.
"""

from __future__ import annotations

import json
import struct
from random import Random
from typing import Any

from benchmarks.siege.wire import varint

NUMBERS = (0, 1, 2, 7, 127, 128, 255, 4096, 2**16, 2**24, 2**31 - 1, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63)
_NUMBERS = (*NUMBERS, 2**64 - 1)
MOST_BYTES = 300_000
"""The largest size of a case; larger requests are left to the attacks."""

Field = tuple[int, int, Any]
"""Field number, wire type, and a number (type 0), bytes (1, 5, 2) or a list of fields (2)."""


def mutate_bytes(source: Random, content: bytes, times: int = 3) -> bytes:
    """Flips bits; drops and repeats pieces; inserts random bytes and numbers."""
    done = bytearray(content)
    for _ in range(source.randint(1, times)):
        at, to = sorted(source.randint(0, len(done)) for _ in range(2))
        match source.randrange(8):
            case 0 if done:
                done[source.randrange(len(done))] ^= 1 << source.randrange(8)
            case 1 if done:
                done[source.randrange(len(done))] = source.choice((0, 0x7F, 0x80, 0xFF, 0x0A, 0x22, 0x5B))
            case 2:
                del done[at : min(to, at + 64)]
            case 3:
                done[at:at] = done[at : min(to, at + 64)] * source.choice((1, 1, 2, 50))
            case 4:
                done[at:at] = source.randbytes(source.choice((1, 2, 8, 100)))
            case 5:
                done[at : at + 4] = struct.pack("<I", source.choice(NUMBERS) & 0xFFFFFFFF)
            case 6:
                done[at:at] = varint(source.choice(_NUMBERS))
            case 7:
                del done[at:]
    return bytes(done[:MOST_BYTES])


def fields(content: bytes) -> list[Field] | None:
    """Parses a message into fields, recursively where bytes look like a message; None if it is not a message."""
    found: list[Field] = []
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        kind = tag & 7
        if at < 0 or not tag >> 3 or kind not in (0, 1, 2, 5):
            return None
        if kind == 0:
            value, at = _varint(content, at)
            if at < 0:
                return None
            found.append((tag >> 3, 0, value))
            continue
        size = {1: 8, 5: 4}.get(kind, 0)
        if kind == 2:
            size, at = _varint(content, at)
        if at < 0 or at + size > len(content):
            return None
        piece = content[at : at + size]
        at += size
        found.append((tag >> 3, kind, (fields(piece) or piece) if kind == 2 else piece))
    return found


def encode_fields(message: list[Field]) -> bytes:
    """Serializes fields, up to about `MOST_BYTES`, because nested repetition can grow without limit."""
    done = bytearray()
    for number, kind, value in message:
        if len(done) >= MOST_BYTES:
            break
        done += varint(number << 3 | kind)
        if kind == 0:
            done += varint(value)
        elif kind == 2:
            content = encode_fields(value) if isinstance(value, list) else value
            done += varint(len(content)) + content
        else:
            done += value
    return bytes(done)


def mutate_message(source: Random, content: bytes) -> bytes:
    """Changes a few fields of a message, at any depth."""
    message = fields(content)
    if message is None:
        return mutate_bytes(source, content)
    for _ in range(source.randint(1, 4)):
        _mutate_fields(source, message)
    return encode_fields(message)[:MOST_BYTES]


def _mutate_fields(source: Random, message: list[Field]) -> None:
    if not message:
        message.append((source.randint(1, 20), 0, source.choice(_NUMBERS)))
        return
    at = source.randrange(len(message))
    number, kind, value = message[at]
    if isinstance(value, list) and source.random() < 0.75:
        _mutate_fields(source, value)
        return
    match source.randrange(9):
        case 0:
            del message[at]
        case 1:
            message[at:at] = [message[at]] * source.choice((1, 2, 30, 1000))
        case 2:
            message[at] = (source.randint(1, 20), kind, value)
        case 3:
            message[at] = (number, 0, source.choice(_NUMBERS))
        case 4:
            message[at] = (number, 2, source.randbytes(source.choice((0, 1, 5, 200))))
        case 5:
            message[at] = (number, 5, source.randbytes(4))
        case 6:
            source.shuffle(message)
        case 7 if kind == 2:
            content = encode_fields(value) if isinstance(value, list) else value
            message[at] = (number, 2, mutate_bytes(source, content))
        case _:
            message[at] = (number, 2, [(number, kind, value)])


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(content):
            return 0, -1
        value |= (content[at] & 0x7F) << shift
        at += 1
        if content[at - 1] < 0x80:
            return value & (2**64 - 1), at
    return 0, -1


_LEAVES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    1e308,
    2**63,
    -(2**63),
    2**64,
    10**400,
    "",
    "a",
    "\0",
    "é",
    "😀",
)
_RAW = (
    "NaN",
    "-Infinity",
    "1e999",
    "01",
    "1.",
    "+1",
    "'a'",
    "[",
    "]",
    "{",
    "}",
    ",",
    '"\\ud800"',
    '"\\x"',
    "nul",
    "//",
)
_KEYS = ("instances", "inputs", "examples", "context", "signature_name", "b64", "x", "text", "n", "", "instances ")


def mutate_json(source: Random, document: Any) -> bytes:
    """Changes a few values of a document, and sometimes its text."""
    document = json.loads(json.dumps(document))
    for _ in range(source.choice((1, 1, 1, 2, 3))):
        document = _mutate_value(source, document)
    text = json.dumps(document, ensure_ascii=source.random() < 0.5)[:MOST_BYTES]
    if source.random() < 0.25:
        at = source.randint(0, len(text))
        text = text[:at] + source.choice(_RAW) + text[at + source.randint(0, 2) :]
    content = text.encode("utf-8", "surrogatepass")
    return mutate_bytes(source, content) if source.random() < 0.2 else content


def _mutate_value(source: Random, value: Any) -> Any:
    if isinstance(value, dict) and value and source.random() < 0.8:
        key = source.choice(list(value))
        if source.random() < 0.2:
            value[source.choice(_KEYS)] = value.pop(key)
        else:
            value[key] = _mutate_value(source, value[key])
        return value
    if isinstance(value, list) and value and source.random() < 0.7:
        at = source.randrange(len(value))
        value[at] = _mutate_value(source, value[at])
        return value
    match source.randrange(8):
        case 0:
            return source.choice(_LEAVES)
        case 1:
            return [value] * source.choice((0, 1, 2, 20) if isinstance(value, (list, dict)) else (1, 100, 3000))
        case 2:
            return {source.choice(_KEYS): value}
        case 3:
            for _ in range(source.choice((3, 30, 70, 200))):
                value = [value]
            return value
        case 4:
            return [value, source.choice(_LEAVES)]
        case 5:
            return {"b64": source.choice(("", "YQ==", "YQ", "%", "é", 5, "Y" * 1000))}
        case 6:
            return dict.fromkeys(source.sample(_KEYS, 3), value)
        case _:
            return str(value)[:1000] * source.choice((1, 100))


def mutate_frames(source: Random, frames: list[bytes]) -> bytes:
    """Drops, repeats and reorders HTTP/2 frames; changes lengths, types, flags, streams and contents."""
    done = list(frames)
    for _ in range(source.choice((1, 1, 1, 2, 4))):
        if not done:
            break
        at = source.randrange(len(done))
        frame = bytearray(done[at])
        match source.randrange(8):
            case 0:
                del done[at]
                continue
            case 1:
                done[at:at] = [done[at]] * source.choice((1, 2, 100))
                continue
            case 2:
                source.shuffle(done)
                continue
            case 3:
                frame[3:4] = bytes([source.choice((*range(11), 255))])
            case 4:
                frame[4:5] = bytes([source.randrange(256)])
            case 5:
                frame[5:9] = struct.pack(">I", source.choice((0, 1, 2, 3, 5, 99, 2**31 - 1, 2**31)))
            case 6:
                frame[0:3] = struct.pack(">I", source.choice((0, 1, 4, 5, 6, 100, 16384, 16385, 2**24 - 1)))[1:]
            case 7:
                frame[9:] = mutate_bytes(source, bytes(frame[9:]))
                if source.random() < 0.8:
                    frame[0:3] = struct.pack(">I", len(frame) - 9)[1:]
        done[at] = bytes(frame)
    return b"".join(done)[:MOST_BYTES]
