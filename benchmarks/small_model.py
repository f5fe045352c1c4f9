"""A small model with fresh weights, and made-up texts for it: benchmarks that measure speed need no trained model."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path


def made_up_texts(count: int) -> list[str]:
    """Texts of 4 to 40 made-up words, the same on every call."""
    source = random.Random(0)
    words = ["".join(source.choices(["ka", "lo", "mi", "ren", "tu", "s"], k=source.randint(1, 4))) for _ in range(2000)]
    return [
        " ".join(words[int(2000 * source.random() ** 3)] for _ in range(source.randint(4, 40))) for _ in range(count)
    ]


def export_small_model(folder: Path, texts: Sequence[str]) -> None:
    """Exports the default encoder (two layers, 128 wide), untrained, with a vocabulary learned from the texts.

    Runs in a child process, because training sets other TensorFlow options than a server does.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as child:
        child.submit(_export, folder, texts).result()


def _export(folder: Path, texts: Sequence[str]) -> None:
    from models import runtime

    runtime.prepare("auto")
    from models.build import build_model
    from models.config import CONFIG_FILE, ModelsConfig
    from models.saved.export import export_saved_model
    from models.text.vocabulary_training import count_words, learn_wordpiece
    from tflite.host.labels import LabelSpace

    config = ModelsConfig()
    tokenizer = learn_wordpiece(count_words(texts, config.tokenizer), config.tokenizer)
    model = build_model(config.model, tokenizer=tokenizer, outputs=2)
    labels = LabelSpace(labels=("bad", "good"))
    extra = {CONFIG_FILE: config.model_dump_json().encode()}
    export_saved_model(model, folder, tokenizer=tokenizer, labels=labels, task=config.task, extra_files=extra)
