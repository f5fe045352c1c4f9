"""gRPC messages: small ones that claim large tensors, and large ones."""

from __future__ import annotations

import random

import grpc

from benchmarks.siege.attack import attack
from benchmarks.siege.models import FLOATS, TEXT
from benchmarks.siege.target import AttackTarget, run_concurrently
from benchmarks.siege.wire import (
    BOOL,
    CLASSIFY,
    COMPLEX64,
    DOUBLE,
    FLOAT,
    HALF,
    INT32,
    INT64,
    METADATA,
    MULTI,
    PREDICT,
    REGRESS,
    RELOAD,
    STATUS,
    STRING,
    UINT8,
    VALUES,
    block,
    entry,
    example,
    examples_request,
    floats_request,
    number,
    predict,
    spec,
    strings_request,
    tensor,
    text_request,
    varint,
)

MIB = 2**20
MOST = 60 * MIB


@attack("one string repeated 8 million times", quick=True)
def one_string_for_millions(target: AttackTarget) -> None:
    for count in (2**23, 2**20, 2**15, 2**40, 2**62):
        target.call(PREDICT, strings_request(count, block(8, "so good")))
        target.call(PREDICT, strings_request(count, b""))


@attack("one value repeated 16 million times, each dtype")
def one_value_for_millions(target: AttackTarget) -> None:
    for dtype in (FLOAT, DOUBLE, UINT8, INT64, BOOL, HALF, COMPLEX64):
        value = bytes(8) if dtype == DOUBLE else bytes(4) if dtype in (FLOAT, COMPLEX64) else b"\x01"
        body = predict(FLOATS, entry("x", tensor(dtype, [2**24], block(VALUES[dtype], value * 2))))
        target.call(PREDICT, body)


@attack("a hundred tensors, 64 MiB each", quick=True)
def many_filled(target: AttackTarget) -> None:
    rows = [entry(f"x{index}", tensor(FLOAT, [2**24 - index], block(5, b"\0\0\0\0"))) for index in range(100)]
    target.call(PREDICT, predict(FLOATS, b"".join(rows)))
    rows = [entry(f"x{index}", tensor(STRING, [2**13], block(8, "a"))) for index in range(1000)]
    target.call(PREDICT, predict(TEXT, b"".join(rows)))


@attack("64 MiB tensors, 32 at once")
def many_requests_filled(target: AttackTarget) -> None:
    body = predict(FLOATS, entry("x", tensor(FLOAT, [2**24 - 1], block(5, b"\0\0\0\0"))))
    run_concurrently(32, lambda _: target.call(PREDICT, body))


