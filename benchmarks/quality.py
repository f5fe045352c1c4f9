"""Test quality of the default recipe on data sets with published results, beside the linear baseline of the run.

    python benchmarks/quality.py sst2 trec6 --preset minilm-l6 --seeds 3
    python benchmarks/quality.py sst2 trec6 --scratch
    python benchmarks/quality.py --quick

Each data set is a folder with train.csv, test.csv and optionally dev.csv. The configuration is the one that `transom
init` writes, with the preset (or none) and the overrides in `EXTRA`. Every figure comes from `transom run`. --quick
trains a tiny model for one epoch on made-up rows, without the edge and serving gates.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tflite.host.json_text import to_json

METRICS = {"te_emotion": "macro_f1", "stsb_en": "spearman"}
# Overrides that a data set needs; none of them tunes a model.
EXTRA = {
    "atis": ["gate.unseen_label=warn"]  # its test rows have labels absent from training, which count as errors
}


def main() -> int:
    """Runs the data sets and prints a table row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", help="folders in --data")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=Path("bench-out"), help="output folder for the projects")
    parser.add_argument("--seeds", type=int, default=1, help="runs with seeds 0, 1, ...; the mean is reported")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of these seeds")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override, for experiments")
    parser.add_argument("--quick", action="store_true", help="a tiny model on made-up rows")
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--preset", help="folder of a pretrained encoder, or another preset: minilm-l6")
    model.add_argument("--scratch", action="store_true", help="the default encoder from scratch")
    options = parser.parse_args()
    if options.quick:
        _use_made_up_rows(options)
    elif not options.sets or not (options.preset or options.scratch):
        parser.error("give data sets and --preset or --scratch, or --quick")
    print(
        "| data | metric | linear baseline | Transom (mean) | seeds | calibration error | epochs | training s | run s |"
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for name in options.sets:
        print(_row(name, options), flush=True)
    return 0


def _use_made_up_rows(options: argparse.Namespace) -> None:
    """Sets the options for --quick, and writes a data set whose labels follow from the words."""
    options.out /= "quick"
    shutil.rmtree(options.out, ignore_errors=True)
    options.data, options.sets, options.scratch, options.seeds = options.out / "data", ["made-up"], True, 1
    folder = options.data / "made-up"
    folder.mkdir(parents=True)
    source = random.Random(0)
    for split, count in (("train", 600), ("test", 100)):
        with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["text", "label"])
            for number in range(count):
                label = ("bad", "good")[number % 2]
                words = source.choices(["film", "plot", "cast", "scene", "music", "story", f"{label} one"], k=9)
                rows.writerow([f"{split} {number} {label} {' '.join(words)}", label])
    options.set += ["model.num_layers=1", "model.width=32", "train.epochs=1", "edge.variants=[]"]


def _row(name: str, options: argparse.Namespace) -> str:
    metric = METRICS.get(name, "accuracy")
    runs = [_run(name, seed, options) for seed in range(options.first_seed, options.first_seed + options.seeds)]
    values = [100 * run["evaluation"]["metrics"][metric] for run in runs]
    training = [run["training"] for run in runs]
    seeds = " ".join(f"{value:.1f}" for value in values)
    linear = [run["evaluation"]["baselines"]["linear"]["metrics"][metric] for run in runs]
    errors = [run["evaluation"]["metrics"].get("calibration_error") for run in runs]  # None for a regression
    cells = (
        name,
        metric,
        f"{100 * statistics.mean(linear):.1f}",
        f"**{statistics.mean(values):.1f}**",
        seeds,
        " ".join("-" if error is None else f"{error:.3f}" for error in errors),
        " ".join(str(each["epochs"]) for each in training),
        f"{statistics.mean(t['seconds'] for t in training):.0f}",
        f"{statistics.mean(run['wall_s'] for run in runs):.0f}",
    )
    return "| " + " | ".join(cells) + " |"


def _run(name: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Runs one data set with one seed; its result record and wall time."""
    kind = "scratch" if options.scratch else Path(options.preset).name
    sets = [f"model={_model(options)}", f"train.seed={seed}", *EXTRA.get(name, []), *options.set]
    return run_project(options.out / f"{name}-{kind}", options.data / name / "train.csv", sets)


def run_project(project: Path, table: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Runs `transom run` with the configuration from `transom init`; its result record and wall time."""
    project.mkdir(parents=True, exist_ok=True)
    config = project / "transom.yaml"
    if not config.exists():
        _transom("init", str(table.resolve()), "--out", str(config))
    begin = time.monotonic()
    arguments = [part for one in overrides for part in ("--set", one)]
    lines = _transom("run", str(config), "--json", *arguments).splitlines()
    return {**json.loads(lines[-1]), "wall_s": time.monotonic() - begin}


def _model(options: argparse.Namespace) -> str:
    """The value of `model`, in place of what `transom init` proposes."""
    if options.scratch:
        return "{type: encoder}"
    return f"{{preset: {to_json(preset_value(options.preset))}}}"


def preset_value(preset: str) -> str:
    """The value of `model.preset`: the absolute path of a folder; another preset, such as minilm-l6, as it is."""
    return str(Path(preset).resolve()) if Path(preset).is_dir() else preset


def _transom(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *arguments], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode not in (0, 8):  # 8: measured, but not better than the live model
        sys.exit(f"transom {' '.join(arguments)} ended with {done.returncode}\n{done.stdout[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
