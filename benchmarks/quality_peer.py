"""Test quality of Hugging Face's Trainer on the data sets of benchmarks/quality.py: what a user would try instead.

    pip install torch "transformers<5" accelerate scikit-learn        # in an environment of its own
    python benchmarks/quality_peer.py sst2 trec6 --preset FOLDER_OF_MINILM_L6 --data DATA --seeds 3

The same weights, test rows and number of epochs as Transom's defaults, and the Trainer's own defaults otherwise (AdamW,
5e-5, linear decay), with rows of similar length in a batch. The epoch that is best on the eval rows is kept; they are
dev.csv, or a random tenth of the training rows, where Transom chooses another tenth by a hash.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import f1_score
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)

METRICS = {"te_emotion": "macro_f1", "stsb_en": "spearman"}  # as in benchmarks/quality.py
Rows = list[dict[str, str]]


def main() -> int:
    """Prints a table row for each data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", help="folders in --data")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    parser.add_argument("--preset", required=True, help="folder with config.json, vocabulary and weights")
    parser.add_argument("--seeds", type=int, default=1, help="runs with seeds 0, 1, ...; the mean is printed")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of these seeds")
    parser.add_argument("--bf16", action="store_true", help="bfloat16 instead of float32: faster on many CPUs")
    options = parser.parse_args()
    print("| data | metric | Hugging Face Trainer (mean) | seeds | training s |\n|---|---|---|---|---|", flush=True)
    for name in options.sets:
        seeds = range(options.first_seed, options.first_seed + options.seeds)
        done = [train(options.data / name, seed, options) for seed in seeds]
        values = [100 * value for value, _ in done]
        cells = (
            name,
            METRICS.get(name, "accuracy"),
            f"**{statistics.mean(values):.1f}**",
            " ".join(f"{value:.1f}" for value in values),
            f"{statistics.mean(seconds for _, seconds in done):.0f}",
        )
        print("| " + " | ".join(cells) + " |", flush=True)
    return 0


def train(folder: Path, seed: int, options: argparse.Namespace) -> tuple[float, float]:
    """Trains and measures; the metric of the test rows, and the seconds of training with its evaluations."""
    set_seed(seed)
    metric = METRICS.get(folder.name, "accuracy")
    rows = _read(folder)
    labels = sorted({row["label"] for row in rows["train"]})
    numbers = metric == "spearman"
    tokenizer = AutoTokenizer.from_pretrained(options.preset)
    model = AutoModelForSequenceClassification.from_pretrained(
        options.preset, num_labels=1 if numbers else len(labels), problem_type="regression" if numbers else None
    )

    def encode(split: str) -> list[dict[str, Any]]:
        columns = [name for name in rows[split][0] if name.startswith("text")]
        texts = [[row[column] for row in rows[split]] for column in columns]
        encoded = tokenizer(*texts, truncation=True, max_length=128)
        # A label that only test rows have is always predicted wrong.
        targets = [
            float(row["label"]) if numbers else labels.index(row["label"]) if row["label"] in labels else -100
            for row in rows[split]
        ]
        return [
            {**{key: encoded[key][index] for key in encoded}, "labels": target} for index, target in enumerate(targets)
        ]

    def measure(prediction: Any) -> dict[str, float]:
        outputs, targets = prediction.predictions, prediction.label_ids
        if numbers:
            return {metric: float(spearmanr(outputs[:, 0], targets).statistic)}
        predicted = outputs.argmax(axis=1)
        if metric == "macro_f1":
            return {metric: float(f1_score(targets, predicted, average="macro"))}
        return {metric: float(np.mean(predicted == targets))}

    with tempfile.TemporaryDirectory() as output:
        arguments = TrainingArguments(
            output_dir=output,
            num_train_epochs=4,
            per_device_train_batch_size=32,
            per_device_eval_batch_size=64,
            group_by_length=True,
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=1,
            load_best_model_at_end=True,
            metric_for_best_model=metric,
            bf16=options.bf16,
            use_cpu=True,
            seed=seed,
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
        )
        trainer = Trainer(
            model,
            arguments,
            train_dataset=encode("train"),
            eval_dataset=encode("dev"),
            processing_class=tokenizer,
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=measure,
        )
        trainer.remove_callback(PrinterCallback)  # standard output is the table
        began = time.monotonic()
        trainer.train()
        seconds = time.monotonic() - began
        return float(trainer.predict(encode("test")).metrics[f"test_{metric}"]), seconds


def _read(folder: Path) -> dict[str, Rows]:
    """The rows of "train", "dev" and "test"."""
    splits: dict[str, Rows] = {}
    for split in ("train", "dev", "test"):
        file = folder / f"{split}.csv"
        if file.exists():
            with file.open(encoding="utf-8", newline="") as table:
                splits[split] = list(csv.DictReader(table))
    if "dev" not in splits:
        order = np.random.default_rng(0).permutation(len(splits["train"]))
        tenth = len(order) // 10
        own = splits["train"]
        splits["dev"], splits["train"] = [own[i] for i in order[:tenth]], [own[i] for i in order[tenth:]]
    return splits


if __name__ == "__main__":
    sys.exit(main())
