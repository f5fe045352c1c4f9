"""Hugging Face's Trainer, in the environment of environment.lock.

    [COMPILED=1] python -m benchmarks.training_peers.hugging_face FOLDER PRESET PRECISION SEED

Trains on FOLDER/train.csv for one epoch, as a user of the Trainer would: its defaults, rows of similar length in a
batch, a fast tokenizer, no evaluation. COMPILED: with torch.compile. Prints one line of JSON.
"""

from __future__ import annotations

import csv
import os
import sys
import tempfile
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

from benchmarks.training_peers.step_clock import StepClock


class Clock(TrainerCallback):
    """Notes when each optimizer step ended."""

    def __init__(self) -> None:
        self.steps = StepClock()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.steps.step_ended()


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
    counting = Counting(tokenizer)
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
        trainer = Trainer(model, arguments, train_dataset=data, processing_class=tokenizer, data_collator=counting)
        trainer.remove_callback(PrinterCallback)  # standard output is the result
        clock = Clock()
        trainer.add_callback(clock)
        trainer.train()
        clock.steps.print_figures(counting.tokens)
    return 0


if __name__ == "__main__":
    sys.exit(main())
