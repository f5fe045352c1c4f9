"""The half of benchmarks/training.py that runs in the environment of Hugging Face's Trainer.

    [COMPILED=1] python -m benchmarks.training_peers FOLDER PRESET PRECISION SEED

Trains on FOLDER/train.csv for one epoch, as a user of the Trainer would: its defaults, rows of similar length in a
batch, a fast tokenizer, no evaluation. COMPILED: with torch.compile. Prints one line of JSON.
"""

from __future__ import annotations

import csv
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

# The rate leaves these steps out: they allocate, and compile.
_FIRST_STEPS = 5


class Clock(TrainerCallback):
    """Notes when each optimizer step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())


class Counting(DataCollatorWithPadding):
    """Notes the tokens of each batch, without padding."""

    def __call__(self, rows: Any) -> Any:
        self.tokens = [*getattr(self, "tokens", []), sum(len(row["input_ids"]) for row in rows)]
        return super().__call__(rows)


def main() -> int:
    """Trains and prints the figures."""
    folder, preset, precision, seed = sys.argv[1:]
    set_seed(int(seed))
    with Path(folder, "train.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    labels = sorted({row["label"] for row in rows})
    tokenizer = AutoTokenizer.from_pretrained(preset)
    model = AutoModelForSequenceClassification.from_pretrained(preset, num_labels=len(labels))
    encoded = tokenizer([row["text"] for row in rows], truncation=True, max_length=128)
    data = [
        {**{key: encoded[key][index] for key in encoded}, "labels": labels.index(row["label"])}
        for index, row in enumerate(rows)
    ]
    clock, counting = Clock(), Counting(tokenizer)
    with tempfile.TemporaryDirectory() as output:
        arguments = TrainingArguments(
            output_dir=output,
            num_train_epochs=1,
            per_device_train_batch_size=32,
            group_by_length=True,
            save_strategy="no",
            bf16=precision == "bfloat16",
            torch_compile="COMPILED" in os.environ,
            use_cpu=True,
            seed=int(seed),
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
        )
        trainer = Trainer(
            model, arguments, train_dataset=data, processing_class=tokenizer, data_collator=counting, callbacks=[clock]
        )
        trainer.remove_callback(PrinterCallback)  # standard output is the result
        began = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - began
    first = min(_FIRST_STEPS, len(clock.ends) - 1)
    rate = sum(counting.tokens[first : len(clock.ends)]) / (clock.ends[-1] - clock.ends[first - 1])
    figures = {
        "tokens_per_second": rate,
        "first_step_seconds": clock.ends[0] - began,
        "seconds": seconds,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
