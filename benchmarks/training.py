"""Training beside what people use instead: the same rows, weights, epochs and batch size, in turn, round by round.

    python benchmarks/training.py [sst2 banking77] [--rounds 3] [--precision float32 bfloat16] [--only WAY ...]
    python benchmarks/training.py --quick

Each line of the table is a way to train MiniLM-L6 for one epoch on 2,000 random rows of a data set in --data, in
batches of 32:
    Transom on each framework that is installed here (`transom backends`)
    Hugging Face's Trainer, rows of similar length in a batch; and the same with torch.compile
    Keras's `fit` on each of these frameworks, rows padded to the longest
The peers' environment is created in the output folder from benchmarks/training_peers/environment.lock; Keras's `fit`
runs in the environments of Transom's backends. Useful tokens are those of the rows, without padding; their rate leaves
out the first steps, which compile. "training" is the time of the training call, and for Transom of the whole Trainer
step, from rows to an exported model. Medians of the rounds. Measure on an idle machine.

--quick: 64 rows, one round, a small encoder with made-up weights, and no peers.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

import numpy as np

from benchmarks.peers_environment import peers_environment
from models.presets.preset_names import MINILM
from models.training.elsewhere import environments
from tflite.host.json_text import to_json

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
Run = Callable[[str, int], dict[str, Any]]
"""Precision and round to "tokens_per_second", "first_step_seconds", "seconds" and "peak_memory_mb"."""


def main() -> int:
    """Measures and prints a table for each data set and precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=["sst2", "banking77"], help="folders in --data")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", nargs="+", choices=sorted(POLICIES), default=sorted(POLICIES, reverse=True))
    parser.add_argument("--only", nargs="+", metavar="WAY", help='only these ways: "Transom, tensorflow" ...')
    parser.add_argument("--out", type=Path, default=Path("bench-out/training"))
    parser.add_argument("--quick", action="store_true", help="a few made-up rows, without peers")
    options = parser.parse_args()
    if options.quick:
        options.sets, options.rows, options.rounds, options.precision = ["made-up"], 64, 1, ["float32"]
    elif MINILM.folder is None:
        print(f"skipped: {MINILM.name} is not installed ({MINILM.install})")
        return 0
    for name in options.sets:
        folder = (options.out / name).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        _write_rows(folder, options)
        if not options.quick:
            _write_tokens(folder)
        ways = _ways(folder, options)
        if unknown := set(options.only or []) - set(ways):
            parser.error(f"--only: no such way: {'; '.join(sorted(unknown))}; there are: {'; '.join(ways)}")
        ways = {way: run for way, run in ways.items() if way in (options.only or ways)}
        for precision in options.precision:
            measured: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
            for number in range(options.rounds):
                for way, run in ways.items():
                    measured[way].append(run(precision, number))
            _print(name, precision, measured)
    return 0


def _write_rows(folder: Path, options: argparse.Namespace) -> None:
    """Writes train.csv, eval.csv and test.csv of a project."""
    if options.quick:
        rows = [("good" if number % 2 else "bad", f"a {number} film") for number in range(2 * options.rows)]
    else:
        with (options.data / folder.name / "train.csv").open(encoding="utf-8", newline="") as table:
            every = [(row["label"], row["text"]) for row in csv.DictReader(table)]
        rows = [every[place] for place in np.random.default_rng(0).permutation(len(every))]
    tenth, begin = options.rows // 10, 0
    for split, count in (("train", options.rows), ("eval", tenth), ("test", tenth)):
        part, begin = rows[begin : begin + count], begin + count
        with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("label", "text"), *part])


