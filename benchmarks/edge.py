"""What a bundle's variants weigh and answer, and LiteRT's latency beside ONNX Runtime and OpenVINO.

    python benchmarks/edge.py MODEL_DIR [MODEL_DIR ...] --data FOLDER_WITH_TRAIN_AND_TEST_CSV
    python benchmarks/edge.py MODEL_DIR --data FOLDER --peers

The first table: each variant's bytes (without the vocabulary), its answers on the test rows beside those of the Keras
model, and the accuracy of both. With --peers a second one, by `benchmarks/edge_peers.py`, for 32 tokens and the model's
longest input; the peers' environment is made beside the output, from benchmarks/edge-peers.lock. int8 is the variant
`dynamic_int8` there. Take latencies on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

from models import runtime

runtime.prepare("auto")

import keras
import numpy as np
import tensorflow as tf

from benchmarks.edge_rows import INPUTS, PEER_ROWS, answers, batches
from models.preprocessing import Preprocessor, to_dense
from models.pushed import newest_version
from models.restore import Restored, restore
from tflite.convert import convert
from tflite.manifest import Manifest
from tflite.quantize import quantize
from tflite.variants import VARIANTS, Variant

CALIBRATION_ROWS = 200


def main() -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL_DIR", help="single-label models, pushed")
    parser.add_argument("--data", type=Path, required=True, help="folder with train.csv and test.csv: text, label")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--out", type=Path, default=Path("bench-out/edge"), help="where the files go")
    parser.add_argument("--peers", action="store_true", help="also measure latencies, beside the other runtimes")
    options = parser.parse_args()
    staged = options.out / "models"
    print("| model | variant | bytes | same label | max difference | accuracy | accuracy of Keras |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for index, folder in enumerate(options.models):
        bench = Bench(restore(newest_version(folder)), f"{index}-{folder.resolve().name}", options.data)
        for variant in options.variants:
            print(bench.row(variant), flush=True)
        if options.peers:
            bench.stage(staged)
    if options.peers:
        python = peers_environment(options.out)
        subprocess.run([python, "-m", "benchmarks.edge_peers", str(staged.resolve())], cwd=ROOT, check=True)
    return 0


class Bench:
    """One model.

    Args:
        restored: a single-label model of one text.
        name: what its rows are called.
        data: folder with train.csv and test.csv.
    """

    def __init__(self, restored: Restored, name: str, data: Path) -> None:
        self._restored, self._name = restored, name
        self._longest = restored.tokenizer.max_length
        texts, labels = _read(data / "test.csv")
        self._rows = self._features(texts)
        self._wanted: np.ndarray = np.array([restored.labels.labels.index(label) for label in labels])
        logits = [restored.model(batch, training=False) for batch in batches(self._rows)]
        self._keras = np.concatenate([np.asarray(keras.ops.softmax(one)) for one in logits])
        self._training = self._features(_read(data / "train.csv")[0][: max(CALIBRATION_ROWS, PEER_ROWS)])

    def row(self, variant: Variant) -> str:
        """A line of the table."""
        found = answers(content := self._file(variant, self._longest), self._rows)
        labels, keras_labels = found.argmax(1), self._keras.argmax(1)
        cells = (
            self._name,
            variant,
            f"{len(content):,}",
            f"{np.mean(labels == keras_labels):.2%}",
            f"{np.abs(found - self._keras).max():.4f}",
            f"{np.mean(labels == self._wanted):.2%}",
            f"{np.mean(keras_labels == self._wanted):.2%}",
        )
        return f"| {' | '.join(cells)} |"

    def stage(self, folder: Path) -> None:
        """Writes what `benchmarks/edge_peers.py` reads."""
        for length in sorted({min(32, self._longest), self._longest}):
            target = folder / f"{self._name}_{length}"
            target.mkdir(parents=True, exist_ok=True)
            (target / "float32.tflite").write_bytes(self._file("float32", length))
            (target / "int8.tflite").write_bytes(self._file("dynamic_int8", length))
            np.savez(target / "rows.npz", **{name: self._training[name][:PEER_ROWS, :length] for name in INPUTS})

    def _file(self, variant: Variant, length: int) -> bytes:
        restored = self._restored
        manifest = Manifest(
            name=self._name,
            task=restored.task.type,
            pairs=False,
            lengths=(length,),
            pad_id=restored.tokenizer.pad_id,
            threshold=restored.task.threshold,
            label_separator=restored.task.label_separator,
            variant=variant,
        )
        rows = [{n: a[i : i + 1, :length] for n, a in self._training.items()} for i in range(CALIBRATION_ROWS)]
        return quantize(convert(restored.model, manifest, restored.labels), variant, {manifest.signature(length): rows})

    def _features(self, texts: list[str]) -> dict[str, np.ndarray]:
        """Rows of the model's longest input, int32 [R, L] each."""
        pad = self._restored.tokenizer.pad_id
        dense: dict[str, Any] = to_dense(Preprocessor(self._restored.tokenizer)(tf.constant(texts)), pad)
        return {
            name: np.pad(
                np.asarray(dense[name], np.int32),
                ((0, 0), (0, self._longest - dense[name].shape[1])),
                constant_values=pad if name == "token_ids" else 0,
            )
            for name in INPUTS
        }


def peers_environment(out: Path) -> str:
    """Python of an environment with the other runtimes; it is made if it is missing."""
    folder, lock = (out / "peers").resolve(), ROOT / "benchmarks" / "edge-peers.lock"
    ready, python = folder / lock.name, str(folder / "bin" / "python")
    if not ready.exists() or ready.read_bytes() != lock.read_bytes():
        uv = str(Path(sys.executable).parent / "uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "--no-deps"]
        subprocess.run([*install, "-r", str(lock)], check=True, env={**os.environ, "VIRTUAL_ENV": str(folder)})
        ready.write_bytes(lock.read_bytes())
    return python


def _read(file: Path) -> tuple[list[str], list[str]]:
    with file.open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    return [row["text"] for row in rows], [row["label"] for row in rows]


if __name__ == "__main__":
    sys.exit(main())
