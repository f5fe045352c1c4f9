"""The machine: system, C library, processor, memory (standard library only)."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import re
import resource
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.doctor.finding import Check, Finding, Project, as_size

ROOT = Path("/")
# docs/training.md: what Python and TensorFlow take before there is a model.
_TENSORFLOW_BYTES = 900_000_000
# docs/data-path.md: steps run side by side only while this much is available.
_SIDE_BY_SIDE_BYTES = 2_000_000_000
# PEP 600, and the older names of three of its tags.
_MANYLINUX = re.compile(r"manylinux(?:_(\d+)_(\d+)|(1|2010|2014))_")
_OLD_TAGS = {"1": (2, 5), "2010": (2, 12), "2014": (2, 17)}


def checks(project: Project | None) -> list[Check]:
    return [
        Check("system", system),
        Check("glibc", glibc),
        Check("processor", processor),
        Check("memory", lambda: memory(_last_peak(project))),
    ]


def system(root: Path = ROOT) -> Iterator[Finding]:
    """The operating system, and whether it is a container."""
    name = f"{platform.system()} {platform.release()} on {platform.machine()}"
    places = [path for path in (".dockerenv", "run/.containerenv") if (root / path).exists()]
    if places or "KUBERNETES_SERVICE_HOST" in os.environ:
        name += ", in a container"
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        yield Finding("system", "ok", name)
    else:
        yield Finding("system", "note", f"{name}: Transom has been tried only on Linux on x86_64")


def glibc(
    found: str | None = None, packages: Iterable[importlib.metadata.Distribution] | None = None
) -> Iterator[Finding]:
    """The C library, against the newest that an installed wheel was built for: an environment may have been copied."""
    if sys.platform != "linux":
        return
    found = _glibc() if found is None else found
    needs = dict(_needs(importlib.metadata.distributions() if packages is None else packages))
    most = max(needs.values(), default=(2, 17))
    wanted = f"{most[0]}.{most[1]}"
    if not (number := re.match(r"(\d+)\.(\d+)", found)):
        text = "another C library than glibc (Alpine has musl)"
        yield Finding(
            "glibc",
            "error",
            f"{text}: the packages need glibc {wanted}",
            "use Debian, Ubuntu or another system with glibc",
        )
        return
    have = (int(number[1]), int(number[2]))
    short = sorted(name for name, need in needs.items() if need > have)
    if not short:
        yield Finding("glibc", "ok", f"{found}; the installed packages need {wanted}")
        return
    named = ", ".join(short[:5]) + (f" and {len(short) - 5} more" if len(short) > 5 else "")
    remedy = "make the environment anew on this machine (`make`), or use a newer system"
    yield Finding("glibc", "error", f"{found}, but {named} were built for {wanted}", remedy)


def _glibc() -> str:
    with contextlib.suppress(ValueError, OSError):
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        return version if name == "glibc" else ""
    return ""


def _needs(packages: Iterable[importlib.metadata.Distribution]) -> Iterator[tuple[str, tuple[int, int]]]:
    """The version of glibc that each package's wheel needs: the lowest of its tags."""
    for one in packages:
        tags = _MANYLINUX.findall(one.read_text("WHEEL") or "")
        if tags:
            name = str(one.metadata["Name"])
            yield name, min(_OLD_TAGS[old] if old else (int(major), int(minor)) for major, minor, old in tags)


def processor(file: Path | None = None) -> Iterator[Finding]:
    """Cores and features. What a training makes of them is asked of TensorFlow: see `accelerator_checks`."""
    from models.runtime import ONEDNN, XLA_FLAGS, cpu_facts, cpu_quota

    facts = cpu_facts(file) if file is not None else cpu_facts()
    visible, features = os.cpu_count() or 1, facts["features"]
    cores = f"{facts['cores']} core{'' if facts['cores'] == 1 else 's'}"
    if facts["cores"] < visible:
        cores += f" of {visible} ({'the CPU limit of the container' if cpu_quota() else 'those of this process'})"
    known = ", ".join(features) or "none of AVX2, AVX-512, AVX512-BF16, AMX that can be seen"
    yield Finding("processor", "ok", f"{facts['cpu'] or 'unknown'}, {cores}; {known}")
    if facts["cores"] == 1:
        yield Finding("processor", "note", "one core: steps run one after another")
    if os.environ.get(ONEDNN, "1").lower() not in ("1", "true"):
        text = f"{ONEDNN}={os.environ[ONEDNN]} has no effect: a run sets it, and oneDNN is on"
        yield Finding(
            "processor", "warn", text, "unset it; `train.onednn: off` turns oneDNN off, recorded with the model"
        )
    given = os.environ.get(XLA_FLAGS, "")
    if "avx512f" in features and given and not given.startswith("-"):
        text = f"{XLA_FLAGS} names a file, so that XLA is not told to use whole AVX-512 registers"
        yield Finding("processor", "note", text)


