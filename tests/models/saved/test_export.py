"""The SavedModel: its signatures, its operations, where it can be loaded, and how it appears."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import golden_text
import keras
import numpy as np
import pytest
import tensorflow as tf
from exported_signatures import CLOSE, TEXTS, ask, example, examples, meta_graph, signatures
from tensorflow_serving.apis import prediction_log_pb2
from tiny_exports import KINDS, Exported, export, tiny_model

from models.errors import ModelError
from models.saved.export import TOLERANCE, export_saved_model, tolerance_of
from tflite.host.labels import LabelSpace
from tflite.host.tokenizer import Tokenizer


@pytest.fixture(params=[*KINDS, "byte_pair"])
def exported(request: pytest.FixtureRequest, all_exports: dict[str, Exported]) -> Exported:
    return all_exports[request.param]


@pytest.mark.slow_variants
def test_answers_the_golden_texts_as_keras_does(exported: Exported) -> None:
    wanted = exported.ask_keras(TEXTS, TEXTS if exported.task.text_pair else None)
    got = ask(signatures(exported), exported, TEXTS)
    assert set(got) == set(wanted)
    scale = exported.labels.std if exported.task.type == "regression" else 1.0
    for name, value in wanted.items():
        if name == "label":
            assert got[name].numpy().tolist() == value.tolist()
        else:
            assert len(np.unique(np.round(value / scale, 3), axis=0)) > 1
            np.testing.assert_allclose(got[name] / scale, value / scale, **CLOSE)
            assert got[name].dtype == tf.float32


def test_all_signatures_agree(exported: Exported) -> None:
    loaded = signatures(exported)
    wanted = ask(loaded, exported, TEXTS)
    serialized = tf.constant(examples(exported, TEXTS))
    parsed = loaded["tf_example"](examples=serialized)
    assert set(parsed) == set(wanted)
    np.testing.assert_array_equal(parsed["score"], wanted["score"])
    if exported.task.type == "regression":
        np.testing.assert_array_equal(loaded["regress"](inputs=serialized)["outputs"], wanted["score"])
        assert "classify" not in loaded
    else:
        classes = loaded["classify"](inputs=serialized)
        np.testing.assert_array_equal(classes["scores"], wanted["probabilities"])
        assert [name.decode() for name in classes["classes"].numpy()[-1]] == list(exported.labels.labels)
        assert "regress" not in loaded


def test_token_ids_answer_as_their_text_does(all_exports: dict[str, Exported]) -> None:
    loaded = signatures(all_exports["single"])
    row = tf.constant([[2, 9, 6, 3, 0]])
    by_ids = loaded["token_ids"](token_ids=row, padding_mask=tf.sign(row), segment_ids=row * 0)
    by_text = loaded["serving_default"](text=tf.constant(["Good FILM"]))
    np.testing.assert_allclose(by_ids["probabilities"], by_text["probabilities"], **CLOSE)


def test_the_answer_does_not_depend_on_the_rest_of_the_batch(exported: Exported) -> None:
    loaded = signatures(exported)
    alone, among = (ask(loaded, exported, texts)["score"][0] for texts in ([b"good"], [b"good", b"film " * 40, b""]))
    np.testing.assert_allclose(alone, among, rtol=1e-5)


def test_no_rows(exported: Exported) -> None:
    found = signatures(exported)["tf_example"](examples=tf.zeros([0], tf.string))
    assert {value.shape[0] for value in found.values()} == {0}


def test_multi_label_joins_the_labels_over_the_threshold(all_exports: dict[str, Exported]) -> None:
    found = ask(signatures(all_exports["multi"]), all_exports["multi"], TEXTS)
    names = np.array(KINDS["multi"][1].labels)
    wanted = ["; ".join(names[row >= 0.5]) for row in found["probabilities"].numpy()]
    assert [label.decode() for label in found["label"].numpy()] == wanted
    assert len({label.count(";") for label in wanted}) > 1


def test_a_missing_text_is_the_empty_text(all_exports: dict[str, Exported]) -> None:
    loaded = signatures(all_exports["pair"])
    serialized = [example(a=[b"good"]), example(a=[b"good"], b=[b""]), example(c=[b"x"]), b""]
    scores = loaded["tf_example"](examples=tf.constant(serialized))["score"].numpy()
    assert scores[0] == scores[1]
    assert scores[2] == scores[3]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"[Cc]ould not parse"):
        loaded["tf_example"](examples=tf.constant([b"no example"]))


def test_method_names_are_those_that_tf_serving_asks_for(exported: Exported) -> None:
    methods = {n: s.method_name for n, s in meta_graph(exported.folder).signature_def.items() if n[0] != "_"}
    predict = dict.fromkeys(("serving_default", "tf_example", "token_ids"), "tensorflow/serving/predict")
    last = "regress" if exported.task.type == "regression" else "classify"
    assert methods == {**predict, last: f"tensorflow/serving/{last}"}


def test_no_function_is_compiled_with_xla(exported: Exported) -> None:
    functions = meta_graph(exported.folder).graph_def.library.function
    assert not [f.signature.name for f in functions if f.attr["_XlaMustCompile"].b]


def test_extra_files_lie_beside_the_model(exported: Exported) -> None:
    extra = exported.folder / "assets.extra"
    assert (extra / "a.txt").read_bytes() == b"a"
    assert LabelSpace.load(extra) == exported.labels
    assert Tokenizer.load(extra) == exported.tokenizer
    assert not [path for path in exported.folder.parent.iterdir() if path != exported.folder and path.name[0] == "."]


def test_every_signature_that_reads_texts_is_warmed_up(exported: Exported) -> None:
    loaded = signatures(exported)
    records = tf.data.TFRecordDataset(str(exported.folder / "assets.extra" / "tf_serving_warmup_requests"))
    logs = [prediction_log_pb2.PredictionLog.FromString(record.numpy()) for record in records]
    sizes = []
    for log in logs[:-1]:
        request = log.predict_log.request
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        score = loaded[request.model_spec.signature_name](**inputs)["score"]
        sizes.append((request.model_spec.signature_name, score.shape[0]))
    assert sizes == [("serving_default", 1), ("serving_default", 1), ("serving_default", 2), ("tf_example", 1)]
    kind = logs[-1].WhichOneof("log_type").removesuffix("_log")
    request = getattr(logs[-1], f"{kind}_log").request
    (example,) = request.input.example_list.examples
    (output,) = {"regress": ["outputs"], "classify": ["scores"]}[kind]
    assert request.model_spec.signature_name == kind
    assert loaded[kind](inputs=tf.constant([example.SerializeToString()]))[output].shape[0] == 1
    assert {"serving_default", "token_ids", "tf_example", kind} == set(loaded)


def test_refuses_a_folder_that_holds_something(all_exports: dict[str, Exported]) -> None:
    exported = all_exports["single"]
    with pytest.raises(ModelError, match="it exists already"):
        export("single", exported.folder)
    assert (exported.folder / "saved_model.pb").is_file()


def test_refuses_a_model_that_does_not_fit_its_labels(tmp_path: Path) -> None:
    task, labels = KINDS["single"]
    tokenizer = golden_text.tokenizer()
    with pytest.raises(ModelError, match="2 outputs"):
        export_saved_model(tiny_model(tokenizer, 2), tmp_path / "m", tokenizer=tokenizer, labels=labels, task=task)


def test_a_model_that_went_wrong_does_not_appear(tmp_path: Path) -> None:
    task, labels = KINDS["single"]
    tokenizer = golden_text.tokenizer()
    model = tiny_model(tokenizer, labels.outputs)
    model.get_layer("logits").bias.assign([float("nan")] * 3)
    with pytest.raises(ModelError, match="predictions differ"):
        export_saved_model(model, tmp_path / "m", tokenizer=tokenizer, labels=labels, task=task)
    assert list(tmp_path.iterdir()) == []


class Drifting(keras.layers.Layer):
    """Returns slightly more in a graph than eagerly, as a differently fused operation may."""

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return shape

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs if tf.executing_eagerly() else inputs * (1.0 + DRIFT)


DRIFT = 0.02


@pytest.mark.parametrize(("kind", "scaled"), [("single", 5.0), ("number", 0.1)])
def test_a_float32_model_is_held_to_float32s_tolerance(kind: str, scaled: float, tmp_path: Path) -> None:
    """The layers that take the token ids are int32, which is not half precision."""
    task, labels = KINDS[kind]
    tokenizer = golden_text.tokenizer()
    model = tiny_model(tokenizer, labels.outputs)
    assert tolerance_of(model) == TOLERANCE["float32"]
    drifting = keras.Model(model.inputs, Drifting()(model.outputs[0] * scaled))
    with pytest.raises(ModelError, match="predictions differ") as caught:
        export_saved_model(drifting, tmp_path / "m", tokenizer=tokenizer, labels=labels, task=task)
    apart = float(re.search(r"up to (\S+) apart", caught.value.got)[1])
    scale = labels.std if task.type == "regression" else 1.0
    assert apart < TOLERANCE["half"] * scale, "the tolerance of half precision would allow this"


def test_half_precision_is_seen_however_deep_it_lies(policy: None) -> None:
    ids = keras.Input([None], dtype="int32")
    half = keras.layers.Dense(2, dtype="mixed_bfloat16")
    inner = keras.Sequential([keras.layers.Embedding(4, 3), half], name="inner")
    model = keras.Model(ids, inner(ids))
    assert tolerance_of(model) == TOLERANCE["half"]


@pytest.fixture
def policy() -> Iterator[None]:
    yield
    keras.config.set_dtype_policy("float32")


def test_mixed_precision_answers_in_float32(tmp_path: Path, policy: None) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    exported = export("single", tmp_path / "m")
    found = ask(signatures(exported), exported, TEXTS)
    assert found["probabilities"].dtype == tf.float32
    np.testing.assert_allclose(found["probabilities"], exported.ask_keras(TEXTS)["probabilities"], atol=2e-2)
