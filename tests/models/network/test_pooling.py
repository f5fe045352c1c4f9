from __future__ import annotations

import numpy as np

from models.network.pooling import Pooling


def test_pooling_reads_tokens_and_no_padding() -> None:
    states = np.arange(24, dtype="float32").reshape(2, 3, 4)
    states[0, 2] = 1e6
    mask = np.array([[1, 1, 0], [0, 0, 0]], "int32")
    mean = np.array(Pooling("mean")(states, mask))
    np.testing.assert_allclose(mean[0], states[0, :2].mean(0))
    np.testing.assert_array_equal(mean[1], np.zeros(4))
    np.testing.assert_array_equal(Pooling("cls")(states, mask), states[:, 0])
    highest = np.array(Pooling("max")(states, mask))
    np.testing.assert_array_equal(highest[0], states[0, 1])
    np.testing.assert_array_equal(highest[1], np.zeros(4))
