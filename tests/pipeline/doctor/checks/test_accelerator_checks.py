from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from doctor_projects import make_project, statuses

from pipeline.doctor.checks.accelerator_checks import (
    Hardware,
    checks,
    find_hardware,
    hardware,
    other_framework,
    start_queries,
    tensorflow,
)
from pipeline.doctor.device_queries import Answer, stopping
from pipeline.doctor.finding import findings_of

NOTHING = Hardware({}, "", ())
NVIDIA = Hardware({"NVIDIA": 2}, "550.54.14", ("/dev/nvidia0",))
AUTO = {
    "a preset": {"precision": ["mixed_bfloat16", "AMX"], "xla": ["parts", "AVX-512"]},
    "an encoder from scratch": {"precision": ["float32", "scratch"], "xla": [True, "scratch"]},
}


@pytest.fixture(autouse=True)
def own_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRANSOM_JAX_PYTHON", "TRANSOM_TORCH_PYTHON", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRANSOM_BACKENDS", str(tmp_path / "backends"))


def answer(devices: list[str], stderr: str = "", **more: Any) -> Answer:
    return Answer({"version": "2.21.0", "devices": devices, "onednn": "on", "auto": AUTO, **more}, "", stderr)


def test_the_hardware_of_a_system(tmp_path: Path) -> None:
    for number, (vendor, kind) in enumerate(
        [
            ("0x10de", "0x030200"),
            ("0x10de", "0x040300"),
            ("0x1ae0", "0x020000"),
            ("0x1002", "0x030000"),
            ("0x8086", "0x03"),
        ]
    ):
        folder = tmp_path / "sys/bus/pci/devices" / f"0000:00:0{number}.0"
        folder.mkdir(parents=True)
        (folder / "vendor").write_text(f"{vendor}\n")
        (folder / "class").write_text(f"{kind}\n")
    (tmp_path / "sys/bus/pci/devices/unreadable").mkdir()
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    text = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build"
    (tmp_path / "proc/driver/nvidia/version").write_text(text)
    (tmp_path / "dev").mkdir()
    for name in ("nvidia0", "nvidiactl", "null"):
        (tmp_path / "dev" / name).touch()
    found = find_hardware(tmp_path)
    assert found == Hardware({"NVIDIA": 1, "AMD": 1}, "570.86.15", ("/dev/nvidia0",))
    assert found.has_nvidia
    assert not found.has_tpu
    assert find_hardware(tmp_path / "missing") == NOTHING


def test_hardware_that_nothing_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert statuses(list(hardware(NOTHING))) == [("hardware", "ok")]
    without_driver = list(hardware(Hardware({"NVIDIA": 1}, "", ())))
    assert "driver is not loaded" in without_driver[-1].text
    in_a_container = list(hardware(Hardware({"NVIDIA": 1}, "550.54.14", ())))
    assert "no device file" in in_a_container[-1].text
    assert "--gpus all" in in_a_container[-1].remedy
    assert {finding.status for finding in tensorflow(answer([]), Hardware({"NVIDIA": 1}, "550.54.14", ()))} == {"ok"}
    assert statuses(list(hardware(Hardware({}, "", ("/dev/dxg",))))) == [("hardware", "ok")]
    assert "AMD" in list(hardware(Hardware({"AMD": 1}, "", ())))[-1].text
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert "hides the GPUs" in list(hardware(NVIDIA))[-1].text


def test_tensorflow_and_what_it_would_choose() -> None:
    found = list(tensorflow(answer(["H200", "H200"]), NVIDIA))
    assert found[0].text == "2.21.0 sees 2 x H200"
    texts = ["a preset: mixed_bfloat16 (AMX), XLA in parts (AVX-512)"]
    texts.append("an encoder from scratch: float32 (scratch), XLA on (scratch)")
    assert [finding.text for finding in found if finding.check == "auto"] == texts
    assert {finding.status for finding in found} == {"ok"}


@pytest.mark.parametrize(
    ("settings", "models"),
    [
        ({"model": {"type": "encoder"}}, ["an encoder from scratch"]),
        ({"model": {"type": "preset", "preset": "minilm-l6"}}, ["a preset"]),
        ({"train": {"backend": "jax"}}, []),
    ],
)
def test_auto_is_told_for_the_projects_model(settings: dict[str, Any], models: list[str], tmp_path: Path) -> None:
    found = list(tensorflow(answer([], onednn="off"), NOTHING, make_project(tmp_path, **settings)))
    assert [finding.text.partition(":")[0] for finding in found if finding.check == "auto"] == models
    assert [finding.status for finding in found if finding.check == "oneDNN"] == ["note"] * len(models)


