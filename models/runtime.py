"""Decides how TensorFlow is loaded and runs. Call `prepare` before anything imports TensorFlow.

TensorFlow and oneDNN read these variables once, while loading, and silently ignore a later change. `prepare` refuses it
instead.
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from models import heap
from models.errors import TrainingError

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
# If this is unset, importing tensorflow_transform switches to Keras 2; "0" keeps Keras 3.
_ALWAYS = {"TF_USE_LEGACY_KERAS": "0", "KERAS_BACKEND": "tensorflow"}
# TensorFlow would take all of a GPU's memory at once, also that of a training on another framework beside it.
_GROWTH = "TF_FORCE_GPU_ALLOW_GROWTH"
# TensorFlow starts a thread per visible core, not per core that the container may use.
_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
_CORES_FOR_HALVES = 2  # with more, each share of a batch would be small, and adding up the gradients not
_NO_GRAPPLER = "disable_meta_optimizer"
_QUOTA_FILE, _CPU_FILE = Path("/sys/fs/cgroup/cpu.max"), Path("/proc/cpuinfo")
_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
# XLA uses half of an AVX-512 register, because some processors clock lower when they use whole ones. TensorFlow's
# matrix products use whole ones anyway.
_VECTOR_WIDTH = "--xla_cpu_prefer_vector_width"
_WHOLE = f"{_VECTOR_WIDTH}=512"
XLA_FLAGS = "XLA_FLAGS"
XLA_FLAGS_AS_GIVEN = os.environ.get(XLA_FLAGS, "").replace(_WHOLE, "").strip()
"""Without what `prepare` adds, here or in a parent: another framework may not know it and would end the process."""


def prepare(onednn: str = "auto") -> None:
    """Sets the variables that TensorFlow reads while loading.

    Args:
        onednn: "on" or "off"; "auto" means on: training is up to 1.7 times faster, and the last bits differ.

    Raises:
        TrainingError: TensorFlow is loaded already, with other settings.
    """
    wanted = dict(_ALWAYS)
    if onednn != "auto" or ONEDNN not in os.environ or not _loaded():
        wanted[ONEDNN] = "0" if onednn == "off" else "1"
    if not _loaded():
        os.environ.update(wanted)
        os.environ.setdefault(_GROWTH, "true")
        heap.prepare(usable_cores())
        _use_whole_vectors(cpu_facts()["features"])
        _limit_threads(cpu_quota())
        return
    if onednn == "auto":
        wanted.pop(ONEDNN, None)  # any setting will do, including TensorFlow's default
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            raise TrainingError(
                f"TensorFlow was loaded with other settings ({name})",
                got=f"{name}={os.environ.get(name, 'unset')}",
                expected=f"{name}={value}",
                fix="call models.runtime.prepare() before importing tensorflow, or start a new process",
            )


def one_thread_per_operation() -> None:
    """On two cores, has TensorFlow run two operations at once, each on one core, in all of this process.

    A training that XLA compiles only in parts then computes two halves of a batch side by side (`operations_at_once`).
    That keeps both cores busier, and each core's data in its own cache, than if both work on one operation after the
    other (measured: "Training speed" in benchmarks/README.md). It has no effect once TensorFlow has computed something,
    on a GPU, on a CPU where XLA compiles all (`models.training.frameworks.devices`), or if TF_NUM_INTRAOP_THREADS asks
    for something else.
    """
    import tensorflow as tf

    facts, asked = cpu_facts(), os.environ.get(_THREADS[0], "")
    if facts["cores"] != _CORES_FOR_HALVES or asked not in ("", str(_CORES_FOR_HALVES)):
        return
    if "avx512f" not in facts["features"] or onednn_state() == "off" or tf.config.list_physical_devices("GPU"):
        return
    with contextlib.suppress(RuntimeError):  # it has its threads already
        tf.config.threading.set_inter_op_parallelism_threads(_CORES_FOR_HALVES)
        tf.config.threading.set_intra_op_parallelism_threads(1)


def can_fork() -> bool:
    """Whether TensorFlow may compute in a forked process: on Linux, while it has not computed anything in this one.

    Its threads, which a forked process lacks, exist from the first operation on. macOS's own libraries refuse to work
    in a forked process.
    """
    if sys.platform != "linux":
        return False
    module = sys.modules.get("tensorflow.python.eager.context")
    context = module.context_safe() if module is not None else None
    return context is None or not context._initialized


def operations_at_once() -> int:
    """How many operations TensorFlow runs side by side in this process, each on one core; 1: it runs them on all."""
    from tensorflow import config

    alone = config.threading.get_intra_op_parallelism_threads() == 1
    return max(1, config.threading.get_inter_op_parallelism_threads()) if alone else 1


@contextlib.contextmanager
def without_grappler() -> Iterator[None]:
    """Within the block, TensorFlow runs functions as they were traced, without Grappler's rewriting.

    On a CPU the steps of a training take as long as with it, but the first call of each function is up to half a second
    shorter (measured: "Training speed" in benchmarks/README.md). Without TensorFlow it does nothing.
    """
    if not _loaded():
        yield
        return
    from tensorflow import config

    def switch(off: bool) -> None:
        config.optimizer.set_experimental_options({_NO_GRAPPLER: off})

    former = bool(config.optimizer.get_experimental_options().get(_NO_GRAPPLER, False))
    switch(True)
    try:
        yield
    finally:
        switch(former)


def onednn_state() -> str:
    """Either "on", "off", or "default" if TensorFlow was loaded before `prepare`."""
    value = os.environ.get(ONEDNN)
    return "default" if value is None else "on" if value.lower() in ("1", "true") else "off"


def cpu_quota(path: Path = _QUOTA_FILE) -> int | None:
    """Cores of the container's CPU limit (cgroup v2, rounded up); None without a limit."""
    try:
        quota, period = path.read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else max(1, math.ceil(int(quota) / int(period)))


