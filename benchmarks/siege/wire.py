"""Writes protobuf messages and HTTP/2 frames as bytes, including huge and invalid ones that no library would write."""

from __future__ import annotations

import struct

_SERVICE = "/tensorflow.serving.PredictionService"
PREDICT, CLASSIFY, REGRESS = f"{_SERVICE}/Predict", f"{_SERVICE}/Classify", f"{_SERVICE}/Regress"
MULTI, METADATA = f"{_SERVICE}/MultiInference", f"{_SERVICE}/GetModelMetadata"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
HEALTH_CHECK, HEALTH_WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

FLOAT, DOUBLE, INT32, UINT8, STRING, COMPLEX64, INT64, BOOL, HALF = 1, 2, 3, 4, 7, 8, 9, 10, 19
VALUES = {FLOAT: 5, DOUBLE: 6, INT32: 7, UINT8: 7, STRING: 8, COMPLEX64: 9, INT64: 10, BOOL: 11, HALF: 13}
"""dtype to the number of the `TensorProto` field with its values."""


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def block(number: int, content: bytes | str = b"") -> bytes:
    """A field with bytes, text or a message."""
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def number(field: int, value: int) -> bytes:
    """A field with an integer."""
    return varint(field << 3) + varint(value)


def spec(model: str, signature: str = "") -> bytes:
    """A `ModelSpec`."""
    return block(1, model) + (block(3, signature) if signature else b"")


def tensor(dtype: int, shape: list[int], values: bytes = b"", content: bytes = b"") -> bytes:
    """A `TensorProto`; `values` are serialized fields."""
    dims = b"".join(block(2, number(1, size)) for size in shape)
    return number(1, dtype) + block(2, dims) + (block(4, content) if content else b"") + values


def predict(model: str, inputs: bytes, signature: str = "", more: bytes = b"") -> bytes:
    """A `PredictRequest`; `inputs` are made by `entry`."""
    return block(1, spec(model, signature)) + inputs + more


def entry(name: str, value: bytes) -> bytes:
    """One of the inputs of a `PredictRequest`."""
    return block(2, block(1, name) + block(2, value))


def floats_request(*values: float, model: str = "half_plus_two") -> bytes:
    packed = block(5, struct.pack(f"<{len(values)}f", *values))
    return predict(model, entry("x", tensor(FLOAT, [len(values)], packed)))


def text_request(*texts: str, model: str = "text") -> bytes:
    return predict(model, entry("text", tensor(STRING, [len(texts)], b"".join(block(8, text) for text in texts))))


def steps_request(steps: int, rows: int = 1) -> bytes:
    """A Predict request for `steps` steps of half_plus_two's loop."""
    return predict("half_plus_two", entry("n", tensor(INT32, [rows], block(7, varint(steps) * rows))), "endless")


def strings_request(count: int, values: bytes, content: bytes = b"", shape: list[int] | None = None) -> bytes:
    """A Predict request to the text model: a string tensor of shape [count]."""
    return predict("text", entry("text", tensor(STRING, shape or [count], values, content)))


def example(**features: float) -> bytes:
    """A `tf.Example` with single floats."""
    rows = [
        block(1, block(1, name) + block(2, block(2, block(1, struct.pack("<f", value)))))
        for name, value in features.items()
    ]
    return block(1, b"".join(rows))


def examples_request(examples: bytes, model: str = "half_plus_two", signature: str = "classify") -> bytes:
    """A Classification- or `RegressionRequest`; `examples` are serialized, each as `block(1, example)`."""
    return block(1, spec(model, signature)) + block(2, block(1, examples))


# HTTP/2 (RFC 9113).
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8


def frame(kind: int, flags: int = 0, stream: int = 0, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + content


def settings(**values: int) -> bytes:
    """A SETTINGS frame: `initial_window_size`, `max_frame_size`, `header_table_size`, `max_concurrent_streams`."""
    ids = {"header_table_size": 1, "enable_push": 2, "max_concurrent_streams": 3, "initial_window_size": 4}
    ids |= {"max_frame_size": 5, "max_header_list_size": 6}
    return frame(SETTINGS, content=b"".join(struct.pack(">HI", ids[name], value) for name, value in values.items()))


def header(name: str | bytes, value: str | bytes) -> bytes:
    """An HPACK header: literal, not indexed, without Huffman coding."""
    name, value = (one.encode() if isinstance(one, str) else one for one in (name, value))
    return b"\x00" + _length(len(name)) + name + _length(len(value)) + value


def call_headers(method: str, *more: tuple[str | bytes, str | bytes]) -> bytes:
    """The header block of a gRPC call."""
    rows = [(":method", "POST"), (":scheme", "http"), (":path", method), (":authority", "localhost")]
    rows += [("content-type", "application/grpc"), ("te", "trailers")]
    return b"".join(header(name, value) for name, value in (*rows, *more))


def message(body: bytes, *, length: int | None = None, compressed: bool = False) -> bytes:
    """A gRPC message with its prefix."""
    return struct.pack(">BI", compressed, len(body) if length is None else length) + body


def data(stream: int, content: bytes, *, last: bool = True, size: int = 16384) -> bytes:
    """DATA frames of at most `size` bytes."""
    pieces = [content[at : at + size] for at in range(0, len(content), size)] or [b""]
    flags = [0] * (len(pieces) - 1) + [END_STREAM if last else 0]
    return b"".join(frame(DATA, flag, stream, piece) for flag, piece in zip(flags, pieces, strict=True))


def _length(size: int) -> bytes:
    if size < 127:
        return bytes([size])
    return b"\x7f" + varint(size - 127)