def test_a_gpu_that_tensorflow_does_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = "W0000 00:00:1796048463 18020 gpu_device.cc:1] Cannot dlopen some GPU libraries. Skipping.\n"
    found = list(tensorflow(answer([], stderr), NVIDIA))
    assert found[1].status == "warn"
    assert found[1].text == "sees no GPU: Cannot dlopen some GPU libraries. Skipping."
    assert "requirements-cuda.lock" in found[1].remedy
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "warn" not in {finding.status for finding in tensorflow(answer([], stderr), NVIDIA)}


def test_a_tpu_that_tensorflow_does_not_see(tmp_path: Path) -> None:
    project = make_project(tmp_path, train={"strategy": "tpu"})
    found = list(tensorflow(answer([]), Hardware({}, "", ("/dev/accel0",)), project))
    assert [finding.status for finding in found[1:3]] == ["warn", "error"]
    assert "train.strategy is tpu" in found[2].text


def test_tensorflow_that_does_not_work() -> None:
    (found,) = tensorflow(Answer({}, "ImportError: libx.so"), NOTHING)
    assert found.status == "error"
    assert "libx.so" in found.text
    half = list(tensorflow(Answer({"version": "2", "devices": []}, "no answer within 60 s"), NOTHING))
    assert statuses(half) == [("tensorflow", "ok"), ("auto", "warn")]


def test_a_framework_that_is_not_installed() -> None:
    (found,) = other_framework("jax", None, NOTHING, is_used=False)
    assert found.status == "ok"
    assert "transom backends install jax" in found.text
    assert list(other_framework("jax", None, NOTHING, is_used=True)) == []  # the checks before a run tell


@pytest.mark.parametrize(("is_used", "status"), [(True, "error"), (False, "warn")])
def test_an_environment_that_is_broken(is_used: bool, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSOM_JAX_PYTHON", "/bin/false")
    project = None
    queries = start_queries(project)
    with stopping(queries):
        found = list(other_framework("jax", queries["jax"].answer(), NOTHING, is_used=is_used))
    assert statuses(found) == [("jax", status)]
    assert "unset it" in found[0].remedy
    monkeypatch.setenv("TRANSOM_JAX_PYTHON", "/nowhere/python")
    (missing,) = other_framework("jax", None, NOTHING, is_used=is_used)
    assert missing.status == status
    assert "/nowhere/python" in missing.text


@pytest.mark.parametrize("name", ["jax", "torch"])
def test_a_gpu_that_another_framework_does_not_see(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"TRANSOM_{name.upper()}_PYTHON", "/bin/true")
    found = list(other_framework(name, answer([], built_for="13.2"), NVIDIA, is_used=False))
    assert statuses(found) == [(name, "ok"), (name, "warn")]
    assert "550.54.14" in found[1].text
    assert f"TRANSOM_{name.upper()}_PYTHON" in found[1].remedy
    assert len(list(other_framework(name, answer(["H200"]), NVIDIA, is_used=False))) == 1


def test_an_environment_without_its_files_is_damaged(tmp_path: Path) -> None:
    from models.training.elsewhere.environments import READY, environment

    folder = environment("jax").folder
    (folder / "bin").mkdir(parents=True)
    (folder / READY).write_text("0.10.2")
    (folder / "bin" / "python").symlink_to("/bin/false")
    (found,) = other_framework("jax", Answer({}, "exit code 1"), NOTHING, is_used=False)
    assert found.status == "warn"
    assert found.text.startswith("damaged: ")


def test_the_frameworks_answers_are_awaited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a project, and an interpreter for JAX that answers at once."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho \'{"version": "9", "devices": ["TPU v9"]}\'\n')
    python.chmod(0o755)
    monkeypatch.setenv("TRANSOM_JAX_PYTHON", str(python))
    project, waited = make_project(tmp_path), list[str]()
    queries = start_queries(project)
    with stopping(queries):
        queries["tensorflow"].stop()  # it would take seconds
        found = [one for check in checks(project, queries, waited.append, tmp_path) for one in findings_of(check)]
    assert ("tensorflow", "error") in statuses(found)
    assert any(finding.text.endswith("sees 1 x TPU v9") for finding in found)