def cpu_facts(path: Path = _CPU_FILE) -> dict[str, Any]:
    """What decides how fast a CPU trains: "cpu", its name; "vendor", such as "AuthenticAMD", or ""; "cores" that this
    process may use; "features" among AVX2, AVX-512 and the units for bfloat16 (Linux on x86-64 only, else empty)."""
    fields = _cpu_fields(path)
    flags = fields.get("flags", "").split()
    return {
        "cpu": fields.get("model name") or platform.processor() or platform.machine(),
        "vendor": fields.get("vendor_id", ""),
        "cores": usable_cores(),
        "features": [name for name in _FEATURES if name in flags],
    }


def cpu_identity(path: Path = _CPU_FILE) -> str:
    """The processor's name and all its features: machine code runs on every machine that has the same."""
    fields = _cpu_fields(path)
    return " ".join([fields.get("model name", ""), fields.get("flags", fields.get("Features", ""))])


def usable_cores() -> int:
    """Cores that this process may use, by its affinity and the container's CPU limit."""
    cores = _visible_cores()
    return min(cores, cpu_quota() or cores)


def _visible_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_fields(path: Path) -> dict[str, str]:
    """The first processor's fields in /proc/cpuinfo; none on other systems than Linux."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in reversed(lines))}


def _use_whole_vectors(features: Sequence[str]) -> None:
    given = os.environ.get(XLA_FLAGS, "").strip()
    names_file = given and not given.startswith("-")
    if "avx512f" in features and _VECTOR_WIDTH not in given and not names_file:
        os.environ[XLA_FLAGS] = f"{given} {_WHOLE}".strip()


def _limit_threads(quota: int | None) -> None:
    # 64 threads slow a pod that is limited to 2 cores of a 64-core node to a crawl.
    if quota is not None and quota < _visible_cores():
        for name in _THREADS:
            os.environ.setdefault(name, str(quota))


def _loaded() -> bool:
    return "tensorflow" in sys.modules
