"""A tiny encoder's training, as files: for a process that trains it elsewhere.

python stored_training.py FOLDER SETTINGS    trains it in a child process of this one; SETTINGS: JSON, of `train`
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from models import runtime

runtime.prepare()

import numpy as np  # noqa: E402  # not before the runtime is decided
import tensorflow as tf  # noqa: E402

from models.config import ModelsConfig  # noqa: E402
from models.presets.preset import describe_preset  # noqa: E402
from models.training.elsewhere.parent import train_elsewhere  # noqa: E402
from models.training.progress import Progress  # noqa: E402
from models.training.token_rows import TokenRows  # noqa: E402
from models.training.training_request import Request  # noqa: E402
from models.training.training_run import TrainedModel  # noqa: E402
from tflite.host.labels import LabelSpace  # noqa: E402
from tflite.host.tokenizer import Tokenizer  # noqa: E402

VOCABULARY = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", *"abcdefgh")
TOKENIZER = Tokenizer(
    "wordpiece",
    start_id=1,
    end_id=2,
    pad_id=0,
    unknown_id=3,
    vocabulary=VOCABULARY,
    vocabulary_size=len(VOCABULARY),
    max_length=20,
)
LABELS = LabelSpace(("no", "yes"), (60, 60), 120)
ENCODER = {"num_layers": 1, "width": 8, "num_heads": 2, "feedforward_width": 8, "linear_rows": 64}
TRAIN = {"epochs": 3, "learning_rate": 0.02, "batch_size": 16, "xla": False}


def store(
    folder: Path,
    *,
    longest: int = 18,
    task: str = "single_label",
    pairs: bool = False,
    preset: Path | None = None,
    dropout: float = 0.3,
    mislabelled: int = 0,
    **train: Any,
) -> Request:
    """Writes rows (is token 9 among them?), tokenizer and labels into a folder; a request to train on them.

    The targets of the first `mislabelled` rows of each split are wrong.
    """
    source = np.random.default_rng(0)
    labels = LabelSpace(rows=120, mean=0.4, std=0.5) if task == "regression" else LABELS
    for split, count in (("train", 120), ("eval", 40)):
        path = folder / f"{split}.gz"
        with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
            for number in range(count):
                ids = source.integers(4, 12, source.integers(3, longest))
                segments = [int(pairs and place > len(ids) // 2) for place in range(len(ids) + 2)]
                found = int((9 in ids) != (number < mislabelled))
                target = {"single_label": [found], "multi_label": [1.0 - found, 1.0 * found]}.get(task, [1.0 * found])
                writer.write(_example({"token_ids": [1, *ids, 2], "segment_ids": segments, "target": target}))
        TokenRows.from_tfrecords([path], folder / split, outputs=labels.outputs, task=task)
    TOKENIZER.save(folder)
    labels.save(folder)
    model = (
        {**ENCODER, "dropout": dropout}
        if preset is None
        else {"type": "preset", "preset": str(preset), "linear_rows": 64}
    )
    about = {"type": task, "text_pair": "second" if pairs else None}
    config = ModelsConfig.model_validate({"task": about, "model": model, "train": {**TRAIN, **train}})
    return Request(
        config,
        tokenizer=folder,
        train_rows=folder / "train",
        eval_rows=folder / "eval",
        architecture=None if preset is None else describe_preset(str(preset)),
        calibrate=True,
        resume_key={"code": "1"},
        checkpoint_dir=folder / "checkpoints",
        log_dir=folder / "logs",
    )


def fit(request: Request, folder: Path, interpreter: Path | None = None, **told: Any) -> TrainedModel:
    """Trains it in a child process, on this interpreter's framework if no other is given."""
    told = {"on_progress": lambda progress: None, "on_note": lambda text: None} | told
    interpreter = interpreter or Path(sys.executable)
    return train_elsewhere(request.build, request, folder / "work", interpreter=interpreter, **told)


def _example(features: dict[str, Any]) -> bytes:
    def feature(values: list[Any]) -> tf.train.Feature:
        if isinstance(values[0], int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    made = {name: feature(values) for name, values in features.items()}
    serialized: bytes = tf.train.Example(features=tf.train.Features(feature=made)).SerializeToString()
    return serialized


def _print(progress: Progress) -> None:
    print(progress.step, flush=True)  # noqa: T201


if __name__ == "__main__":
    where = Path(sys.argv[1])
    fit(store(where, **json.loads(sys.argv[2])), where, on_progress=_print)
