"""From logits to labels and probabilities."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from models.config import TaskConfig
from models.saved.postprocessing import postprocess
from tflite.host.labels import LabelSpace

LOGITS = np.array([[1.0, -2.0, 0.5], [0.1, 3.0, 2.9], [-4.0, -1.0, -1.2]], np.float32)
NAMES = ("a", "b", "c")
MANY = TaskConfig(type="multi_label", threshold=0.6)


@pytest.mark.parametrize("temperature", [0.05, 0.7, 1.0, 20.0])
def test_a_temperature_changes_the_probabilities_of_one_label_and_not_the_label(temperature: float) -> None:
    plain, cooled = (
        postprocess(tf.constant(LOGITS), TaskConfig(), LabelSpace(NAMES, temperatures=given))
        for given in ((), (temperature,))
    )
    assert plain["label"].numpy().tolist() == cooled["label"].numpy().tolist() == [b"a", b"b", b"b"]
    np.testing.assert_allclose(cooled["probabilities"], special.softmax(LOGITS / temperature, axis=1), atol=1e-6)
    np.testing.assert_array_equal(cooled["score"], cooled["probabilities"].numpy().max(axis=1))


def test_each_label_of_many_has_its_own_temperature_before_the_threshold() -> None:
    temperatures = (4.0, 1.0, 0.5)
    found = postprocess(tf.constant(LOGITS), MANY, LabelSpace(NAMES, temperatures=temperatures))
    wanted = special.expit(LOGITS / temperatures)
    np.testing.assert_allclose(found["probabilities"], wanted, atol=1e-6)
    assert found["label"].numpy().tolist() == [b"c", b"b|c", b""]
    # Without them the first label of the first row would be above the threshold too.
    assert postprocess(tf.constant(LOGITS), MANY, LabelSpace(NAMES))["label"].numpy().tolist()[0] == b"a|c"
