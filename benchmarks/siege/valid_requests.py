"""Valid requests of every kind, which the fuzzer mutates."""

from __future__ import annotations

from typing import Any

from benchmarks.siege import wire
from benchmarks.siege.models import FLOATS, TEXT
from benchmarks.siege.target import PAGE
from benchmarks.siege.wire import block, entry, example, floats_request, number, predict, spec, tensor, text_request

_EXAMPLES = block(1, example(x=1.0)) + block(1, example(x=-2.5, y=3.0))
_TASKS = b"".join(
    block(1, block(1, spec(FLOATS, name)) + block(2, f"tensorflow/serving/{name}")) for name in ("classify", "regress")
)

MESSAGES: dict[str, list[bytes]] = {
    wire.PREDICT: [
        floats_request(1.0, 2.0, 3.0),
        text_request("so good", "so dull"),
        predict(
            FLOATS,
            entry("text", tensor(wire.STRING, [2], block(8, "a") + block(8, "b")))
            + entry("n", tensor(wire.INT64, [2], block(10, b"\x01\x02"))),
            "two",
            block(3, "upper"),
        ),
        predict(FLOATS, entry("n", tensor(wire.INT32, [2], block(7, b"\x03\x02"))), "wide"),
        predict(FLOATS, entry("x", tensor(wire.FLOAT, [2], b"", bytes(8)))),
        predict(TEXT, entry("text", tensor(wire.STRING, [2], b"", b"\x01\x02abc"))),
        *(predict(FLOATS, entry("x", tensor(dtype, [1], b"", bytes(8)))) for dtype in range(1, 24)),
        *(
            predict(FLOATS, entry("x", tensor(dtype, [2], block(number_of, bytes(16)))))
            for dtype, number_of in wire.VALUES.items()
        ),
        block(1, block(1, FLOATS) + block(2, number(1, 1))) + entry("x", tensor(wire.FLOAT, [1], block(5, bytes(4)))),
        block(1, block(1, FLOATS) + block(4, "stable")) + entry("x", tensor(wire.FLOAT, [1], block(5, bytes(4)))),
    ],
    wire.CLASSIFY: [
        wire.examples_request(_EXAMPLES),
        block(1, spec(FLOATS, "classify")) + block(2, block(2, _EXAMPLES + block(2, example(c=1.0)))),
    ],
    wire.REGRESS: [wire.examples_request(_EXAMPLES, signature="regress")],
    wire.MULTI: [_TASKS + block(2, block(1, _EXAMPLES))],
    wire.METADATA: [block(1, spec(FLOATS)) + block(2, "signature_def")],
    wire.STATUS: [block(1, spec(FLOATS)), block(1, spec(TEXT))],
    wire.HEALTH_CHECK: [b"", block(1, FLOATS)],
}

_NUMBER, _WORD = f"/v1/models/{FLOATS}", f"/v1/models/{TEXT}"
DOCUMENTS: list[tuple[str, Any]] = [
    (f"{_NUMBER}:predict", {"instances": [1.0, 2, -3e5]}),
    (f"{_NUMBER}:predict", {"instances": [{"x": 1.0}, {"x": 2.0}]}),
    (f"{_NUMBER}:predict", {"inputs": [1.0, 2.0]}),
    (f"{_NUMBER}:predict", {"inputs": {"x": [1.0]}, "signature_name": "serving_default"}),
    (f"{_NUMBER}:predict", {"signature_name": "two", "instances": [{"text": "a", "n": 1}, {"text": "b", "n": 2}]}),
    (f"{_NUMBER}:predict", {"signature_name": "two", "inputs": {"text": [{"b64": "YQ=="}], "n": [7]}}),
    (f"{_WORD}:predict", {"instances": ["so good", "schön 😀"]}),
    (f"{_WORD}:predict", {"instances": [{"b64": "c28gZ29vZA=="}]}),
    (f"{_NUMBER}:classify", {"signature_name": "classify", "examples": [{"x": 1.0}, {"x": [2.0], "y": ["a", "b"]}]}),
    (f"{_NUMBER}:classify", {"signature_name": "classify", "context": {"c": 1}, "examples": [{}, {"x": 5}]}),
    (f"{_NUMBER}:regress", {"signature_name": "regress", "examples": [{"x": 0.5}, {"x": {"b64": "YQ=="}}]}),
    (f"{_NUMBER}/versions/1:predict", {"instances": [1.0]}),
    (f"{_NUMBER}/labels/stable:predict", {"instances": [1.0]}),
]
PATHS = [
    _NUMBER,
    f"{_NUMBER}/metadata",
    f"{_NUMBER}/versions/1",
    f"{_NUMBER}/versions/1/metadata",
    PAGE,
    "/v1/models/x",
]
HEADERS = (
    "Content-Type: application/json\r\n",
    "Accept-Encoding: gzip, deflate\r\n",
    "Accept-Encoding: gzip;q=0\r\n",
    "Content-Encoding: gzip\r\n",
    "Content-Encoding: identity\r\n",
    "Expect: 100-continue\r\n",
    "Connection: close\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Origin: http://a\r\n",
)
