import gzip
import os
import zlib

import pytest

from serving.errors import Code, StatusError
from serving.server.front.rest.gzip_body import FREE_BYTES, MAX_RATIO, gunzip

LIMIT = 64 * 2**20


@pytest.mark.parametrize("size", [0, 1, 2**16 - 1, 2**16, 2**16 + 1, 300_000])
def test_gunzip_inverts_compression(size):
    content = os.urandom(size // 2) + b"a" * (size - size // 2)
    assert gunzip(gzip.compress(content), LIMIT) == content


def test_invalid_or_truncated_gzip_is_empty_and_trailing_bytes_are_ignored():
    packed = gzip.compress(b"so good" * 99)
    for wrong in (b"", b"no gzip", packed[:-1], packed[:20], zlib.compress(b"so good")):
        assert gunzip(wrong, LIMIT) == b""
    assert gunzip(packed + packed + b"more", LIMIT) == b"so good" * 99


def test_a_body_over_the_limit_gives_none():
    packed = gzip.compress(b"a" * 100_000)
    assert gunzip(packed, 100_000) == b"a" * 100_000
    assert gunzip(packed, 99_999) is None


def test_too_large_a_ratio_is_refused_early():
    steps = []
    packed = gzip.compress(b"[]," * 20_000_000)
    with pytest.raises(StatusError) as caught:
        gunzip(packed, LIMIT, check=lambda: steps.append(1))
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert f"of {len(packed)} bytes unpacks to more than {MAX_RATIO} times as many" in caught.value.message
    assert len(steps) < 2 * FREE_BYTES / 2**16
    zeros = b"0," * 2**21
    assert gunzip(gzip.compress(zeros), LIMIT) == zeros


def test_large_bodies_are_decompressed_in_linear_time():
    packed = gzip.compress(os.urandom(30_000_000), 0)
    assert len(gunzip(packed, LIMIT)) == 30_000_000