def memory(last_peak: int, root: Path = ROOT) -> Iterator[Finding]:
    """Free memory, within the limits of the container and of `ulimit -v`.

    Args:
        last_peak: the peak of the project's last run in bytes; 0 if there is none.
    """
    found = _machine_memory(root)
    if found is None:
        yield Finding("memory", "note", "how much is free cannot be told on this system")
        return
    free, total = found
    whose = "machine"
    for limit, used in _cgroup_limits(root):
        if limit < total:
            total, whose = limit, "container"
        free = min(free, max(0, limit - used))
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    if soft != resource.RLIM_INFINITY:
        yield Finding(
            "memory",
            "warn",
            f"`ulimit -v` allows {as_size(soft)} of addresses, of which TensorFlow takes many more than it uses",
            "`ulimit -v unlimited`; limit a container's memory instead",
        )
    text = f"{as_size(free)} free of the {whose}'s {as_size(total)}"
    if free < max(last_peak, _TENSORFLOW_BYTES):
        need = f"the last run took {as_size(last_peak)}" if last_peak else "Python and TensorFlow alone take 0.9 GB"
        remedy = 'end other programs, raise the limit, or see docs/training.md, "Less memory"'
        yield Finding("memory", "warn", f"{text}; {need}", remedy)
    elif free < _SIDE_BY_SIDE_BYTES:
        yield Finding("memory", "note", f"{text}: below 2 GB, steps run one after another")
    else:
        yield Finding("memory", "ok", text + (f"; the last run took {as_size(last_peak)}" if last_peak else ""))


def _last_peak(project: Project | None) -> int:
    if project is None:
        return 0
    from pipeline.runs.run_records import all_runs

    ran = [run for run in all_runs(project.paths) if run.peak_memory_bytes and not run.is_idle()]
    return ran[-1].peak_memory_bytes if ran else 0


def _machine_memory(root: Path) -> tuple[int, int] | None:
    """Free and total bytes; None if the system does not tell."""
    with contextlib.suppress(OSError):
        text = (root / "proc/meminfo").read_text(encoding="utf-8", errors="replace")
        sizes = {name: int(size) * 1024 for name, size in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
        if "MemAvailable" in sizes and "MemTotal" in sizes:
            return sizes["MemAvailable"], sizes["MemTotal"]
    with contextlib.suppress(OSError, ValueError):
        size = os.sysconf("SC_PAGE_SIZE")
        return os.sysconf("SC_AVPHYS_PAGES") * size, os.sysconf("SC_PHYS_PAGES") * size
    return None


def _cgroup_limits(root: Path) -> Iterator[tuple[int, int]]:
    """Limit and use in bytes of this process's control groups, from its own to the root's (cgroup v2, and v1)."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = (*line.split(":", 2), "?", "")[:3]
        if controllers and "memory" not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        own = base / group.strip("/")
        # In a container the group's own path may not be there: its limit is at the top.
        for folder in [own, *own.parents[: len(own.parents) - len(base.parents)]]:
            with contextlib.suppress(OSError, ValueError):
                limit, used = (int((folder / name).read_text()) for name in names)
                yield limit, max(0, used - _reclaimable(folder))


def _reclaimable(folder: Path) -> int:
    """Bytes of files that the group has read, which make room when they must."""
    with contextlib.suppress(OSError):
        found = re.search(r"^(?:total_)?inactive_file (\d+)", (folder / "memory.stat").read_text(), re.MULTILINE)
        return int(found[1]) if found else 0
    return 0
