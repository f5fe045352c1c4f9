from __future__ import annotations

from types import ModuleType

import pytest
import tensorflow as tf

from models import runtime
from models.errors import TrainingError
from models.training.frameworks.devices import TrainingDevices, check_cpu_parts, choose_devices
from models.training_config import TrainConfig


@pytest.mark.parametrize("name", ["none", "auto", "mirrored"])
def test_one_device_needs_no_mirror(name: str) -> None:
    if len(tf.config.list_logical_devices("GPU")) > 1:
        pytest.skip("this machine has several GPUs")
    devices = choose_devices(TrainConfig(strategy=name))
    assert devices.strategy_name == "none"
    assert devices.replicas == len(devices.names) == 1


@pytest.mark.parametrize(
    ("strategy", "device", "features", "preset", "precision"),
    [
        ("tpu", "/device:TPU:0", [], False, "mixed_bfloat16"),
        ("mirrored", "/device:GPU:0", ["avx512_bf16"], True, "float32"),
        ("none", "/device:CPU:0", ["avx2", "avx512f"], True, "float32"),
        ("none", "/device:CPU:0", ["avx512f", "avx512_bf16"], True, "mixed_bfloat16"),
        ("mirrored", "/device:CPU:0", ["avx512f", "amx_bf16"], True, "mixed_bfloat16"),
        ("none", "/device:CPU:0", ["avx512f", "amx_bf16"], False, "float32"),
    ],
)
def test_the_default_precision_depends_on_the_device_and_the_model(
    strategy: str, device: str, features: list[str], preset: bool, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "cpu_facts", lambda: {"features": features, "vendor": "AuthenticAMD"})
    devices = TrainingDevices(strategy, tf.distribute.get_strategy(), (device,))
    found, why = devices.choose_precision(preset=preset)
    assert found == precision
    assert why


@pytest.mark.parametrize(("cores", "most"), [(1, 8), (2, 8), (64, 64)])
def test_a_cpu_is_not_divided_into_far_more_parts_than_it_has_cores(
    cores: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "usable_cores", lambda: cores)
    check_cpu_parts(TrainConfig(devices=most))
    check_cpu_parts(TrainConfig(backend="jax", shards=most))
    with pytest.raises(TrainingError, match=f"train.devices is {most + 1}") as caught:
        check_cpu_parts(TrainConfig(devices=most + 1))
    assert caught.value.expected == f"at most {most}"
    with pytest.raises(TrainingError, match=f"train.shards is {most + 1}"):
        check_cpu_parts(TrainConfig(backend="jax", shards=most + 1))


@pytest.mark.parametrize(
    ("vendor", "features", "precision"),
    [
        ("GenuineIntel", ["avx512f", "avx512_bf16"], "float32"),  # at half the speed of float32
        ("GenuineIntel", ["avx512f", "avx512_bf16", "amx_bf16"], "mixed_bfloat16"),
        ("AuthenticAMD", ["avx512f", "avx512_bf16"], "mixed_bfloat16"),  # at twice that speed
    ],
)
def test_the_default_precision_is_the_faster_one(
    vendor: str, features: list[str], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "cpu_facts", lambda: {"features": features, "vendor": vendor})
    assert TrainingDevices("none", None, ("/device:CPU:0",)).choose_precision(preset=True)[0] == precision


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
        ("/device:CPU:0", ["avx2", "avx512f"], True, "float32", "parts"),
        ("/device:CPU:0", ["avx2", "avx512f"], False, "mixed_bfloat16", "parts"),
        ("/device:CPU:0", ["avx2", "avx512f"], False, "float32", True),
    ],
)
def test_what_xla_compiles_by_default_depends_on_the_device(
    name: str, features: list[str], preset: bool, precision: str, compiled: bool | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "cpu_facts", lambda: {"features": features, "vendor": ""})
    devices = TrainingDevices("none", tf.distribute.get_strategy(), (name,))
    found, why = devices.choose_xla(preset=preset, precision=precision)
    assert found == compiled
    assert why


@pytest.mark.slow
def test_the_report_says_what_was_chosen_and_why(tiny: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        runtime, "cpu_facts", lambda: {"cpu": "a", "vendor": "", "cores": 1, "features": ["avx512f", "amx_bf16"]}
    )
    auto = {"xla": "auto", "precision": "auto", "contrastive": "off", "epochs": 1}
    chosen = tiny.fit(preset=True, train_config=auto).report
    assert (chosen["xla"], chosen["precision"]) == ("parts", "mixed_bfloat16")
    assert chosen["xla_because"].startswith("auto: ")
    assert chosen["precision_because"].startswith("auto: ")
    given = tiny.fit(train_config={"xla": False, "precision": "float32", "epochs": 1}).report
    assert not {"xla_because", "precision_because"} & set(given)
