"""A whole run of a small table and a tiny model: what a pipeline costs beside its work. Plain TFX beside it, in turn.

    python benchmarks/overhead.py [--rows 2000] [--rounds 1]
    python benchmarks/overhead.py --quick

The rows are those of `growth.py`. Transom runs once with the steps that plain TFX has, too (it always has its serving
gate, DataGate and TokenizerTrainer in addition), once with all its steps, and once more with nothing changed. Plain TFX
(`plain_tfx.py`) runs with Beam in memory, and as its templates are. Each run is a process of its own, into an empty
folder; compiled programs that earlier runs have left in the user's cache are used.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
from pathlib import Path

from growth import CONFIG, ROOT, measure, write_table

SAME = "edge: {variants: []}\nevaluation: {baselines: {linear: off, majority: off}}\n"
SECONDS, MEMORY = "all, s", "peak memory, MB"


def main() -> int:
    """Measures each way `--rounds` times in turn and prints the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("bench-out/overhead"))
    parser.add_argument("--quick", action="store_true", help="300 rows, and Transom alone; the figures mean nothing")
    options = parser.parse_args()
    options.rows = 300 if options.quick else options.rows
    out: Path = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    table = out / f"{options.rows}.csv"
    write_table(table, options.rows)
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(options.rounds):
        for name, measured in _round(table, out, peers=not options.quick):
            found.setdefault(name, []).append(measured)
    print(render(found))
    return 0


def _round(table: Path, out: Path, *, peers: bool) -> list[tuple[str, dict[str, float]]]:
    same, whole = out / "same", out / "whole"
    for folder, more in ((same, SAME), (whole, "")):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        config = CONFIG.format(table=json.dumps(str(table))) + "train: {epochs: 2}\n" + more
        (folder / "transom.yaml").write_text(config, encoding="utf-8")
    results = [
        ("Transom, plain TFX's steps", _transom(same)),
        ("Transom, all steps", _transom(whole)),
        ("Transom, all steps, nothing changed", _transom(whole)),
    ]
    for name, flags in (("plain TFX, Beam in memory", []), ("plain TFX as it comes", ["--as-it-comes"])):
        if peers:
            shutil.rmtree(out / "plain", ignore_errors=True)
            command = [
                sys.executable,
                str(ROOT / "benchmarks" / "plain_tfx.py"),
                str(table),
                str(out / "plain"),
                *flags,
            ]
            seconds, memory, output = measure(command)
            results.append(
                (name, {**json.loads(output.splitlines()[-1])["steps"], SECONDS: seconds, MEMORY: memory / 1e6})
            )
    return results


def _transom(folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "pipeline.cli", "run", str(folder / "transom.yaml"), "--json"]
    seconds, memory, output = measure(command)
    steps = json.loads(output.splitlines()[-1])["steps"]
    return {**{step["name"]: step["seconds"] for step in steps}, SECONDS: seconds, MEMORY: memory / 1e6}


def render(found: dict[str, list[dict[str, float]]]) -> str:
    """A table with a column for each way. Steps that run side by side add up to more than the whole."""
    rows = list(dict.fromkeys(name for rounds in found.values() for name in rounds[0] if name not in (SECONDS, MEMORY)))
    lines = [f"| | {' | '.join(found)} |", "|---" * (len(found) + 1) + "|"]
    for row in (*rows, SECONDS, MEMORY):
        cells = [
            f"{statistics.median(one[row] for one in rounds):,.{0 if row == MEMORY else 1}f}"
            if row in rounds[0]
            else "-"
            for rounds in found.values()
        ]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
