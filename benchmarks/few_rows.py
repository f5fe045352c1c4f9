"""Test accuracy with few rows per label: tuning on pairs of rows, plain fine-tuning, and a frozen encoder.

    python benchmarks/few_rows.py banking77 trec6 --preset minilm-l6 --rows 8 16 32 64 --seeds 3
    python benchmarks/few_rows.py --quick

Each seed draws its own rows from train.csv. The figures of "off" and "auto", values of `train.contrastive`, come from
`transom run` with the configuration that `transom init` writes and the preset, without the gates and bundles, which do
not change the model. The peer "frozen + LR" is scikit-learn's logistic regression on the preset's embeddings, scaled to
length 1. It learns from all drawn rows; in a run, a tenth of them chooses the epoch. --quick uses a tiny preset with
random weights and made-up rows.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import random
import shutil
import statistics
import sys
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.quality import preset_value, run_project

Rows = list[tuple[str, str]]  # text, label
FAST = ["serving.gate=false", "edge.variants=[]"]


def main() -> int:
    """Prints a table row for each data set and number of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", help="folders in --data")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=Path("bench-out/few-rows"), help="output folder for the projects")
    parser.add_argument("--preset", help="folder of a pretrained encoder, or another preset: minilm-l6")
    parser.add_argument("--rows", type=int, nargs="+", default=[8], help="rows per label")
    parser.add_argument("--seeds", type=int, default=3, help="samples, and seeds of the training")
    parser.add_argument("--modes", nargs="+", default=["off", "auto"], help="values of train.contrastive")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override, for experiments")
    parser.add_argument("--quick", action="store_true", help="a tiny preset on made-up rows")
    options = parser.parse_args()
    if options.quick:
        _use_made_up_rows(options)
    elif not options.sets or not options.preset:
        parser.error("give data sets and --preset, or --quick")
    print(f"| data | rows per label | frozen + LR | {' | '.join(f'{m}, accuracy | s' for m in options.modes)} |")
    print("|" + "---|" * (3 + 2 * len(options.modes)), flush=True)
    for name in options.sets:
        for count in options.rows:
            print(_row(name, count, options), flush=True)
    return 0


def _row(name: str, count: int, options: argparse.Namespace) -> str:
    projects = [
        _sample(options.data / name, count, seed, options.out / f"{name}-{count}-{seed}")
        for seed in range(options.seeds)
    ]
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as child:  # TensorFlow keeps its memory
        cells = [_cell([child.submit(_frozen, project, options.preset).result() for project in projects])]
    for mode in options.modes:
        runs = []
        for seed, project in enumerate(projects):
            sets = [f"model.preset={preset_value(options.preset)}", f"train.seed={seed}", f"train.contrastive={mode}"]
            runs.append(run_project(project, project / "train.csv", [*sets, *FAST, *options.set]))
        cells.append(_cell([run["evaluation"]["metrics"]["accuracy"] for run in runs]))
        cells.append(f"{statistics.mean(run['training']['seconds'] for run in runs):.0f}")
    return f"| {name} | {count} | {' | '.join(cells)} |"


def _cell(values: list[float]) -> str:
    each = ", ".join(f"{100 * value:.1f}" for value in values)
    return f"**{100 * statistics.mean(values):.1f}** ({each})"


def _sample(source: Path, count: int, seed: int, project: Path) -> Path:
    """Writes train.csv, with `count` random rows of each label, and test.csv; returns the folder."""
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir(parents=True)
    by_label: dict[str, Rows] = defaultdict(list)
    for row in _read(source / "train.csv"):
        by_label[row[1]].append(row)
    draw = random.Random(seed)
    drawn = [
        row for label in sorted(by_label) for row in draw.sample(by_label[label], min(count, len(by_label[label])))
    ]
    draw.shuffle(drawn)
    _write(project / "train.csv", drawn)
    shutil.copy(source / "test.csv", project / "test.csv")
    return project


def _frozen(project: Path, preset: str) -> float:
    """Test accuracy of a logistic regression on the embeddings of the untuned encoder."""
    from models import runtime

    runtime.prepare("auto")
    import keras
    import numpy as np
    import tensorflow as tf
    from sklearn.linear_model import LogisticRegression

    from models.build import build_model
    from models.config import PresetConfig
    from models.presets.preset import preset_tokenizer
    from models.text.preprocessing import Preprocessor, to_dense

    tokenizer = preset_tokenizer(preset, 128)
    model = build_model(PresetConfig(preset=preset), tokenizer=tokenizer, outputs=2)
    encoder, read = keras.Model(model.input, model.get_layer("pooling").output), Preprocessor(tokenizer)

    def embed(texts: list[str]) -> Any:
        parts = []
        for start in range(0, len(texts), 128):
            features = to_dense(read(tf.constant(texts[start : start + 128])), tokenizer.pad_id)
            parts.append(np.asarray(encoder(features, training=False)))
        found = np.concatenate(parts)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    (texts, labels), (test_texts, test_labels) = (
        zip(*_read(project / f"{split}.csv"), strict=True) for split in ("train", "test")
    )
    fitted = LogisticRegression(C=10.0, max_iter=2000).fit(embed(list(texts)), labels)
    return float(np.mean(fitted.predict(embed(list(test_texts))) == np.asarray(test_labels)))


def _use_made_up_rows(options: argparse.Namespace) -> None:
    """Sets the options for --quick: a data set whose labels follow from the words, and a preset of random weights."""
    import keras_hub

    options.out /= "quick"
    shutil.rmtree(options.out, ignore_errors=True)
    options.data, options.sets, options.seeds, options.rows = options.out / "data", ["made-up"], 1, [8]
    folder, draw, words = (
        options.data / "made-up",
        random.Random(0),
        ["film", "plot", "cast", "scene", "bad", "good", "fair"],
    )
    folder.mkdir(parents=True)
    for split, count in (("train", 90), ("test", 60)):
        labels = [("bad", "good", "fair")[number % 3] for number in range(count)]
        _write(
            folder / f"{split}.csv", [(f"{label} {' '.join(draw.choices(words[:4], k=9))}", label) for label in labels]
        )
    options.preset = str(options.out / "preset")
    sizes = {"vocabulary_size": 12, "num_layers": 1, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32}
    keras_hub.models.BertBackbone(**sizes, max_sequence_length=128).save_to_preset(options.preset)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    keras_hub.models.BertTokenizer(tokens, lowercase=True).save_to_preset(options.preset)


def _read(file: Path) -> Rows:
    with file.open(encoding="utf-8", newline="") as table:
        return [(row["text"], row["label"]) for row in csv.DictReader(table)]


def _write(file: Path, rows: Rows) -> None:
    with file.open("w", encoding="utf-8", newline="") as table:
        csv.writer(table).writerows([("text", "label"), *rows])


if __name__ == "__main__":
    sys.exit(main())
