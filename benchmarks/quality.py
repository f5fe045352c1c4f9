"""Test quality of the default recipe on data sets with published results, beside TF-IDF in the same run.

    python benchmarks/quality.py sst2 trec6 --preset PATH_OF_MINILM --seeds 3
    python benchmarks/quality.py sst2 trec6 --scratch

Each data set is a folder with train.csv, test.csv and perhaps dev.csv. The configuration is what `transom init` writes,
with the preset (or none) and nothing else but what `EXTRA` says and why. Every figure comes out of `transom run`.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

METRICS = {"te_emotion": "macro_f1", "stsb_en": "spearman"}
# What a data set needs beyond the default, as --set overrides; nothing here tunes a model.
EXTRA = {
    "atis": ["gate.unseen_label=warn"],  # its test rows hold labels that training never saw: counted as errors
}


def main() -> int:
    """Runs the data sets that the command line names; prints a table row for each as it is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", help="folders below --data")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=Path("bench-out"), help="where the projects go")
    parser.add_argument("--seeds", type=int, default=1, help="runs with seeds 0, 1, ...; the mean is reported")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override, for experiments")
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--preset", type=Path, help="folder of a pretrained encoder")
    model.add_argument("--scratch", action="store_true", help="the default encoder from scratch")
    options = parser.parse_args()
    print("| data | metric | TF-IDF + LR | Transom (mean) | seeds | epochs | tokens/s | training s | run s |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for name in options.sets:
        print(_row(name, options), flush=True)
    return 0


def _row(name: str, options: argparse.Namespace) -> str:
    metric = METRICS.get(name, "accuracy")
    runs = [_run(name, seed, options) for seed in range(options.seeds)]
    values = [100 * run["evaluation"]["metrics"][metric] for run in runs]
    training = [run["training"] for run in runs]
    seeds = " ".join(f"{value:.1f}" for value in values)
    peer = _tfidf(options.data / name, metric)
    cells = (
        name,
        metric,
        "-" if peer is None else f"{100 * peer:.1f}",
        f"**{statistics.mean(values):.1f}**",
        seeds,
        str(training[0]["epochs"]),
        f"{statistics.mean(t['tokens_per_second'] for t in training):,.0f}",
        f"{statistics.mean(t['seconds'] for t in training):.0f}",
        f"{statistics.mean(run['wall_s'] for run in runs):.0f}",
    )
    return "| " + " | ".join(cells) + " |"


def _run(name: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """One `transom run` with a configuration that `transom init` wrote; its result record and wall time."""
    kind = "scratch" if options.scratch else options.preset.name
    project = options.out / f"{name}-{kind}"
    project.mkdir(parents=True, exist_ok=True)
    config = project / "transom.yaml"
    if not config.exists():
        _transom("init", str((options.data / name / "train.csv").resolve()), "--out", str(config))
    sets = [f"train.seed={seed}", *EXTRA.get(name, []), *options.set]
    if not options.scratch:
        sets.append(f"model.preset={options.preset.resolve()}")
    begin = time.monotonic()
    lines = _transom("run", str(config), "--json", *(part for one in sets for part in ("--set", one))).splitlines()
    return {**json.loads(lines[-1]), "wall_s": time.monotonic() - begin}


def _transom(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *arguments], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode not in (0, 8):  # 8: measured, and not better than what is live
        sys.exit(f"transom {' '.join(arguments)} ended with {done.returncode}\n{done.stdout[-2000:]}")
    return done.stdout


def _tfidf(folder: Path, metric: str) -> float | None:
    """Word and bigram TF-IDF (characters for Chinese) with logistic regression; None for a regression."""
    if metric == "spearman":
        return None
    train, test = (_read(folder / f"{split}.csv") for split in ("train", "test"))
    chinese = folder.name == "chnsenticorp"
    vectors = TfidfVectorizer(
        sublinear_tf=True,
        ngram_range=(1, 3) if chinese else (1, 2),
        analyzer="char" if chinese else "word",
        min_df=2 if chinese else 1,
    )
    fitted = LogisticRegression(C=10, max_iter=1000).fit(vectors.fit_transform(train[0]), train[1])
    predicted = fitted.predict(vectors.transform(test[0]))
    if metric == "macro_f1":
        return float(f1_score(test[1], predicted, average="macro"))
    return float(np.mean(np.asarray(test[1]) == predicted))


def _read(file: Path) -> tuple[list[str], list[str]]:
    with file.open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    columns = [name for name in rows[0] if name.startswith("text")]
    return [" ||| ".join(row[name] for name in columns) for row in rows], [row["label"] for row in rows]


if __name__ == "__main__":
    sys.exit(main())
