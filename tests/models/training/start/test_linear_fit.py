"""A linear model is fitted in the background as it is at once, and what goes wrong there is raised."""

from __future__ import annotations

import signal
from pathlib import Path
from threading import Event
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest

from models.build import build_model, layer_depths
from models.config import EncoderConfig, TaskConfig
from models.errors import Interrupted, TrainingError
from models.network.encoder import token_inputs
from models.network.surface import Surface
from models.training.loop import Loop
from models.training.start import linear_fit
from models.training.start.linear_fit import LinearLogits, fit_linear, raise_if_failed, wait_for
from models.training.token_rows import TokenRows
from tflite.host.labels import LabelSpace
from tflite.host.tokenizer import Tokenizer

PREDICTED = np.zeros((40, 2), np.float32)
VOCABULARY = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", *(f"w{n}" for n in range(16)))
TOKENIZER = Tokenizer(
    "wordpiece", start_id=1, end_id=2, pad_id=0, unknown_id=3, vocabulary_size=20, vocabulary=VOCABULARY, max_length=20
)


def make_rows(count: int) -> TokenRows:
    ids = [[1, 4 + n % 16, 4 + n % 7, 2] for n in range(count)]
    return TokenRows.from_lists(ids, np.arange(count, dtype=np.int32) % 2)


def make_model() -> keras.Model:
    inputs = token_inputs()
    return keras.Model(inputs, Surface(2, 20, 97, two_texts=False)(*inputs.values()))


def fit(model: keras.Model, **options: Any) -> Any:
    labels = LabelSpace(("even", "odd"), (30, 30), 60)
    options = {"task": TaskConfig(), "labels": labels, "tokenizer": TOKENIZER, "label_weights": np.ones(2)} | options
    return fit_linear(model, make_rows(60), make_rows(9), stacked=False, **options)


def test_a_fit_in_the_background_is_the_same() -> None:
    models, said = (make_model(), make_model()), []
    at_once, later = (
        fit(model, in_background=background, on_note=said.append).result()
        for model, background in zip(models, (False, True), strict=True)
    )
    assert at_once.unseen is later.unseen is None
    assert at_once.evaluation.shape == (9, 2)
    assert at_once.evaluation.any()
    np.testing.assert_array_equal(at_once.evaluation, later.evaluation)
    for one, other in zip(models[0].weights, models[1].weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert said == ["a linear model is fitted to 60 rows"] * 2


@pytest.mark.parametrize("in_background", [False, True])
def test_a_model_without_a_linear_part_has_no_logits(in_background: bool) -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    assert fit(model, in_background=in_background).result() == LinearLogits(None, None)


def test_what_goes_wrong_in_the_background_is_raised_where_the_logits_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise MemoryError("no room for the matrix")

    monkeypatch.setattr(linear_fit, "fit_surface", fail)
    running = fit(make_model(), in_background=True)
    with pytest.raises(TrainingError, match=r"(?s)too little memory.*60 rows and 240 tokens.*model.linear_rows"):
        wait_for(running, lambda: None)
    with pytest.raises(TrainingError, match="too little memory"):
        raise_if_failed(running)


def never(*arguments: Any, **options: Any) -> None:
    assert Event().wait(60)


def test_a_fit_that_is_going_on_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_fit, "fit_surface", never)
    raise_if_failed(fit(make_model(), in_background=True))


def train(tiny: ModuleType, folder: Path, **options: Any) -> Any:
    config = EncoderConfig(num_layers=1, width=8, num_heads=2, linear_rows=97, dropout=0.0)
    return tiny.fit(
        make_model=lambda: build_model(config, tokenizer=tiny.TOKENIZER, outputs=2),
        depths=layer_depths,
        preset=True,
        checkpoint_dir=folder,
        train_config={"strategy": "none", "contrastive": "off"},
        **options,
    )


def test_a_stop_request_does_not_wait_for_the_fit(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_fit, "fit_surface", never)
    monkeypatch.setattr(Loop, "_predict_eval", lambda self: signal.raise_signal(signal.SIGTERM) or PREDICTED)
    with pytest.raises(Interrupted) as caught:
        train(tiny, tmp_path)
    assert caught.value.what == "training, after step 8 of 16"


def test_a_failed_fit_ends_the_training_before_the_epoch_does(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise MemoryError("no room for the matrix")

    monkeypatch.setattr(linear_fit, "fit_surface", fail)
    monkeypatch.setattr(Loop, "_predict_eval", lambda self: pytest.fail("the epoch ended"))
    with pytest.raises(TrainingError, match="too little memory"):
        train(tiny, tmp_path)
