"""Weights compared bit by bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from models.errors import ModelError
from pipeline.lineage.weight_comparison import compare_weights


def saved(folder: Path, **values: np.ndarray) -> Path:
    module = tf.Module()
    module.weights = {name: tf.Variable(value, name=f"layer/{name}") for name, value in values.items()}
    tf.saved_model.save(module, str(folder))
    return folder


KERNEL = np.array([[1.0, -0.5], [0.25, 3.0]], np.float32)


def test_equal_weights_do_not_differ(tmp_path: Path) -> None:
    values = {"kernel": KERNEL, "count": np.array(3, np.int64), "half": np.ones(4, tf.bfloat16.as_numpy_dtype)}
    first, second = (saved(tmp_path / name, **values) for name in "ab")
    assert compare_weights(first, second) == (3, [])


def test_one_bit_is_a_difference_and_the_largest_comes_first(tmp_path: Path) -> None:
    near = KERNEL.copy()
    near[1, 1] = np.nextafter(near[1, 1], np.float32(4))
    seeds = (np.array([7, 8], np.uint32), np.array([7, 9], np.uint32))
    half = np.ones(4, tf.bfloat16.as_numpy_dtype)
    first = saved(tmp_path / "a", kernel=KERNEL, bias=KERNEL, same=KERNEL, seed=seeds[0], half=half)
    second = saved(tmp_path / "b", kernel=near, bias=KERNEL + 0.5, same=KERNEL, seed=seeds[1], half=half * 5)
    count, found = compare_weights(first, second)
    assert count == 5
    named = [(one.name.partition(" ")[0].partition("/")[2], one.values) for one in found]
    assert named == [("half", 4), ("bias", 4), ("kernel", 1), ("seed", 1)]
    assert (found[0].largest, found[3].largest) == (4.0, None)
    found = found[1:]
    assert found[0].largest == 0.5
    assert found[1].largest == pytest.approx(2.4e-7, rel=0.1)


def test_other_shapes_and_variables_come_before_all(tmp_path: Path) -> None:
    first = saved(tmp_path / "a", kernel=KERNEL, gone=KERNEL, other=KERNEL)
    second = saved(tmp_path / "b", kernel=KERNEL.ravel(), new=KERNEL, other=KERNEL * 2)
    _, found = compare_weights(first, second)
    why = {one.name.partition(" ")[0]: one.why for one in found}
    assert why["weights/gone"] == "not in the new model"
    assert why["weights/new"] == "only in the new model"
    assert why["weights/kernel"] == "float32 [2, 2] then, float32 [4] now"
    assert found[-1].largest == 3.0


def test_a_weight_that_is_not_finite_is_compared_by_its_bits(tmp_path: Path) -> None:
    spoiled = KERNEL.copy()
    spoiled[0, 0] = np.nan
    both = (saved(tmp_path / "a", kernel=spoiled), saved(tmp_path / "b", kernel=spoiled))
    assert compare_weights(*both) == (1, [])
    _, (found,) = compare_weights(both[0], saved(tmp_path / "c", kernel=KERNEL))
    assert (found.values, found.largest) == (1, 0.0)


def test_weights_that_cannot_be_read_are_a_model_error(tmp_path: Path) -> None:
    first = saved(tmp_path / "a", kernel=KERNEL)
    with pytest.raises(ModelError, match="cannot be read"):
        compare_weights(first, tmp_path)
    data = next((first / "variables").glob("*.data*"))
    data.write_bytes(data.read_bytes()[:-3])
    with pytest.raises(ModelError, match="cannot be read"):
        compare_weights(first, first)
