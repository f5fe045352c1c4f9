from __future__ import annotations

import pytest
import tensorflow as tf

from models.errors import TrainingError
from models.training.frameworks.devices import TrainingDevices, choose_devices
from models.training_config import TrainConfig


@pytest.mark.parametrize("name", ["none", "auto", "mirrored"])
def test_one_device_needs_no_mirror(name: str) -> None:
    if len(tf.config.list_logical_devices("GPU")) > 1:
        pytest.skip("this machine has several GPUs")
    devices = choose_devices(TrainConfig(strategy=name))
    assert devices.strategy_name == "none"
    assert devices.replicas == len(devices.names) == 1


@pytest.mark.parametrize(
    ("name", "precision"), [("none", "float32"), ("mirrored", "float32"), ("tpu", "mixed_bfloat16")]
)
def test_the_default_precision_is_the_devices(name: str, precision: str) -> None:
    assert TrainingDevices(name, tf.distribute.get_strategy(), ()).precision == precision


def test_a_missing_tpu_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    if tf.config.list_physical_devices("TPU"):
        pytest.skip("this machine has a TPU")
    monkeypatch.delenv("TPU_NAME", raising=False)
    with pytest.raises(TrainingError, match=r"train\.strategy") as caught:
        choose_devices(TrainConfig(strategy="tpu"))
    assert "auto" in caught.value.fix
