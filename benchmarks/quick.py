"""Runs the quick form of every benchmark, one after another, and prints a line for each: `make bench`.

    python benchmarks/quick.py [WORD ...]

Shows that the benchmarks still run; the figures mean nothing. WORD selects benchmarks by a part of their command. The
output of each is in bench-out/logs/. The exit code is 1 if one fails.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "bench-out" / "logs"
COMMANDS = (
    "mediapipe_rows.py --quick",
    "edge.py --quick",
    "training_speed.py --quick",
    "training.py --quick",
    "quality.py --quick",
    "few_rows.py --quick",
    "training_memory.py --quick",
    "growth.py --quick",
    "overhead.py --quick",
    "serving.py --quick",
    "serving_pair.py --quick",
    "serving_fuzz.py --quick",
    "serving_siege.py --quick --workers 1 --only frames --slack 5",
)
TIMEOUT_S = 900


def main() -> int:
    """Runs the commands that contain a word of the command line, or all of them."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    failed = 0
    for command in COMMANDS:
        if sys.argv[1:] and not any(word in command for word in sys.argv[1:]):
            continue
        script, *arguments = command.split()
        log = (OUTPUT / script).with_suffix(".log")
        began = time.monotonic()
        with log.open("w", encoding="utf-8") as output:
            code = _exit_code([sys.executable, str(ROOT / "benchmarks" / script), *arguments], output.fileno())
        text = log.read_text(encoding="utf-8", errors="replace")
        notes = [line for line in text.splitlines() if line.startswith("skipped:")]
        outcome = "ok" if code == 0 else f"FAILED with {code}, see {log}"
        print(f"{time.monotonic() - began:6.1f} s  {command}: {'; '.join([outcome, *notes])}", flush=True)
        failed += code != 0
    return min(failed, 1)


def _exit_code(command: list[str], output: int) -> int | str:
    try:
        return subprocess.run(
            command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, check=False, timeout=TIMEOUT_S
        ).returncode
    except subprocess.TimeoutExpired:
        return f"no end after {TIMEOUT_S} s"


if __name__ == "__main__":
    sys.exit(main())