def _write_tokens(folder: Path) -> None:
    """Writes tokens.npz, because the environments of Keras's `fit` have no tokenizer."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as child:  # TensorFlow's memory goes with it
        child.submit(_tokenize, folder).result()


def _tokenize(folder: Path) -> None:
    from models import runtime

    runtime.prepare()
    import tensorflow as tf

    from models.presets.preset import preset_tokenizer
    from models.text.preprocessing import Preprocessor

    with (folder / "train.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    labels = sorted({row["label"] for row in rows})
    tokens = Preprocessor(preset_tokenizer(str(MINILM.folder), 128))(tf.constant([row["text"] for row in rows]))
    targets = np.array([labels.index(row["label"]) for row in rows], np.int32)
    ids = tokens["token_ids"]
    np.savez(folder / "tokens.npz", token_ids=ids.values, offsets=ids.row_splits, targets=targets)


def _ways(folder: Path, options: argparse.Namespace) -> dict[str, Run]:
    """The ways to train, by name."""
    pythons = {"tensorflow": Path(sys.executable)}
    pythons |= {each: found for each in environments.FRAMEWORKS if (found := environments.interpreter(each))}
    ways: dict[str, Run] = {f"Transom, {each}": partial(_transom, folder, each, options.quick) for each in pythons}
    if options.quick:
        return ways
    for each, python in pythons.items():
        ways[f"Keras fit, {each}"] = partial(_peer, python, "keras_fit", folder, {"KERAS_BACKEND": each})
    peers = Path(peers_environment(options.out, ROOT / "benchmarks" / "training_peers" / "environment.lock"))
    ways["Hugging Face Trainer"] = partial(_peer, peers, "hugging_face", folder, {})
    ways["Hugging Face Trainer, torch.compile"] = partial(_peer, peers, "hugging_face", folder, {"COMPILED": "1"})
    return ways


def _transom(folder: Path, backend: str, quick: bool, precision: str, number: int) -> dict[str, Any]:
    """Trains with `transom run --to Trainer`, which exports the model."""
    model = {"num_layers": 1, "width": 32} if quick else {"preset": MINILM.name}
    train = {"epochs": 1, "batch_size": 32, "seed": number, "contrastive": "auto" if quick else "off"}
    config = {
        "name": folder.name,
        "output": "out",
        "data": {"train": "train.csv", "eval": "eval.csv", "test": "test.csv"},
        "gate": {"split_overlap": "off", "small_class": "off", "unseen_label": "off"},
        "model": model,
        "train": {**train, "backend": backend, "precision": POLICIES[precision]},
    }
    file = folder / "transom.yaml"
    file.write_text(to_json(config), encoding="utf-8")  # JSON is YAML
    command = [sys.executable, "-m", "pipeline.cli", "run", str(file), "--to", "Trainer", "--json"]
    result = json.loads(_output(command, {}).splitlines()[-1])
    (seconds,) = (step["seconds"] for step in result["steps"] if step["name"] == "Trainer")
    return {**result["training"], "seconds": seconds}


def _peer(
    python: Path, module: str, folder: Path, variables: dict[str, str], precision: str, number: int
) -> dict[str, Any]:
    """Trains with a module of `benchmarks.training_peers`, in another environment."""
    command = [
        str(python),
        "-m",
        f"benchmarks.training_peers.{module}",
        str(folder),
        str(MINILM.folder),
        precision,
        str(number),
    ]
    result: dict[str, Any] = json.loads(_output(command, variables).splitlines()[-1])
    return result


def _output(command: list[str], variables: dict[str, str]) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def _print(name: str, precision: str, measured: dict[str, list[dict[str, Any]]]) -> None:
    def median(way: str, key: str) -> float:
        return statistics.median(float(run[key] or 0.0) for run in measured[way])

    peers = [median(way, "tokens_per_second") for way in measured if not way.startswith("Transom")]
    print(f"\n{name}, {precision}\n")
    print("| | useful tokens/s | of the best peer | first step, s | training, s | peak memory, MB |")
    print("|---|---|---|---|---|---|")
    for way in measured:
        rate = median(way, "tokens_per_second")
        cells = (
            way,
            f"{rate:,.0f}",
            f"{rate / max(peers):.2f}" if peers else "-",
            f"{median(way, 'first_step_seconds'):.1f}",
            f"{median(way, 'seconds'):.1f}",
            f"{median(way, 'peak_memory_mb'):,.0f}",
        )
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
