"""The one place that decides how TensorFlow is loaded. Call `prepare` before anything imports TensorFlow.

TensorFlow and oneDNN read these variables once, while they are loaded, so a later change is silently ignored:
`prepare` refuses it instead.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

from models.errors import TrainingError

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
# Importing tensorflow_transform would switch to Keras 2 where this is unset; "0" keeps Keras 3.
_ALWAYS = {"TF_USE_LEGACY_KERAS": "0", "KERAS_BACKEND": "tensorflow"}
# TensorFlow starts a thread per core that it sees, not per core that the container may use.
_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")


def prepare(onednn: str = "auto") -> None:
    """Sets the variables that TensorFlow reads when it is loaded.

    Args:
        onednn: "on" or "off"; "auto" is on: up to 1.7 times faster in training, at other last bits.

    Raises:
        TrainingError: TensorFlow is loaded already, with another decision.
    """
    wanted = dict(_ALWAYS)
    if onednn != "auto" or ONEDNN not in os.environ or not _loaded():
        wanted[ONEDNN] = "0" if onednn == "off" else "1"
    if not _loaded():
        os.environ.update(wanted)
        _limit_threads(cpu_quota())
        return
    if onednn == "auto":
        wanted.pop(ONEDNN, None)  # Any decision will do, TensorFlow's own too.
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            raise TrainingError(
                f"TensorFlow was loaded before its settings were decided ({name})",
                got=f"{name}={os.environ.get(name, 'unset')}",
                expected=f"{name}={value}",
                fix="call models.runtime.prepare() before importing tensorflow, or start a new process",
            )


def onednn_state() -> str:
    """ "on", "off", or "default" where TensorFlow decided by itself (it was loaded before `prepare`)."""
    value = os.environ.get(ONEDNN)
    return "default" if value is None else "on" if value.lower() in ("1", "true") else "off"


def cpu_quota(path: Path = _QUOTA_FILE) -> int | None:
    """Cores that the container's CPU limit allows (cgroup v2, rounded up), None where there is no limit."""
    try:
        quota, period = path.read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else max(1, math.ceil(int(quota) / int(period)))


def _limit_threads(quota: int | None) -> None:
    # A pod limited to 2 cores on a node of 64 is throttled to a crawl by 64 threads.
    if quota is not None and quota < len(os.sched_getaffinity(0)):
        for name in _THREADS:
            os.environ.setdefault(name, str(quota))


def _loaded() -> bool:
    return "tensorflow" in sys.modules
