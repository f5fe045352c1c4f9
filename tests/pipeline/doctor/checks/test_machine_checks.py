from __future__ import annotations

import importlib.metadata
import resource
from collections.abc import Sequence
from pathlib import Path

import pytest
from doctor_projects import make_project, statuses

from pipeline.doctor.checks import machine_checks
from pipeline.doctor.checks.machine_checks import checks, glibc, memory, processor, system
from pipeline.doctor.finding import findings_of
from pipeline.runs.run_records import RunRecord


def distributions(folder: Path, **tags: str) -> Sequence[importlib.metadata.Distribution]:
    """Installed packages, by the tag of their wheels."""
    for name, tag in tags.items():
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "WHEEL").write_text("Wheel-Version: 1.0\n" + "".join(f"Tag: {one}\n" for one in tag.split()))
    return list(importlib.metadata.distributions(path=[str(folder)]))


def meminfo(root: Path, available: int, total: int) -> None:
    (root / "proc" / "self").mkdir(parents=True)
    text = f"MemTotal: {total // 1024} kB\nMemFree: 1 kB\nMemAvailable:  {available // 1024} kB\n"
    (root / "proc" / "meminfo").write_text(text)


def test_this_machine_is_examined() -> None:
    found = [finding for check in checks(None) for finding in findings_of(check)]
    assert {"system", "processor", "memory"} <= {finding.check for finding in found}
    assert not any("could not be checked" in finding.text for finding in found)


def test_a_container_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    (alone,) = system(tmp_path)
    assert "container" not in alone.text
    (tmp_path / ".dockerenv").touch()
    (inside,) = system(tmp_path)
    assert "in a container" in inside.text


def test_another_system_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks.platform, "machine", lambda: "riscv64")
    (found,) = system()
    assert found.status == "note"


@pytest.mark.parametrize(
    ("have", "status", "text"),
    [
        ("2.36", "ok", "the installed packages need 2.34"),
        ("2.17", "error", "2.17, but new were built for 2.34"),
        ("2.9", "error", "new, old were built for 2.34"),
        ("", "error", "another C library"),
    ],
)
def test_glibc_against_the_wheels(have: str, status: str, text: str, tmp_path: Path) -> None:
    new = "cp311-cp311-manylinux_2_34_x86_64 cp311-cp311-manylinux_2_39_x86_64"
    packages = distributions(tmp_path, pure="py3-none-any", old="cp311-cp311-manylinux2014_x86_64", new=new)
    (found,) = glibc(have, packages)
    assert found.status == status
    assert text in found.text


def test_a_processor_by_its_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    file = tmp_path / "cpuinfo"
    file.write_text("model name\t: Some CPU\nvendor_id\t: GenuineIntel\nflags\t\t: sse avx2 avx512f amx_bf16\n")
    assert "Some CPU, " in next(processor(file)).text
    assert next(processor(file)).text.endswith("; avx2, avx512f, amx_bf16")
    assert next(processor(tmp_path / "missing")).text.endswith("that can be seen")


def test_variables_that_have_another_effect_than_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("flags : avx512f\n")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.setenv("XLA_FLAGS", "flags.txt")
    found = list(processor(file))
    assert ("processor", "warn") in statuses(found)
    assert any("names a file" in finding.text for finding in found)
    assert any("train.onednn: off" in finding.remedy for finding in found)


@pytest.mark.parametrize("group", ["0::/", "0::/pod/box", "4:memory:/docker/1", "bad line"])
def test_a_containers_limit_counts(group: str, tmp_path: Path) -> None:
    meminfo(tmp_path, 60 * 10**9, 64 * 10**9)
    (tmp_path / "proc" / "self" / "cgroup").write_text(f"{group}\n")
    old = "memory" in group
    folder = tmp_path / "sys/fs/cgroup" / ("memory" if old else "")
    if group.endswith("box"):
        folder /= "pod"  # the limit of a group above the own one
    folder.mkdir(parents=True)
    (folder / ("memory.limit_in_bytes" if old else "memory.max")).write_text(f"{4 * 10**9}\n")
    (folder / ("memory.usage_in_bytes" if old else "memory.current")).write_text(f"{3 * 10**9}\n")
    (folder / "memory.stat").write_text(f"anon 1\n{'total_' if old else ''}inactive_file {500_000_000}\n")
    (found,) = memory(0, tmp_path)
    if group == "bad line":
        assert found.text == "60.0 GB free of the machine's 64.0 GB"
    else:
        assert found.text.startswith("1.5 GB free of the container's 4.0 GB")
        assert found.status == "note"


@pytest.mark.parametrize(
    ("free", "last_peak", "status", "text"),
    [
        (8, 0, "ok", "8.0 GB free"),
        (8, 3, "ok", "the last run took 3.0 GB"),
        (8, 9, "warn", "the last run took 9.0 GB"),
        (1.5, 0, "note", "one after another"),
        (0.5, 0, "warn", "take 0.9 GB"),
    ],
)
def test_memory_against_the_need(free: float, last_peak: int, status: str, text: str, tmp_path: Path) -> None:
    meminfo(tmp_path, int(free * 10**9), 16 * 10**9)
    (found,) = memory(last_peak * 10**9, tmp_path)
    assert found.status == status
    assert text in found.text


def test_memory_without_proc_is_asked_of_the_system(tmp_path: Path) -> None:
    (found,) = memory(0, tmp_path)
    assert "free of the machine's" in found.text


def test_a_limit_of_addresses_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meminfo(tmp_path, 8 * 10**9, 8 * 10**9)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2 * 10**9, resource.RLIM_INFINITY))
    assert statuses(list(memory(0, tmp_path))) == [("memory", "warn"), ("memory", "ok")]


def test_the_last_runs_peak_is_the_need(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    RunRecord("20260101-000000", "pushed", "", {}, peak_memory_bytes=10**15).save(project.paths)
    RunRecord("20260102-000000", "failed", "", {}).save(project.paths)
    (check,) = (each for each in checks(project) if each.name == "memory")
    assert "the last run took 1,000,000.0 GB" in list(findings_of(check))[-1].text
