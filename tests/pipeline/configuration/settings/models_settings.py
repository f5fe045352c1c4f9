"""`tokenizer` and `model`: token ids, and the layers and weights of the model that is built."""

from __future__ import annotations

import functools

import golden_text
import keras
import numpy as np
import tiny_checkpoints
from setting_effects import Setting, scratch, setting

from models.build import build_model, count_parameters
from models.config import TokenizerConfig
from models.text.preprocessing import Preprocessor
from models.text.vocabulary_training import count_words, learn_wordpiece
from tflite.host.tokenizer import Tokenizer

SMALL = {"model.num_layers": 1, "model.width": 16, "model.num_heads": 2, "model.bigrams": 8}
WORDS = [f"{first}{second}{third}" for first in "abcdef" for second in "aeiou" for third in "klmn"] * 6

PAIRS = ["Bake", "bake", "café", "cafe", "École", "école"]


@functools.cache
def preset(layers: int = 2) -> str:
    """A tiny BERT's folder."""
    folder = scratch()
    tiny_checkpoints.write(folder / "bert", "bert", num_hidden_layers=layers)
    return str(folder / "bert")


PRESET = {"model.preset": preset(), "tokenizer.max_length": 16}
_VOCABULARY = "TokenizerTrainer Trainer"


def learned(here: Setting) -> Tokenizer:
    """The tokenizer that the TokenizerTrainer would learn from the words."""
    config = here.vocabulary[1]
    return learn_wordpiece(count_words(WORDS, config), config)


@functools.cache
def _cut(config: str) -> dict[str, list[int]]:
    """The token ids of frequent words."""
    settings = TokenizerConfig.model_validate_json(config)
    tokenizer = learn_wordpiece(count_words([*WORDS, *(PAIRS * 6)], settings), settings)
    found = Preprocessor(tokenizer)([word.encode() for word in PAIRS])["token_ids"].to_list()
    return dict(zip(PAIRS, found, strict=True))


def same(here: Setting, one: str, other: str) -> bool:
    """Whether two words become the same token."""
    cut = _cut(here.vocabulary[1].model_dump_json())
    return cut[one] == cut[other]


@setting("tokenizer.vocabulary_size", 64, 100, steps=_VOCABULARY)
def _(a: Setting, b: Setting) -> None:
    assert learned(a).vocabulary_size == 64
    assert learned(b).vocabulary_size == 100


@setting("tokenizer.lowercase", True, False, steps=f"DataGate {_VOCABULARY}")
def _(a: Setting, b: Setting) -> None:
    assert same(a, "Bake", "bake")
    assert not same(b, "Bake", "bake")


@setting("tokenizer.strip_accents", True, False, steps=f"DataGate {_VOCABULARY}")
def _(a: Setting, b: Setting) -> None:
    assert same(a, "café", "cafe")
    assert not same(b, "café", "cafe")


@setting("tokenizer.mediapipe_compatible", False, True, steps=f"DataGate {_VOCABULARY}")
def _(a: Setting, b: Setting) -> None:
    assert same(a, "École", "école")
    assert not same(b, "École", "école")


@setting("tokenizer.max_length", 8, 16, steps=_VOCABULARY)
def _(a: Setting, b: Setting) -> None:
    cut = [Preprocessor(learned(here))([b"bake " * 50])["token_ids"].to_list() for here in (a, b)]
    assert [len(row) for (row,) in cut] == [8, 16]


def built(here: Setting, two_texts: bool = False) -> keras.Model:
    keras.utils.set_random_seed(0)
    tokenizer = golden_text.tokenizer(max_length=16)
    return build_model(here.models.model, tokenizer=tokenizer, outputs=2, two_texts=two_texts)


def layers(model: keras.Model) -> int:
    return sum(layer.name.startswith("transformer_layer_") for layer in model.layers)


def answer(model: keras.Model, training: bool = False) -> np.ndarray:
    """Logits [1, 2] of a text of four tokens."""
    row = np.array([[2, 5, 9, 3]], np.int32)
    found = model({"token_ids": row, "padding_mask": 0 * row + 1, "segment_ids": 0 * row}, training=training)
    return np.asarray(found)


@setting(
    "model[encoder].type",
    {"type": "encoder", "linear_rows": 0},
    {"type": "preset", "preset": preset(), "linear_rows": 0},
    at="model",
    base={"tokenizer.max_length": 16},
    steps=None,
)
def _(a: Setting, b: Setting) -> None:
    ours, theirs = (count_parameters(built(here))["total"] for here in (a, b))
    assert ours > 10 * theirs


