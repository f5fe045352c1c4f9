"""Measures a bundle's latency, memory and loading time in a separate process that imports only LiteRT and NumPy.

python -m tflite.measure.cost BUNDLE
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from models.child_processes import tied_to_parent
from models.errors import ModelError
from tflite.host.json_text import to_json

_WARM_UP, _PEAK_UNIT = 3, 1 if sys.platform == "darwin" else 1024
_TIMEOUT_S = 600


@dataclass(frozen=True)
class Latency:
    """Milliseconds per row of one signature: the median and the 90th percentile of the runs."""

    signature: str
    median: float
    p90: float


@dataclass(frozen=True)
class Cost:
    """The cost of a bundle on this machine."""

    bytes: int  # size of `model.tflite`
    load_ms: float  # from loading to the first prediction
    memory_bytes: int  # growth of the process's peak resident set
    threads: int
    latency_ms: tuple[Latency, ...]  # by signature, shortest first


def measure_cost(bundle: Path | str, *, threads: int = 1, runs: int = 50) -> Cost:
    """Measures a bundle in a separate process.

    Args:
        threads: CPU threads of one prediction.
        runs: predictions per signature.

    Raises:
        ModelError: the bundle cannot be loaded or run, or takes too long.
    """
    bundle_folder = str(Path(bundle).resolve())
    command = tied_to_parent(
        [sys.executable, "-m", "tflite.measure.cost", bundle_folder, f"--threads={threads}", f"--runs={runs}"]
    )
    root = Path(__file__).resolve().parents[2]
    try:
        done = subprocess.run(
            command, cwd=root, capture_output=True, text=True, errors="replace", check=False, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise ModelError(f"{bundle} cannot be measured", got=f"not finished within {_TIMEOUT_S} s") from None
    if done.returncode:
        message = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ModelError(f"{bundle} cannot be measured", got=message, expected="a bundle that can be run")
    raw = json.loads(done.stdout)
    return Cost(**{**raw, "latency_ms": tuple(Latency(**each) for each in raw["latency_ms"])})


def _measure(bundle: Path, threads: int, runs: int) -> Cost:
    from tflite.host.edge_classifier import EdgeModel
    from tflite.host.manifest import MODEL_FILE, Manifest

    manifest = Manifest.load(bundle)
    before = _peak_bytes()
    begin = time.perf_counter()
    model = EdgeModel(bundle / MODEL_FILE, manifest, threads=threads)
    model([0] * manifest.lengths[0], [0] * manifest.lengths[0])
    load = time.perf_counter() - begin
    latencies = []
    for length in manifest.lengths:
        row = [0] * length
        seconds = []
        for _ in range(_WARM_UP + runs):
            begin = time.perf_counter()
            model(row, row)
            seconds.append(time.perf_counter() - begin)
        median, p90 = np.percentile(seconds[_WARM_UP:], [50, 90]) * 1000
        latencies.append(Latency(manifest.signature(length), round(float(median), 4), round(float(p90), 4)))
    return Cost(
        bytes=(bundle / MODEL_FILE).stat().st_size,
        load_ms=round(1000 * load, 2),
        memory_bytes=_peak_bytes() - before,
        threads=threads,
        latency_ms=tuple(latencies),
    )


def _peak_bytes() -> int:
    """The peak resident set so far. On Linux, `ru_maxrss` would include the parent's, from before exec."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _PEAK_UNIT
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tflite.measure.cost", description="Measures the cost of a bundle, as JSON."
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=50)
    options = parser.parse_args()
    try:
        cost = _measure(options.bundle, options.threads, options.runs)
    except ModelError as error:
        sys.stderr.write(f"{str(error).splitlines()[0]}\n")
        return error.exit_code
    sys.stdout.write(to_json(asdict(cost), ascii=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
