"""Tokens per second of the training loop compared with Keras's `fit`, on one model, in one process, in turn.

    python benchmarks/training_speed.py [--preset FOLDER] [--rounds 6]
    python benchmarks/training_speed.py --quick

Default preset: the demo's MiniLM-L6. The batches are full (random ids), so padding does not affect the figures. On a
shared machine, compare CPU seconds per step.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from models import runtime

runtime.prepare("on")

import keras
import numpy as np
import tensorflow as tf

from models.build import build_model
from models.config import PresetConfig, TaskConfig
from models.presets.preset import preset_tokenizer
from models.presets.preset_names import MINILM
from models.training.batches import Batch, Batches
from models.training.frameworks.contract import make_step
from models.training.frameworks.devices import default_device
from models.training.loss import row_loss
from models.training.optimizer import make_optimizer
from models.training.token_rows import TokenRows
from models.training_config import TrainConfig
from tflite.host.labels import LabelSpace

STEPS = 3


def main() -> int:
    """Measures every variant `--rounds` times in turn and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", type=Path, help="folder of a pretrained encoder")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--batch", type=int, default=32, help="rows")
    parser.add_argument("--length", type=int, default=32, help="tokens of each row")
    parser.add_argument("--quick", action="store_true", help="two variants, one round of 4 rows of 16 tokens")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.batch, options.length = 1, 4, 16
    if options.preset is None and MINILM.folder is None:
        print(f"skipped: {MINILM.name} is not installed ({MINILM.install}); give --preset")
        return 0
    preset = str(options.preset or MINILM.name)
    batches = _batches(options.batch, options.length)
    makers = {
        "own loop, XLA": partial(_own, freeze="none", xla=True),
        "own loop, no XLA": partial(_own, freeze="none", xla=False),
        "own loop, XLA, embeddings frozen": partial(_own, freeze="embeddings", xla=True),
        "Keras fit": partial(_fit, jit=False),
        "Keras fit, jit_compile": partial(_fit, jit=True),
    }
    names = ["own loop, no XLA", "Keras fit"] if options.quick else list(makers)
    variants = {name: makers[name](preset, batches) for name in names}
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    for _ in range(options.rounds + 1):
        for name, run in variants.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            measured[name].append(((time.perf_counter() - wall) / STEPS, (time.process_time() - cpu) / STEPS))
    tokens = options.batch * options.length
    print(
        "| variant | tokens/s, median | best | CPU s per step, least | first round, compiling, s |"
        "\n|---|---|---|---|---|"
    )
    for name, rounds in measured.items():
        walls, cpus = zip(*rounds[1:], strict=True)
        rates = f"{tokens / np.median(walls):,.0f} | {tokens / min(walls):,.0f}"
        print(f"| {name} | {rates} | {min(cpus):.3f} | {rounds[0][0] * STEPS:.1f} |")
    return 0


def _batches(size: int, length: int) -> list[Batch]:
    random = np.random.default_rng(0)
    ids = [random.integers(1000, 30000, length) for _ in range(size * STEPS)]
    rows = TokenRows.from_lists(ids, random.integers(0, 2, len(ids)).astype(np.int32))
    batches = Batches(rows, (length,), size, pad_id=0)
    return [batches.make_batch(order) for order in batches.order(0)]


def _model(preset: str, freeze: str) -> keras.Model:
    keras.utils.set_random_seed(0)
    config = PresetConfig.model_validate({"preset": preset, "freeze": freeze})
    return build_model(config, tokenizer=preset_tokenizer(preset, 128), outputs=2)


def _own(preset: str, batches: list[Batch], *, freeze: str, xla: bool) -> Callable[[], None]:
    model, config = _model(preset, freeze), TrainConfig(learning_rate=5e-5)
    loss = row_loss(TaskConfig(), config, LabelSpace(("a", "b"), (1, 1), 2))
    step = make_step(model, make_optimizer(model, config, steps=1000), loss, default_device(), xla=xla)
    weights = np.ones(len(batches[0].rows))

    def run() -> None:
        for number, batch in enumerate(batches):
            result = step([batch], [weights], number)
        float(result.loss)

    return run


def _fit(preset: str, batches: list[Batch], *, jit: bool) -> Callable[[], None]:
    model = _model(preset, "none")
    optimizer = keras.optimizers.AdamW(5e-5, weight_decay=0.01, global_clipnorm=1.0)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=jit)
    inputs = {name: np.concatenate([batch.features[name] for batch in batches]) for name in batches[0].features}
    targets = np.concatenate([batch.targets for batch in batches])
    rows = tf.data.Dataset.from_tensor_slices((inputs, targets)).batch(len(batches[0].rows)).cache().prefetch(2)

    def run() -> None:
        model.fit(rows, verbose=0)

    return run


if __name__ == "__main__":
    sys.exit(main())
