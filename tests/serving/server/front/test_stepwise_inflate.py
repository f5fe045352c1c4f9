import gzip
import os
import zlib

import pytest

from serving.server.front.stepwise_inflate import DEFLATE_WBITS, GZIP_WBITS, StepwiseInflater


def test_decompression_takes_linear_time_and_inverts_compression():
    content = os.urandom(2**25)
    inflater = StepwiseInflater(gzip.compress(content, 1), GZIP_WBITS, 2**26, 2**18)
    steps = 0
    while not inflater.step():
        assert len(inflater._unconsumed) <= 2**18  # what each step copies
        steps += 1
    assert inflater.content() == content
    assert steps < 300
    for size in (0, 1, 2**18, 2**18 + 1):
        compressed = zlib.compress(content[:size] + bytes(size))
        inflater = StepwiseInflater(compressed, DEFLATE_WBITS, 2**26, 2**18)
        while not inflater.step():
            pass
        assert inflater.content() == content[:size] + bytes(size)
        inflater = StepwiseInflater(compressed[:-1], DEFLATE_WBITS, 2**26, 2**18)
        with pytest.raises(zlib.error, match="truncated"):
            any(iter(inflater.step, None))
