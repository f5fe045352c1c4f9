from __future__ import annotations

import pytest
import tensorflow as tf

from models.errors import TrainingError
from models.training.strategy import place


@pytest.mark.parametrize("name", ["none", "auto", "mirrored"])
def test_one_device_needs_no_mirror(name: str) -> None:
    if len(tf.config.list_logical_devices("GPU")) > 1:
        pytest.skip("this machine has several GPUs")
    placement = place(name)
    assert placement.name == "none"
    assert placement.replicas == len(placement.devices) == 1


def test_a_missing_tpu_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    if tf.config.list_physical_devices("TPU"):
        pytest.skip("this machine has a TPU")
    monkeypatch.delenv("TPU_NAME", raising=False)
    with pytest.raises(TrainingError, match=r"train\.strategy") as caught:
        place("tpu")
    assert "auto" in caught.value.fix