@attack("60 MiB of tensor_content, empty strings", quick=True)
def empty_strings_of_content(target: AttackTarget) -> None:
    target.call(PREDICT, strings_request(MOST, b"", bytes(MOST)))
    target.call(PREDICT, strings_request(MOST // 2, b"", b"\x01" * (MOST // 2) + b"a" * (MOST // 2)))


@attack("60 MiB of tensor_content, strings, given up")
def content_given_up(target: AttackTarget) -> None:
    body = strings_request(MOST, b"", bytes(MOST))
    run_concurrently(8, lambda _: target.call(PREDICT, body, timeout=1.0))


@attack("tensor_content of few rows, one long")
def long_rows_of_content(target: AttackTarget) -> None:
    long = b"so good " * (MOST // 8)
    target.call(PREDICT, strings_request(1, b"", varint(len(long)) + long))
    target.call(PREDICT, strings_request(2, b"", varint(2**31) + b"\0" + long))


@attack("30 million empty string_val", quick=True)
def millions_of_strings(target: AttackTarget) -> None:
    target.call(PREDICT, strings_request(MOST // 2, b"\x42\0" * (MOST // 2)))
    target.call(PREDICT, strings_request(1, b"\x42\0" * (MOST // 2)))


@attack("60 MiB of varints, packed")
def packed_varints(target: AttackTarget) -> None:
    for dtype in (INT64, UINT8, BOOL, HALF):
        body = predict(FLOATS, entry("x", tensor(dtype, [MOST], block(VALUES[dtype], b"\x01" * MOST))))
        target.call(PREDICT, body)


@attack("30 million values, each a field")
def unpacked_values(target: AttackTarget) -> None:
    for dtype in (INT64, BOOL, HALF):
        field = varint(VALUES[dtype] << 3) + b"\x01"
        target.call(PREDICT, predict(FLOATS, entry("x", tensor(dtype, [MOST // 2], field * (MOST // 2)))))
    field = varint(5 << 3 | 5) + bytes(4)
    target.call(PREDICT, predict(FLOATS, entry("x", tensor(FLOAT, [MOST // 5], field * (MOST // 5)))))


@attack("packed fields in a million pieces")
def split_packed(target: AttackTarget) -> None:
    piece = block(5, bytes(4))
    target.call(PREDICT, predict(FLOATS, entry("x", tensor(FLOAT, [MOST // 6], piece * (MOST // 6)))))


@attack("60 MiB of valid floats, 16 at once")
def right_and_large(target: AttackTarget) -> None:
    body = predict(FLOATS, entry("x", tensor(FLOAT, [MOST // 4], block(5, bytes(MOST)))))
    run_concurrently(16, lambda _: target.call(PREDICT, body))


@attack("shapes of zeros, of a million sizes, of no rank")
def odd_shapes(target: AttackTarget) -> None:
    for shape in ([0, 2**40], [2**40, 0], [0] * 300, [1] * 254, [1] * 33, [-1], [-(2**63)], [2**32, 2**32], []):
        target.call(PREDICT, predict(FLOATS, entry("x", tensor(FLOAT, shape, block(5, bytes(4))))))
        target.call(PREDICT, strings_request(0, block(8, "a"), shape=shape))
    dims = block(2, block(2) * (MOST // 2))
    target.call(PREDICT, predict(FLOATS, entry("x", number(1, FLOAT) + dims + block(5, bytes(4)))))
    target.call(PREDICT, predict(FLOATS, entry("x", number(1, FLOAT) + block(2, number(3, 1)))))


@attack("a million inputs", quick=True)
def million_inputs(target: AttackTarget) -> None:
    rows = b"".join(entry(str(index), tensor(FLOAT, [1])) for index in range(1_000_000))
    target.call(PREDICT, predict(FLOATS, rows))
    target.call(PREDICT, predict(FLOATS, entry("x", tensor(FLOAT, [1])) * 1_000_000))
    target.call(PREDICT, predict(FLOATS, block(2) * (MOST // 2)))


@attack("nested and unknown fields")
def nested(target: AttackTarget) -> None:
    deep = b""
    for _ in range(20_000):
        deep = block(15, deep)
    groups = b"\xa3\x06" * 100_000 + b"\xa4\x06" * 100_000
    unknown = b"\xa2\x06\x00" * (MOST // 3)
    for more in (deep, groups, b"\xa3\x06" * (MOST // 2), unknown, b"\xa0\x06\x01" * (MOST // 3)):
        target.call(PREDICT, floats_request(1.0) + more)


@attack("60 MiB names, filters and labels")
def long_names(target: AttackTarget) -> None:
    name = "m" * MOST
    tensor_of_one = tensor(FLOAT, [1])
    for body in (
        predict(name, b""),
        predict(FLOATS, entry("x", tensor_of_one), signature=name),
        predict(FLOATS, entry(name, tensor_of_one)),
        floats_request(1.0) + block(3, name),
        floats_request(1.0) + block(3) * (MOST // 2),
        block(1, block(1, FLOATS) + block(4, name)),
    ):
        target.call(PREDICT, body)
    target.call(METADATA, block(1, spec(FLOATS)) + block(2, "x") * (MOST // 3))
    target.call(METADATA, block(1, spec(name)))
    target.call(STATUS, block(1, spec(name)))
    target.call(STATUS, block(1, spec(FLOATS)) * (MOST // 20))


@attack("20 million empty examples")
def millions_of_examples(target: AttackTarget) -> None:
    for method, signature in ((CLASSIFY, "classify"), (REGRESS, "regress")):
        target.call(method, examples_request(block(1) * (MOST // 2), signature=signature))
        target.call(method, examples_request(block(1, block(1)) * (MOST // 4), signature=signature))


@attack("examples of a million features, lists and values")
def large_examples(target: AttackTarget) -> None:
    features = b"".join(block(1, block(1, str(index)) + block(2)) for index in range(1_000_000))
    floats = block(1, block(1, "x") + block(2, block(2, block(1, bytes(MOST)))))
    ints = block(1, block(1, "x") + block(2, block(3, block(1, b"\x01" * MOST))))
    strings = block(1, block(1, "x") + block(2, block(1, block(1) * (MOST // 2))))
    for content in (features, floats, ints, strings, block(1) * (MOST // 2)):
        target.call(CLASSIFY, examples_request(block(1, block(1, content))))


@attack("a context that every example gets", quick=True)
def multiplied_context(target: AttackTarget) -> None:
    context = block(1, block(1, block(1, "c") + block(2, block(1, block(1, "c" * 50_000)))))
    for count in (1000, 16_000, 1_000_000):
        empty_examples = block(1, block(1)) * count
        body = block(1, spec(FLOATS, "classify")) + block(2, block(2, empty_examples + block(2, context)))
        target.call(CLASSIFY, body)


@attack("a million tasks")
def million_tasks(target: AttackTarget) -> None:
    task = block(1, block(1, spec(FLOATS, "classify")) + block(2, "tensorflow/serving/classify"))
    target.call(MULTI, task * 100_000 + block(2, block(1, block(1, example(x=1.0)))))
    target.call(MULTI, block(1) * (MOST // 2))
    target.call(MULTI, task + block(2, block(1, block(1, example(x=1.0)) * 1_000_000)))


@attack("reloads of a million models")
def million_models(target: AttackTarget) -> None:
    model = block(1, block(1, "same") + block(2, "/nowhere") + block(4, "tensorflow"))
    target.call(RELOAD, block(1, block(1, model * 1_000_000)))
    target.call(RELOAD, block(1, block(1, block(1) * (MOST // 2))))


@attack("16,384 texts, 8 at once")
def many_rows(target: AttackTarget) -> None:
    body = text_request(*["so good film " * 4] * 16_384)
    run_concurrently(8, lambda _: target.call(PREDICT, body))


@attack("3,000 long texts, 4 at once")
def many_long_rows(target: AttackTarget) -> None:
    body = text_request(*["so good film " * 60] * 3000)
    run_concurrently(4, lambda _: target.call(PREDICT, body))


@attack("one text of 60 MB, and 16 of 3 MB")
def long_texts(target: AttackTarget) -> None:
    target.call(PREDICT, text_request("so good " * (MOST // 8)))
    target.call(PREDICT, text_request("a" * MOST))
    run_concurrently(16, lambda _: target.call(PREDICT, text_request("so good " * 400_000)))


@attack("a response of a gigabyte", quick=True)
def wide_answers(target: AttackTarget) -> None:
    values = tensor(INT32, [8], block(7, varint(2**25)))
    run_concurrently(4, lambda _: target.call(PREDICT, predict(FLOATS, entry("n", values), "wide")))
    few = tensor(INT32, [4], block(7, varint(2**20)))
    run_concurrently(8, lambda _: target.call(PREDICT, predict(FLOATS, entry("n", few), "wide")))


@attack("callers that give up, 200 large requests", quick=True)
def given_up(target: AttackTarget) -> None:
    body = predict(FLOATS, entry("x", tensor(FLOAT, [4 * MIB], block(5, bytes(16 * MIB)))))
    texts = text_request(*["so good film"] * 4000)
    run_concurrently(10, lambda index: [target.call(PREDICT, (body, texts)[index % 2], timeout=0.1) for _ in range(20)])


@attack("gRPC messages that unpack to 64 MiB and more")
def packed_messages(target: AttackTarget) -> None:
    for size in (50 * MIB, 200 * MIB, 1000 * MIB):
        body = floats_request(1.0) + block(100, bytes(size))
        target.call(PREDICT, body, compression=grpc.Compression.Gzip)
    body = predict(FLOATS, entry("x", tensor(FLOAT, [MOST // 4], block(5, bytes(MOST)))))
    run_concurrently(8, lambda _: target.call(PREDICT, body, compression=grpc.Compression.Deflate))


@attack("noise for every method", quick=True, allowed=("INTERNAL",))
def noise(target: AttackTarget) -> None:
    source = random.Random(1)
    for method in (PREDICT, CLASSIFY, REGRESS, MULTI, METADATA, STATUS, RELOAD):
        for size in (1, 10, 1000, 100_000, 20 * MIB):
            target.call(method, source.randbytes(size))
    for method in ("/x/y", "/", "", "/tensorflow.serving.PredictionService/", "/" + "a" * 8000, "/%00/%ff"):
        target.call(method or "/-", b"")


@attack("made-up names, 20,000")
def made_up_names(target: AttackTarget) -> None:
    def send_queries(thread: int) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{target.port}") as channel:
            call = channel.unary_unary(PREDICT)
            for index in range(5000):
                try:
                    call(floats_request(1.0, model=f"made-up-{thread}-{index}"), timeout=20)
                except grpc.RpcError as error:
                    target.count_response(error.code().name, error.details() or "")

    run_concurrently(4, send_queries)
    if b"made-up-1-4" in target.page():
        raise AssertionError("made-up names fill the metrics' cells")
