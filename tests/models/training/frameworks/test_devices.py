from __future__ import annotations

from types import ModuleType

import pytest
import tensorflow as tf

from models import runtime
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


@pytest.mark.parametrize(
    ("name", "features", "preset", "precision", "compiled"),
    [
        ("/device:GPU:0", ["avx512f"], True, "float32", True),
        ("/device:CPU:0", ["avx2"], True, "mixed_bfloat16", True),
        ("/device:CPU:0", ["avx2", "avx512f"], True, "float32", False),
        ("/device:CPU:0", ["avx2", "avx512f"], False, "mixed_bfloat16", False),
        ("/device:CPU:0", ["avx2", "avx512f"], False, "float32", True),
    ],
)
def test_what_xla_compiles_by_default_depends_on_the_device(
    name: str, features: list[str], preset: bool, precision: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "cpu_facts", lambda: {"features": features})
    devices = TrainingDevices("none", tf.distribute.get_strategy(), (name,))
    found, why = devices.compiles(preset=preset, precision=precision)
    assert found == compiled
    assert why


def test_the_report_says_what_was_chosen_and_why(tiny: ModuleType) -> None:
    chosen = tiny.fit(train_config={"xla": "auto", "epochs": 1}).report
    assert isinstance(chosen["xla"], bool)
    assert chosen["xla_because"].startswith("auto: ")
    assert "xla_because" not in tiny.fit(train_config={"xla": False, "epochs": 1}).report
