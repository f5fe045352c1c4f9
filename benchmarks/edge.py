"""Size and accuracy of a bundle's variants, and LiteRT's latency compared with ONNX Runtime's and OpenVINO's.

    python benchmarks/edge.py MODEL_DIR [MODEL_DIR ...] --data FOLDER_WITH_TRAIN_AND_TEST_CSV
    python benchmarks/edge.py MODEL_DIR --data FOLDER --peers
    python benchmarks/edge.py --quick

The first table has each variant's bytes (including vocabulary and labels), its agreement with the Keras model on the
test rows, and the accuracy of both. --peers adds a table of latencies for 32 tokens and the model's longest input,
measured by `benchmarks/edge_peers`; the peers' environment is created in the output folder from the lock there. In it,
int8 means the variant `dynamic_int8`. Measure latencies on an idle machine.
--quick uses a small untrained model and made-up rows, and leaves out the peers unless --peers is given.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

from models import runtime

runtime.prepare("auto")

import numpy as np

from benchmarks.edge_peers.edge_litert import INPUTS, PEER_ROWS
from benchmarks.peers_environment import peers_environment
from benchmarks.small_model import export_small_model, made_up_texts
from models.saved.model_locations import is_bundle, newest_version
from tflite.bundle.mediapipe_metadata import FileDescription
from tflite.bundle_export import CALIBRATION_ROWS, Float32Model
from tflite.convert.quantize import quantize
from tflite.convert.variants import VARIANTS, Variant
from tflite.host.edge_classifier import EdgeClassifier
from tflite.measure.parity import Reference, TextRow, compare, keras_reference


def main() -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="*", metavar="MODEL_DIR", help="pushed single-label models")
    parser.add_argument("--data", type=Path, help="folder with train.csv and test.csv: text, label")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--out", type=Path, default=Path("bench-out/edge"), help="output folder")
    parser.add_argument("--peers", action="store_true", help="also measure latencies, with the other runtimes")
    parser.add_argument("--quick", action="store_true", help="a small untrained model, made-up rows, three variants")
    options = parser.parse_args()
    if options.quick:
        _use_small_model(options)
    elif not options.models or options.data is None:
        parser.error("give MODEL_DIR and --data, or --quick")
    staged = options.out / "models"
    print("| model | variant | bytes | same label | largest difference | accuracy | accuracy of Keras |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for index, folder in enumerate(options.models):
        bench = EdgeBenchmark(newest_version(folder), options.out / f"{index}-{folder.resolve().name}", options.data)
        for variant in options.variants:
            print(bench.row(variant), flush=True)
        if options.peers:
            bench.stage(staged)
    if options.peers:
        python = peers_environment(options.out, ROOT / "benchmarks" / "edge_peers" / "environment.lock")
        measure = [python, "-m", "benchmarks.edge_peers.edge_latency"]
        subprocess.run([*measure, str(staged.resolve())], cwd=ROOT, check=True)
    return 0


class EdgeBenchmark:
    """Benchmarks one model.

    Args:
        folder: a pushed single-label version for one text.
        out: folder for its bundles; its last part names the rows.
        data: folder with train.csv and test.csv.
    """

    def __init__(self, folder: Path, out: Path, data: Path) -> None:
        self._folder, self._out = folder, out
        self._float32 = Float32Model.from_version(folder)
        self._rows = _read(data / "test.csv")
        self._training = _read(data / "train.csv")[: max(CALIBRATION_ROWS, PEER_ROWS)]
        self._keras: Reference = keras_reference(self._float32.restored, self._rows, max(self._float32.lengths))

    def row(self, variant: Variant) -> str:
        """A line of the table."""
        target = self._out / variant
        if is_bundle(target):  # from an earlier measurement
            shutil.rmtree(target)
        self._float32.write_bundle(
            target, variant, FileDescription(self._out.name), calibration=self._training[:CALIBRATION_ROWS]
        )
        bundle = EdgeClassifier(target, threads=os.cpu_count() or 1)
        parity = compare(bundle, self._keras, self._rows, len(self._rows) + 1)
        accuracy = parity.quality[0]
        cells = (
            self._out.name,
            variant,
            f"{(target / 'model.tflite').stat().st_size:,}",
            f"{parity.agreement:.2%}",
            f"{parity.max_difference:.4f}",
            f"{accuracy.edge:.2%}",
            f"{accuracy.keras:.2%}",
        )
        return f"| {' | '.join(cells)} |"

    def stage(self, folder: Path) -> None:
        """Writes the input of `benchmarks.edge_peers.edge_latency`."""
        longest = self._float32.restored.tokenizer.max_length
        for length in sorted({min(32, longest), longest}):
            target = folder / f"{self._out.name}_{length}"
            target.mkdir(parents=True, exist_ok=True)
            float32 = Float32Model.from_version(self._folder, (length,))
            (target / "float32.tflite").write_bytes(float32.content)
            (target / "int8.tflite").write_bytes(quantize(float32.content, "dynamic_int8"))
            rows = float32.features(self._training[:PEER_ROWS])[length]
            np.savez(target / "rows.npz", **{name: np.concatenate([row[name] for row in rows]) for name in INPUTS})


def _use_small_model(options: argparse.Namespace) -> None:
    """Sets the options for --quick."""
    options.out /= "quick"
    shutil.rmtree(options.out, ignore_errors=True)
    options.models, options.data = [options.out / "small" / "1"], options.out
    options.variants = ("float32", "dynamic_int8", "int8")
    texts = made_up_texts(256)
    export_small_model(options.models[0], texts)
    for name, rows in (("train", texts[:200]), ("test", texts[200:])):
        with (options.data / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *((text, ("bad", "good")[len(text) % 2]) for text in rows)])
    if not options.peers:
        print("skipped: the other runtimes (--peers creates their environment)")


def _read(file: Path) -> list[TextRow]:
    with file.open(encoding="utf-8", newline="") as table:
        return [TextRow(row["text"], target=(row["label"],)) for row in csv.DictReader(table)]


if __name__ == "__main__":
    sys.exit(main())
