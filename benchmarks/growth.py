"""The data path (ExampleGen to Transform) on more and more rows: seconds of each step, rows per second, peak memory.

    python benchmarks/growth.py [--rows 10000 100000 1000000] [--plain] [--set KEY=VALUE ...]
    python benchmarks/growth.py --quick

The texts are recombined from the demo's sentences: parts of one to three of them, about 220 bytes, nearly all distinct.
Each number of rows is a run of its own, `transom run --to Transform`, into an empty folder. The memory is that of all
its processes together (proportional set size), read ten times per second. "Imports" is the time of the run that no step
takes. The last line extrapolates the slope between the two largest numbers of rows to ten million.

--plain: also plain TFX on the same rows, with CsvExampleGen, StatisticsGen, SchemaGen and Transform (`plain_tfx.py`).
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from process_tree import PeakMemory

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

BYTES, CHUNK = 220, 10_000
CONFIG = """\
name: growth
output: out
data:
  path: {table}
model:
  num_layers: 2
  width: 16
  num_heads: 2
  feedforward_width: 32
"""


@dataclass(frozen=True)
class Measured:
    """Seconds of each step and of the whole run, and the peak memory of its processes in bytes."""

    steps: dict[str, float]
    seconds: float
    memory: int


def main() -> int:
    """Measures each number of rows and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--plain", action="store_true", help="also plain TFX")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings for `transom run`")
    parser.add_argument("--out", type=Path, default=Path("bench-out/growth"))
    parser.add_argument("--quick", action="store_true", help="300 and 600 rows; the figures mean nothing")
    options = parser.parse_args()
    if options.quick:
        options.rows = [300, 600]
    out: Path = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    for name, run in {"Transom": run_transom, **({"plain TFX": run_plain} if options.plain else {})}.items():
        found = {}
        for rows in options.rows:
            table = out / f"{rows}.csv"
            if not table.exists():
                write_table(table, rows)
            found[rows] = run(table, out / f"{name.replace(' ', '-').lower()}-{rows}", options.set)
        print(f"\n{name}:\n\n{render(found)}", flush=True)
    return 0


def write_table(path: Path, rows: int) -> None:
    """A table of `rows` texts of about 220 bytes, with the label of their first sentence; the same for each call."""
    from pipeline.demo import write_reviews

    reviews = path.with_name("reviews.csv")
    write_reviews(reviews)
    with reviews.open(encoding="utf-8", newline="") as stream:
        sentences = [(row["text"], row["label"]) for row in csv.DictReader(stream)]
    chosen = random.Random(0)
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        for _ in range(rows):
            text, label = chosen.choice(sentences)
            while len(text) < BYTES:
                text = f"{text} {chosen.choice(sentences)[0]}"
            writer.writerow([text[:BYTES].rpartition(" ")[0], label])
    part.rename(path)


def run_transom(table: Path, folder: Path, settings: list[str]) -> Measured:
    """`transom run --to Transform` into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "transom.yaml").write_text(CONFIG.format(table=json.dumps(str(table))), encoding="utf-8")
    command = [sys.executable, "-m", "pipeline.cli", "run", str(folder / "transom.yaml"), "--to", "Transform", "--json"]
    seconds, memory, output = measure([*command, *(part for one in settings for part in ("--set", one))])
    record = json.loads(output.splitlines()[-1])
    return Measured({step["name"]: step["seconds"] for step in record["steps"] if step["seconds"]}, seconds, memory)


def run_plain(table: Path, folder: Path, settings: list[str]) -> Measured:
    """Plain TFX, with Beam in memory."""
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, str(ROOT / "benchmarks" / "plain_tfx.py"), str(table), str(folder), "--to", "Transform"]
    seconds, memory, output = measure(command)
    return Measured(json.loads(output.splitlines()[-1])["steps"], seconds, memory)


def measure(command: list[str]) -> tuple[float, int, str]:
    """Seconds, peak memory and standard output of a command."""
    begin = time.monotonic()
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **piped) as process, PeakMemory(process.pid) as memory:
        output, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {process.returncode}:\n{errors[-3000:]}")
    return time.monotonic() - begin, memory.peak, output


def render(found: dict[int, Measured]) -> str:
    """A table with a column for each number of rows."""
    sizes = sorted(found)
    steps = list(dict.fromkeys(step for rows in sizes for step in found[rows].steps))
    lines = [f"| | {' | '.join(f'{rows:,} rows' for rows in sizes)} |", "|---" * (len(sizes) + 1) + "|"]
    for step in steps:
        lines.append(f"| {step}, s | {' | '.join(f'{found[rows].steps.get(step, 0):.1f}' for rows in sizes)} |")
    rest = [found[rows].seconds - sum(found[rows].steps.values()) for rows in sizes]
    lines.append(f"| imports and the rest, s | {' | '.join(f'{seconds:.1f}' for seconds in rest)} |")
    lines.append(f"| all, s | {' | '.join(f'{found[rows].seconds:.1f}' for rows in sizes)} |")
    lines.append(f"| rows/s | {' | '.join(f'{rows / found[rows].seconds:,.0f}' for rows in sizes)} |")
    lines.append(f"| peak memory, MB | {' | '.join(f'{found[rows].memory / 1e6:,.0f}' for rows in sizes)} |")
    if len(sizes) > 1:
        less, more = sizes[-2:]
        slope = (found[more].seconds - found[less].seconds) / (more - less)
        hours = (found[more].seconds + slope * (10_000_000 - more)) / 60
        lines.append(f"\n{1 / slope:,.0f} rows/s between the last two; ten million would take {hours:.0f} min at that.")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
