"""Attributions: they add up to what the text changes, wherever the numbers come from."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
import tiny_byte_pairs
from exported_signatures import ask, signatures
from tiny_exports import KINDS, Exported, export
from tiny_sentencepiece import ALBERT, sentencepiece_tokenizer

from models.saved import attributions
from models.saved.attributions import STEPS, answer_score, attribute
from models.saved.weighted_tokens import weighted_tokens
from models.text.preprocessing import Preprocessor, to_dense
from models.text.token_texts import token_texts

SHORT = [b"good film", b"a bad film and a good one"]


def explain(exported: Exported, texts: list[bytes]) -> dict[str, np.ndarray]:
    columns = {"text": texts} | ({"text_pair": texts[::-1]} if exported.task.text_pair else {})
    inputs = {name: tf.constant(column, tf.string) for name, column in columns.items()}
    found = signatures(exported)["attributions"](**inputs)
    return {name: value.numpy() for name, value in found.items()}


OTHERS = {
    "byte_pair": ("single", tiny_byte_pairs.tokenizer),
    "sentencepiece": ("single", functools.partial(sentencepiece_tokenizer, "unigram", ALBERT)),
    "byte_pair of pairs": ("pair", tiny_byte_pairs.tokenizer),
}


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """Exports a kind of model with attributions, once."""
    folder = tmp_path_factory.mktemp("explained")

    @functools.cache
    def make(name: str) -> Exported:
        kind, tokenizer = OTHERS.get(name, (name, lambda: None))
        return export(kind, folder / name, tokenizer(), attributions=True)

    return make


@pytest.fixture(params=[*KINDS, *OTHERS])
def exported(request: pytest.FixtureRequest, explained: Callable[[str], Exported]) -> Exported:
    return explained(request.param)


class Scores:
    """The scores of the texts of a model, by their tokens' weights, from the Keras model itself."""

    def __init__(self, exported: Exported, texts: list[bytes]) -> None:
        self._exported, tokenizer = exported, exported.tokenizer
        columns = [texts, texts[::-1]] if exported.task.text_pair else [texts]
        self._features = to_dense(Preprocessor(tokenizer)(*map(tf.constant, columns)), tokenizer.pad_id)
        known = np.array(token_texts(tokenizer), object)[self._features["token_ids"].numpy()]
        self.fixed = tf.constant(known == b"")
        self._answers = tf.argmax(self._logits(tf.ones_like(self.fixed, tf.float32)), axis=1, output_type=tf.int32)

    def _logits(self, weights: tf.Tensor) -> tf.Tensor:
        exported, times = self._exported, weights.shape[0] // self.fixed.shape[0]
        features = {name: tf.tile(value, [times, 1]) for name, value in self._features.items()}
        with weighted_tokens(exported.model, weights, exported.tokenizer.pad_id):
            logits = exported.model(features, training=False)
        if exported.task.type == "regression":
            return logits * exported.labels.std + exported.labels.mean
        return logits / tf.constant(exported.labels.temperatures or (1.0,), tf.float32)

    def __call__(self, weights: tf.Tensor, times: int = 1) -> tf.Tensor:
        return answer_score(self._answers, self._exported.task.type)(self._logits(weights))


@pytest.mark.slow_variants
def test_the_numbers_add_up_to_what_the_text_changes(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = Scores(exported, SHORT)
    np.testing.assert_allclose(
        explain(exported, SHORT)["attributions"], attribute(scores, scores.fixed), rtol=1e-3, atol=2e-3
    )
    # These models have random weights, so that their scores change more wildly on the way than a trained model's.
    monkeypatch.setattr(attributions, "STEPS", 256)
    total = tf.reduce_sum(attribute(scores, scores.fixed), axis=1)
    change = scores(tf.ones_like(scores.fixed, tf.float32)) - scores(tf.cast(scores.fixed, tf.float32))
    np.testing.assert_allclose(total, change, rtol=0.02, atol=0.02 * exported.labels.std)
    assert np.abs(change).max() > 0.05


@pytest.mark.slow_variants
def test_the_tokens_are_the_text(exported: Exported) -> None:
    found = explain(exported, SHORT)
    for tokens, segments, text in zip(found["tokens"], found["segment_ids"], SHORT, strict=True):
        first = b"".join(token for token, segment in zip(tokens, segments, strict=True) if segment == 0)
        if exported.tokenizer.family == "byte_pair":  # the others split what they do not know
            assert first.startswith(text)
        assert first
    assert found["tokens"].shape == found["attributions"].shape == found["segment_ids"].shape
    assert (found["attributions"][found["tokens"] == b""] == 0).all()


@pytest.mark.slow_variants
def test_an_explanation_is_of_the_answer_and_does_not_depend_on_the_rest_of_the_batch(exported: Exported) -> None:
    if exported.task.text_pair:
        pytest.skip("the pairs of this test depend on the batch")
    alone, among = explain(exported, SHORT[:1]), explain(exported, SHORT)
    width = alone["tokens"].shape[1]
    np.testing.assert_allclose(alone["attributions"][0], among["attributions"][0, :width], rtol=1e-3, atol=1e-4)
    answers = ask(signatures(exported), exported, SHORT)
    np.testing.assert_allclose(among["score"], answers["score"], rtol=1e-5)


def test_a_model_is_as_before_when_its_tokens_were_weighted(explained: Callable[[str], Exported]) -> None:
    exported = explained("single")
    features = to_dense(Preprocessor(exported.tokenizer)(tf.constant(SHORT)), exported.tokenizer.pad_id)
    before = np.array(exported.model(features, training=False))
    with weighted_tokens(exported.model, tf.zeros_like(features["token_ids"], tf.float32), exported.tokenizer.pad_id):
        weighted = np.array(exported.model(features, training=False))
    np.testing.assert_array_equal(np.array(exported.model(features, training=False)), before)
    assert np.abs(weighted - before).max() > 0.01


@pytest.mark.slow_variants
def test_no_text_and_no_rows(exported: Exported) -> None:
    assert explain(exported, [b""])["attributions"].sum() == 0 or exported.task.text_pair
    assert explain(exported, [])["attributions"].shape[0] == 0


def test_a_linear_score_is_attributed_exactly() -> None:
    slopes = tf.constant([[1.0, -2.0, 3.0], [0.5, 0.0, 4.0]])
    fixed = tf.constant([[False, False, True], [False, False, False]])

    def score(weights: tf.Tensor, times: int) -> tf.Tensor:
        return tf.reduce_sum(weights * tf.tile(slopes, [times, 1]), axis=1)

    np.testing.assert_allclose(attribute(score, fixed), [[1.0, -2.0, 0.0], [0.5, 0.0, 4.0]], rtol=1e-6)
    assert STEPS > 1
