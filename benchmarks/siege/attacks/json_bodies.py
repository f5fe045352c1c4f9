"""REST bodies: JSON that is deep, long, compressed, or nearly valid."""

from __future__ import annotations

import base64
import gzip
import zlib

from benchmarks.siege.attack import attack
from benchmarks.siege.models import TEXT
from benchmarks.siege.target import AttackTarget, run_concurrently

MIB = 2**20
MOST = 60 * MIB
GZIP = "Content-Encoding: gzip\r\n"


def instances_body(content: bytes) -> bytes:
    return b'{"instances": [' + content + b"]}"


def repeated_items(item: bytes, size: int = MOST) -> bytes:
    """The item repeated with commas, up to `size` bytes."""
    return ((item + b",") * (size // (len(item) + 1)))[:-1]


@attack("65 kB of gzip, 22 million empty lists", quick=True)
def packed_lists(target: AttackTarget) -> None:
    target.predict(gzip.compress(instances_body(repeated_items(b"[]", 64 * MIB - 40))), headers=GZIP)
    target.predict(gzip.compress(instances_body(repeated_items(b"{}", 64 * MIB - 40))), model=TEXT, headers=GZIP)


@attack("gzip bombs")
def bombs(target: AttackTarget) -> None:
    for size in (10 * MIB, 63 * MIB, 300 * MIB):
        target.predict(gzip.compress(instances_body(b" " * size + b"1.0")), headers=GZIP)
    member = gzip.compress(b" " * MIB)
    target.predict(member * 20_000, headers=GZIP)
    target.predict(gzip.compress(b"") * (20 * MIB // 20), headers=GZIP)
    twice = gzip.compress(gzip.compress(b" " * 500 * MIB))
    target.predict(twice, headers=GZIP)
    target.predict(zlib.compress(b" " * 60 * MIB), headers="Content-Encoding: deflate\r\n")
    target.predict(gzip.compress(b"1")[:-4] + b"xxxx" * MIB, headers=GZIP)


@attack("gzip bombs, 16 at once")
def many_bombs(target: AttackTarget) -> None:
    body = gzip.compress(instances_body(repeated_items(b"1.5", 63 * MIB)))
    run_concurrently(16, lambda _: target.predict(body, headers=GZIP))


@attack("a million levels")
def deep(target: AttackTarget) -> None:
    for opening in (b"[", b'{"a":', b'[{"b":', b"[["):
        target.predict(instances_body(opening * MIB))
        target.predict(instances_body(opening * (20 * MIB)))
    half = b"[" * (30 * MIB) + b"]" * (30 * MIB)
    target.predict(half)
    target.predict(instances_body(b"[" * 60 + repeated_items(b"1", MOST) + b"]" * 60))
    target.predict(instances_body(b'"' + b"[" * MOST + b'"'), model=TEXT)


@attack("30 million numbers")
def numbers(target: AttackTarget) -> None:
    for item in (b"1", b"1.25", b"-1e-300", b"null", b"true", b"1e400"):
        target.predict(instances_body(repeated_items(item)))


@attack("30 million numbers, columns")
def columns(target: AttackTarget) -> None:
    target.predict(b'{"inputs": [' + repeated_items(b"1.5") + b"]}")
    target.predict(b'{"inputs": {"x": [' + repeated_items(b"1.5") + b"]}}")
    target.predict(b'{"inputs": {' + b",".join(b'"x%d": 1' % index for index in range(2_000_000)) + b"}}")
    target.predict(b'{"inputs": {' + repeated_items(b'"x": 1') + b"}}")


@attack("numbers that orjson does not read")
def lenient(target: AttackTarget) -> None:
    for last in (b"NaN", b"Infinity", b"-Infinity", b"1e5000", b"nan", b"1,", b"'x'"):
        target.predict(instances_body(repeated_items(b"1.5", 20 * MIB) + b"," + last))
    target.predict(instances_body(repeated_items(b"NaN", 20 * MIB)))
    target.predict(instances_body(repeated_items(b"1.5", 20 * MIB)) + b" trailing")


@attack("numbers of a million digits", quick=True)
def digits(target: AttackTarget) -> None:
    for size in (400, 4301, 20_000, MIB, 20 * MIB):
        for number in (b"1" * size, b"-" + b"9" * size, b"0." + b"3" * size, b"1e" + b"9" * size, b"1" * size + b".5"):
            target.predict(instances_body(number))
    target.predict(b'{"signature_name": ' + b"7" * 5000 + b', "instances": [1]}')


@attack("rows of other shapes, late errors")
def ragged(target: AttackTarget) -> None:
    row = b"[" + repeated_items(b"1", 2000) + b"]"
    target.predict(instances_body(repeated_items(row) + b",[1]"))
    target.predict(instances_body(repeated_items(b"1", 20 * MIB) + b',"x"'))
    target.predict(instances_body(repeated_items(b'{"x": 1}', 30 * MIB) + b',{"y": 1}'))
    target.predict(instances_body(repeated_items(b'{"x": [1, 2]}', 30 * MIB) + b',{"x": [1]}'))
    target.predict(instances_body(repeated_items(b'{"text": "a", "n": 1}', 30 * MIB)))


@attack("strings of escapes and invalid UTF-8")
def strings(target: AttackTarget) -> None:
    for content in (b"\\u0000", b"\\ud83d\\ude00", b"\\ud800", b"\\\\", b'\\"', b"\xff", b"\xc3\x28", b"\xed\xa0\x80"):
        target.predict(instances_body(b'"' + content * (20 * MIB // len(content)) + b'"'), model=TEXT)
    target.predict(instances_body(b'"' + b"a" * MOST), model=TEXT)
    target.predict(instances_body(b'"' + b"\\" * (MOST - 1)), model=TEXT)
    target.predict(instances_body(b'"' * (20 * MIB)), model=TEXT)


@attack("5 million texts, keys and base64")
def texts(target: AttackTarget) -> None:
    target.predict(instances_body(repeated_items(b'""')), model=TEXT)
    target.predict(instances_body(repeated_items(b'"so good"')), model=TEXT)
    target.predict(instances_body(repeated_items(b'{"b64": ""}')), model=TEXT)
    target.predict(instances_body(repeated_items(b'{"b64": "c28gZ29vZA=="}')), model=TEXT)
    long = base64.b64encode(b"so good " * (44 * MIB // 8))
    target.predict(instances_body(b'{"b64": "' + long + b'"}'), model=TEXT)
    target.predict(instances_body(b'{"b64": "' + long[:-3] + b'"}'), model=TEXT)
    keys = b",".join(b'"%d": 1' % index for index in range(3_000_000))
    target.predict(instances_body(b"{" + keys + b"}"), model=TEXT)


@attack("bodies that are not requests", quick=True)
def other_bodies(target: AttackTarget) -> None:
    for body in (
        b"",
        b"\0" * MOST,
        b" " * MOST,
        b"1" * MOST,
        b'"' + b"a" * MOST + b'"',
        b"[" + repeated_items(b"1") + b"]",
    ):
        target.predict(body)
    target.predict(b'{"signature_name": "' + b"s" * MOST + b'", "instances": [1]}')
    target.predict(b'{"' + b"k" * MOST + b'": 1}')
    target.predict(b'{"instances": [1], "more": ' + b'"' + b"m" * MOST + b'"}')
    target.predict(b'{"instances": [1], "more": [' + repeated_items(b"[1]") + b"]}")


@attack("4 million examples")
def examples(target: AttackTarget) -> None:
    head = b'{"signature_name": "classify", "examples": ['
    for item in (b"{}", b'{"x": 1}', b'{"x": [1, 2, 3]}', b'{"x": "a"}', b'{"x": {"b64": "YQ=="}}', b'{"x": []}'):
        target.predict(head + repeated_items(item) + b"]}", verb="classify")
    target.predict(head + b'{"x": [' + repeated_items(b"1") + b"]}]}", verb="regress")
    context = b'{"signature_name": "classify", "context": {"c": "' + b"c" * 50_000 + b'"}, "examples": ['
    target.predict(context + repeated_items(b"{}", 48_000) + b"]}", verb="classify")
    target.predict(context + repeated_items(b"{}", 4_800_000) + b"]}", verb="classify")


@attack("long responses over REST")
def long_answers(target: AttackTarget) -> None:
    wide = b'{"signature_name": "wide", "inputs": {"n": [%s]}}'
    run_concurrently(4, lambda _: target.predict(wide % b",".join([b"4000000"] * 2)))
    target.predict(wide % b"2000000000")
    run_concurrently(4, lambda _: target.predict(wide % b"3000000", headers="Accept-Encoding: gzip\r\n"))


@attack("valid bodies of 40 MB, 16 at once")
def right_and_large(target: AttackTarget) -> None:
    body = instances_body(repeated_items(b"1.5", 12 * MIB))
    run_concurrently(16, lambda _: target.predict(body))


@attack("8,000 texts over REST, 8 at once")
def many_rows(target: AttackTarget) -> None:
    body = instances_body(repeated_items(b'"so good film and more of it"', 8000 * 31))
    run_concurrently(8, lambda _: target.predict(body, model=TEXT))
