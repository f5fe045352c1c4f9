"""Peak memory of a training of BERT-base's sizes, with what saves memory and without; each in a process of its own.

    python benchmarks/training_memory.py [--rows 96] [--only WAY ...]
    python benchmarks/training_memory.py --quick

The encoder has made-up weights, in KerasHub's format in the output folder. The rows are full (128 random ids), and a
batch has 32 of them. "loss" is the mean over the steps: ways that differ in memory only have the same. The memory
contains Python and TensorFlow, without a model: the first line of the table.

--quick: a small encoder, 8 rows of 16 ids, and two ways whatever --only says; the figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

BASE = {"num_layers": 12, "hidden_dim": 768, "num_heads": 12, "intermediate_dim": 3072}
SMALL = {"num_layers": 2, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32}
VOCABULARY = 30522
HALF = {"precision": "mixed_bfloat16"}
# Settings of `train`, and of `model` below "model"; "exact": weights that are not trained stay in float32 all the same.
WAYS: dict[str, dict[str, Any] | None] = {
    "no training": None,
    "float32": {},
    "float32, remat": {"remat": True},
    "float32, accumulate 4": {"batch_size": 8, "accumulate": 4},
    "bfloat16": HALF,
    "bfloat16, remat": {**HALF, "remat": True},
    "LoRA, float32": {"model": {"lora_rank": 8}},
    "LoRA, bfloat16, weights in float32": {**HALF, "model": {"lora_rank": 8}, "exact": True},
    "LoRA, bfloat16": {**HALF, "model": {"lora_rank": 8}},
    "LoRA, bfloat16, remat": {**HALF, "model": {"lora_rank": 8}, "remat": True},
}


def main() -> int:
    """Measures each way and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--only", nargs="+", choices=sorted(WAYS), metavar="WAY", help="only these ways")
    parser.add_argument("--out", type=Path, default=Path("bench-out/memory"))
    parser.add_argument("--quick", action="store_true", help="a small encoder and two ways")
    options = parser.parse_args()
    ways, length = options.only or list(WAYS), 128
    if options.quick:
        options.rows, length, ways = 8, 16, ["float32", "LoRA, bfloat16, remat"]
    preset = options.out.resolve() / ("small" if options.quick else "base")
    _child({"write": str(preset), "sizes": SMALL if options.quick else BASE})
    print("| | peak memory, MB | s per step | loss |\n|---|---|---|---|", flush=True)
    for way in ways:
        settings = WAYS[way]
        given = {"preset": str(preset), "rows": options.rows, "length": length, "settings": settings}
        found = _child(given)
        rest = "- | -" if settings is None else f"{found['step']:.2f} | {found['loss']:.4f}"
        print(f"| {way} | {found['peak']:,.0f} | {rest} |", flush=True)
    return 0


def _child(given: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, "--child", json.dumps(given)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _run(given: dict[str, Any]) -> dict[str, Any]:
    """Writes the encoder, or trains it as given."""
    from models import runtime

    runtime.prepare()
    if "write" in given:
        _write(Path(given["write"]), given["sizes"])
        return {}
    import models.training.training_run  # noqa: F401 (for the way without training)

    found = {} if given["settings"] is None else _train(**given)
    return {**found, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3}


def _write(folder: Path, sizes: dict[str, int]) -> None:
    import keras
    import keras_hub

    if folder.exists():
        return
    keras.utils.set_random_seed(0)
    part = folder.with_name(f"{folder.name}.part")
    keras_hub.models.BertBackbone(vocabulary_size=VOCABULARY, **sizes).save_to_preset(str(part))
    assets = part / "assets" / "tokenizer"
    assets.mkdir(parents=True, exist_ok=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words += [f"w{number}" for number in range(len(words), VOCABULARY)]
    (assets / "vocabulary.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    part.rename(folder)


def _train(preset: str, rows: int, length: int, settings: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    from models.build import build_model
    from models.config import PresetConfig, TaskConfig
    from models.presets.preset import preset_tokenizer
    from models.training.token_rows import TokenRows
    from models.training.training_run import train
    from models.training.variables import frozen_weights
    from models.training_config import TrainConfig
    from tflite.host.labels import LabelSpace

    if settings.pop("exact", False):
        frozen_weights.find_frozen = lambda model: []
    source, tokenizer = np.random.default_rng(0), preset_tokenizer(preset, length)
    table = TokenRows.from_lists(
        source.integers(1000, VOCABULARY, (rows, length)).tolist(), source.integers(0, 2, rows).astype(np.int32)
    )
    config = PresetConfig(preset=preset, linear_rows=0, **settings.pop("model", {}))
    train_config = {
        "epochs": 1,
        "contrastive": "off",
        "batch_size": 32,
        "learning_rate": 5e-5,
        "precision": "float32",
        **settings,
    }
    report = train(
        lambda: build_model(config, tokenizer=tokenizer, outputs=2),
        table,
        table.sample(8, 0),
        task=TaskConfig(),
        config=TrainConfig(**train_config),
        labels=LabelSpace(("a", "b"), (rows // 2, rows // 2), rows),
        tokenizer=tokenizer,
        preset=True,
        calibrate=False,
    ).report
    return {"loss": report["history"][0]["train_loss"], "step": 32 * length / (report["tokens_per_second"] or np.nan)}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(_run(json.loads(sys.argv[2]))))
        sys.exit(0)
    sys.exit(main())
