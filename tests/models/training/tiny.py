"""A tiny real Transformer, and tiny rows that it can learn; as a program, a training to kill and to compare.

python tiny.py JSON    with the keyword arguments of `run`
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from models import runtime

runtime.prepare()

import keras  # noqa: E402  # not before the runtime is decided
import numpy as np  # noqa: E402

from models.build import build_model, layer_depths  # noqa: E402
from models.config import EncoderConfig, PresetConfig, TaskConfig  # noqa: E402
from models.network.pooling import Pooling  # noqa: E402
from models.network.transformer_layer import TransformerLayer  # noqa: E402
from models.presets.preset import preset_tokenizer  # noqa: E402
from models.training.batches import Batches  # noqa: E402
from models.training.progress import Progress  # noqa: E402
from models.training.token_rows import TokenRows  # noqa: E402
from models.training.training_run import TrainedModel, plain, train  # noqa: E402
from models.training_config import TrainConfig  # noqa: E402
from tflite.host.labels import LabelSpace  # noqa: E402
from tflite.host.tokenizer import Tokenizer  # noqa: E402

VOCABULARY = 10
TOKENIZER = Tokenizer("wordpiece", start_id=1, end_id=2, pad_id=0, unknown_id=3, vocabulary_size=10, max_length=20)
WIDTH = 8
# Without XLA, whose compilation is most of the time of so small a training; the tests of XLA turn it on. The precision
# is given, so that no test depends on the processor.
QUICK = {"epochs": 2, "learning_rate": 0.02, "batch_size": 16, "xla": False, "precision": "float32"}


def model(outputs: int = 2, dropout: float = 0.0) -> keras.Model:
    """One block of width 8 over a vocabulary of ten; a mean over the tokens; float32 logits [B, outputs]."""
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name) for name in ("token_ids", "padding_mask", "segment_ids")
    }
    x = keras.layers.Embedding(VOCABULARY, WIDTH, name="tokens")(inputs["token_ids"])
    x = x + keras.layers.Embedding(2, WIDTH, name="segments")(inputs["segment_ids"])
    block = TransformerLayer(WIDTH, 2, WIDTH, dropout, "post", False, name="block")
    pooled = Pooling("mean", name="pooling")(block(x, inputs["padding_mask"]), inputs["padding_mask"])
    return keras.Model(inputs, keras.layers.Dense(outputs, dtype="float32", name="head")(pooled))


def frozen(outputs: int = 2) -> keras.Model:
    """The same, of which only the head is trained."""
    made = model(outputs)
    for layer in made.layers:
        layer.trainable = layer.name == "head"
    return made


def depths(model: keras.Model) -> dict[str, int]:
    """0 the embeddings, 1 the block, 2 the head."""
    depth = {"tokens": 0, "segments": 0, "head": 2}
    return {v.path: depth.get(v.path.split("/")[0], 1) for v in model.trainable_variables}


def rows(count: int, seed: int = 0, *, longest: int = 20, task: str = "single_label") -> TokenRows:
    """Rows of 3 to `longest` tokens; the target is whether token 9 occurs, as class, as labels or as its share."""
    generator = np.random.default_rng(seed)
    ids = [generator.integers(1, VOCABULARY, generator.integers(3, longest + 1)) for _ in range(count)]
    has = np.array([(row == 9).any() for row in ids])
    targets = {
        "single_label": has.astype(np.int32),
        "multi_label": np.stack([has, [(row == 8).any() for row in ids]], axis=1).astype(np.float32),
        "regression": np.array([10.0 + 100.0 * (row == 9).mean() for row in ids], np.float32),
    }
    return TokenRows.from_lists(ids, targets[task])


def features(rows: TokenRows) -> dict[str, np.ndarray]:
    """The features of all rows, as one batch."""
    batches = Batches(rows, (TOKENIZER.max_length,), len(rows), pad_id=TOKENIZER.pad_id)
    return batches.make_batch(np.arange(len(rows))).features


def labels(rows: TokenRows, task: str = "single_label") -> LabelSpace:
    """The labels of the rows."""
    if task == "regression":
        return LabelSpace(rows=len(rows), mean=float(rows.targets.mean()), std=float(rows.targets.std()))
    counts = rows.targets.sum(axis=0) if task == "multi_label" else np.bincount(rows.targets, minlength=2)
    return LabelSpace(("no", "yes"), tuple(int(n) for n in counts), len(rows))


def fit(
    *,
    task: str = "single_label",
    count: int = 120,
    dropout: float = 0.0,
    rows_: TokenRows | None = None,
    evaluation: TokenRows | None = None,
    labels_: LabelSpace | None = None,
    train_config: dict[str, Any] | None = None,
    threshold: float | str = 0.5,
    pairs: bool = False,
    **options: Any,
) -> TrainedModel:
    """Trains the tiny model on tiny rows; `options` are those of `train`. `pairs`: the task has two texts."""
    own = rows_ if rows_ is not None else rows(count, task=task)
    config = TrainConfig(**{**QUICK, **(train_config or {})})
    make_model = options.pop("make_model", lambda: model(1 if task == "regression" else 2, dropout))
    trained = train(
        make_model,
        own,
        evaluation if evaluation is not None else rows(40, 1, task=task),
        task=TaskConfig(type=task, threshold=threshold, text_pair="second" if pairs else None),
        config=config,
        labels=labels_ or labels(own, task),
        tokenizer=TOKENIZER,
        **{"depths": depths, **options},
    )
    return plain(trained, make_model)


def preset(**settings: Any) -> dict[str, Any]:
    """Arguments of `fit` for a preset; `settings` are those of its configuration."""
    config = PresetConfig(**settings)
    tokenizer = preset_tokenizer(config.preset, TOKENIZER.max_length)
    made = {"make_model": lambda: build_model(config, tokenizer=tokenizer, outputs=2)}
    return {**made, "depths": layer_depths, "preset": True}


def run(
    weights: str,
    kill_at: int | None = None,
    fused: dict[str, Any] | None = None,
    eval_count: int = 40,
    head_only: bool = False,
    of_preset: dict[str, Any] | None = None,
    **arguments: Any,
) -> None:
    """Trains and writes weights and report; kills itself at step `kill_at`, if given.

    `fused`: settings of an encoder with a linear part, instead of the tiny model. `head_only`: train nothing else.
    `of_preset`: settings of a preset.
    """

    def on_progress(progress: Progress) -> None:
        if kill_at is not None and progress.step >= kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    if fused is not None:
        config = EncoderConfig(**fused)
        arguments |= {"make_model": lambda: build_model(config, tokenizer=TOKENIZER, outputs=2), "depths": layer_depths}
    if head_only:
        arguments["make_model"] = frozen
    if of_preset is not None:
        arguments |= preset(**of_preset)
    trained = fit(on_progress=on_progress, evaluation=rows(eval_count, 1), **arguments)
    arrays = {str(i): v.numpy() for i, v in enumerate(trained.model.weights)}
    np.savez(weights, report=np.array(json.dumps(trained.report)), **arrays)


if __name__ == "__main__":
    run(**json.loads(sys.argv[1]))