@setting("model[encoder].num_layers", 1, 3, base=SMALL, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert [layers(built(here)) for here in (a, b)] == [1, 3]


@setting("model[encoder].width", 16, 24, base=SMALL, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert [built(here).get_layer("logits").kernel.shape[0] for here in (a, b)] == [16, 24]


@setting("model[encoder].num_heads", 2, 4, base=SMALL, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    shapes = [built(here).get_layer("transformer_layer_0").attention.query.kernel.shape for here in (a, b)]
    assert shapes == [(16, 2, 8), (16, 4, 4)]


@setting("model[encoder].feedforward_width", None, 40, base=SMALL, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    shapes = [built(here).get_layer("transformer_layer_0").feedforward_hidden.kernel.shape for here in (a, b)]
    assert shapes == [(16, 64), (16, 40)]


@setting("model[encoder].kernel_size", 1, 5, base=SMALL, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert not [layer for layer in built(a).layers if layer.name == "neighbours"]
    assert built(b).get_layer("neighbours").kernel.shape == (5, 16, 16)


@setting("model[encoder].linear_rows", 0, 30, base=SMALL, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert "surface" not in [layer.name for layer in built(a).layers]
    assert built(b).get_layer("surface").pairs == 29  # a prime number


@setting("model[encoder].bigrams", 0, 30, base=SMALL, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert not [layer for layer in built(a).layers if layer.name == "bigrams"]
    assert built(b).get_layer("bigram_embedding").embeddings.shape == (31, 16)


@setting("model[encoder].dropout", 0.0, 0.5, base=SMALL, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    none, some = built(a), built(b)
    np.testing.assert_allclose(answer(none), answer(none, training=True), atol=1e-6)
    assert np.abs(answer(some) - answer(some, training=True)).max() > 1e-4


@setting("model[encoder].norm", "pre", "post", base=SMALL, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    models = [built(here) for here in (a, b)]
    assert ["final_layer_norm" in [layer.name for layer in model.layers] for model in models] == [True, False]
    assert [model.get_layer("transformer_layer_0").norm_first for model in models] == [True, False]


@setting("model[encoder].positions", "learned", "rotary", base=SMALL, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    found = ["position_embedding" in [layer.name for layer in built(here).layers] for here in (a, b)]
    assert found == [True, False]
    assert built(b).get_layer("transformer_layer_0").attention.rotary is not None


@setting("model[encoder].pooling", "cls", "mean", base=SMALL, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    first, mean = built(a), built(b)
    assert [weight.shape for weight in first.weights] == [weight.shape for weight in mean.weights]
    assert np.abs(answer(first) - answer(mean)).max() > 1e-4


@setting(
    "model[preset].type",
    {"type": "preset", "preset": preset()},
    {"type": "encoder", "num_layers": 1, "width": 8},
    at="model",
    base={"tokenizer.max_length": 16},
    steps=f"DataGate {_VOCABULARY}",
)
def _(a: Setting, b: Setting) -> None:
    assert [layers(built(here)) for here in (a, b)] == [2, 1]
    assert a.vocabulary[2] == preset()
    assert b.vocabulary[2] is None


@setting(
    "model[preset].preset",
    preset(),
    preset(1),
    at="model.preset",
    base={"tokenizer.max_length": 16},
    steps=f"DataGate {_VOCABULARY}",
)
def _(a: Setting, b: Setting) -> None:
    assert [layers(built(here)) for here in (a, b)] == [2, 1]
    assert [here.vocabulary[2] for here in (a, b)] == [preset(), preset(1)]


def trainable(here: Setting) -> set[str]:
    return {variable.path.split("/")[0] for variable in built(here).trainable_variables}


@setting("model[preset].num_layers", None, 1, at="model.num_layers", base=PRESET, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert [layers(built(here)) for here in (a, b)] == [2, 1]


@setting("model[preset].freeze", "encoder", 1, at="model.freeze", base=PRESET, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert trainable(a) == {"logits"}
    assert trainable(b) == {"logits", "transformer_layer_1"}


@setting("model[preset].lora_rank", None, 3, at="model.lora_rank", base=PRESET, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    ranks = [
        [v.shape[-1] for v in built(here).trainable_variables if v.name.endswith("lora_kernel_a")] for here in (a, b)
    ]
    assert ranks == [[], [3] * 4]


@setting("model[preset].dropout", 0.0, 0.9, at="model.dropout", base=PRESET, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    states = np.ones((4, 64), np.float32)
    dropped = [np.asarray(built(here).get_layer("head_dropout")(states, training=True)) == 0 for here in (a, b)]
    assert dropped[0].mean() == 0
    assert 0.8 < dropped[1].mean() < 1


@setting("model[preset].pooling", "cls", "mean", at="model.pooling", base=PRESET, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert np.abs(answer(built(a)) - answer(built(b))).max() > 1e-4


@setting("model[preset].pair_encoding", "together", "both", at="model.pair_encoding", base=PRESET, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert [built(here, two_texts=True).get_layer("logits").kernel.shape[0] for here in (a, b)] == [8, 8 + 17]
    assert [built(here).get_layer("logits").kernel.shape[0] for here in (a, b)] == [8, 8]


@setting("model[preset].linear_rows", 0, 30, at="model.linear_rows", base=PRESET, steps="Trainer")
def _(a: Setting, b: Setting) -> None:
    assert "surface" not in [layer.name for layer in built(a).layers]
    assert built(b).get_layer("surface").pairs == 29  # a prime number
