"""The SavedModel: its signatures, its operations, where it can be loaded, and how it appears."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import golden_text
import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_byte_pairs
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2
from tiny_exports import ENCODER, KINDS, Exported, export, tiny_model
from tiny_sentencepiece import ALBERT, sentencepiece_tokenizer

from models.errors import ModelError
from models.saved.export import TOLERANCE, export_saved_model, tolerance_of
from serving.publish.operations import missing
from tflite.host.labels import LabelSpace
from tflite.host.tokenizer import Tokenizer

TEXTS = [row["bytes"] for row in golden_text.rows()]
# Eager Keras against the saved graph, whose operations may be fused: float32, probabilities between 0 and 1.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
SUPPORT = Path(__file__).parents[2] / "support" / "models"
OPS_FILE = Path(__file__).parents[2] / "golden" / "serving_ops.txt"
STANDALONE = '''
import importlib.machinery, importlib.util, json, sys

class Block:
    """TensorFlow looks for Keras without importing it: only an import fails."""
    names = {"keras", "keras_hub", "tf_keras", "models", "components", "pipeline", "serving", "tflite"}
    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, self) if name.split(".")[0] in self.names else None
    def create_module(self, spec):
        raise ImportError(f"{spec.name} is blocked")
    def exec_module(self, module):
        raise ImportError

sys.meta_path.insert(0, Block())
import tensorflow as tf
# `import tensorflow_text` itself imports Keras: without it, its libraries of operations are loaded by hand.
ops = importlib.util.find_spec("tensorflow_text").submodule_search_locations[0] + "/python/ops/"
for library in ("fast_sentencepiece_tokenizer", "fast_wordpiece_tokenizer", "normalize_ops", "regex_split_ops"):
    tf.load_op_library(f"{ops}_{library}.so")
texts = [bytes.fromhex(text) for text in json.load(sys.stdin)]
answers = {}
for kind, folder in zip(sys.argv[1::2], sys.argv[2::2]):
    ask = tf.saved_model.load(folder).signatures["serving_default"]
    names = ask.structured_input_signature[1]
    found = ask(**{name: tf.constant(texts) for name in names})
    answers[kind] = {name: value.numpy().tolist() for name, value in found.items() if name != "label"}
    if "label" in found:
        answers[kind]["label"] = [label.decode() for label in found["label"].numpy()]
json.dump(answers, sys.stdout)
'''


@pytest.fixture(scope="module")
def exports(exports: dict[str, Exported], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    """Those of all tests, and some with other tokenizers."""
    folder = tmp_path_factory.mktemp("exports")
    made = dict(exports)
    made["sentencepiece"] = export("single", folder / "sentencepiece", sentencepiece_tokenizer("unigram", ALBERT))
    made["byte_pair"] = export("single", folder / "byte_pair", tiny_byte_pairs.tokenizer())
    made["byte_pair of pairs"] = export("pair", folder / "byte_pair_of_pairs", tiny_byte_pairs.tokenizer())
    return made


@pytest.fixture(params=[*KINDS, "byte_pair"])
def exported(request: pytest.FixtureRequest, exports: dict[str, Exported]) -> Exported:
    return exports[request.param]


def signatures(exported: Exported) -> Any:
    """The loaded signatures (kept beside the module that owns their variables)."""
    module = tf.saved_model.load(str(exported.folder))
    return type("Loaded", (dict,), {"module": module})(module.signatures)


def examples(exported: Exported, texts: list[bytes]) -> list[bytes]:
    """Serialized raw tf.Examples with these texts in every text column."""
    columns = [column for column in (exported.task.text, exported.task.text_pair) if column]
    return [_example(**{key: [text] for key in columns}) for text in texts]


def _example(**columns: list[bytes]) -> bytes:
    features = {n: tf.train.Feature(bytes_list=tf.train.BytesList(value=v)) for n, v in columns.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def meta_graph(folder: Path) -> Any:
    return saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs[0]


def ask(loaded: Any, exported: Exported, texts: list[bytes]) -> dict[str, tf.Tensor]:
    names = ("text", "text_pair") if exported.task.text_pair else ("text",)
    return loaded["serving_default"](**dict.fromkeys(names, tf.constant(texts)))


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


def test_token_ids_answer_as_their_text_does(exports: dict[str, Exported]) -> None:
    loaded = signatures(exports["single"])
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


def test_multi_label_joins_the_labels_over_the_threshold(exports: dict[str, Exported]) -> None:
    found = ask(signatures(exports["multi"]), exports["multi"], TEXTS)
    names = np.array(KINDS["multi"][1].labels)
    wanted = ["; ".join(names[row >= 0.5]) for row in found["probabilities"].numpy()]
    assert [label.decode() for label in found["label"].numpy()] == wanted
    assert len({label.count(";") for label in wanted}) > 1


def test_a_missing_text_is_the_empty_text(exports: dict[str, Exported]) -> None:
    loaded = signatures(exports["pair"])
    serialized = [_example(a=[b"good"]), _example(a=[b"good"], b=[b""]), _example(c=[b"x"]), b""]
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


@pytest.mark.parametrize("kind", ["single", "byte_pair"])
def test_tf1_session_loads_it_as_tf_serving_does(kind: str, exports: dict[str, Exported]) -> None:
    exported = exports[kind]
    serialized = examples(exported, TEXTS)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signature = tf.compat.v1.saved_model.load(session, ["serve"], str(exported.folder)).signature_def["classify"]
        fetched = {name: info.name for name, info in signature.outputs.items()}
        found = session.run(fetched, {signature.inputs["inputs"].name: serialized})
    np.testing.assert_allclose(found["scores"], exported.ask_keras(TEXTS)["probabilities"], **CLOSE)
    assert found["classes"].shape == found["scores"].shape == (len(TEXTS), 3)


def test_loads_without_keras_and_without_this_project(exports: dict[str, Exported], tmp_path: Path) -> None:
    arguments = [part for kind, exported in exports.items() for part in (kind, str(exported.folder))]
    done = subprocess.run(
        [sys.executable, "-c", STANDALONE, *arguments],
        input=json.dumps([text.hex() for text in TEXTS]).encode(),
        capture_output=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    for kind, found in json.loads(done.stdout).items():
        exported = exports[kind]
        wanted = exported.ask_keras(TEXTS, TEXTS if exported.task.text_pair else None)
        np.testing.assert_allclose(found["score"], wanted["score"], **CLOSE)
        if "label" in found:
            assert found["label"] == [label.decode() for label in wanted["label"]]


def operations(folder: Path) -> set[str]:
    graph = meta_graph(folder).graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return {node.op for node in nodes}


@pytest.mark.parametrize("kind", ["single", "sentencepiece", "multi"])
def test_the_c_api_loads_and_asks_it_as_tf_serving_does(kind: str, exports: dict[str, Exported]) -> None:
    exported = exports[kind]
    packages = [str(Path(importlib.util.find_spec(name).origin).parent) for name in ("tensorflow", "tensorflow_text")]
    signature = meta_graph(exported.folder).signature_def["serving_default"]
    names = [signature.inputs["text"].name, signature.outputs["probabilities"].name]
    texts = ["good film", "", "Café 好 bad"]
    count = str(len(texts) * exported.labels.outputs)
    command = [sys.executable, str(SUPPORT / "c_api.py"), *packages, str(exported.folder), *names, count]
    done = subprocess.run([*command, *texts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = np.array(done.stdout.split(), np.float32).reshape(len(texts), -1)
    wanted = exported.ask_keras([text.encode() for text in texts])["probabilities"]
    np.testing.assert_allclose(found, wanted, **CLOSE)


def test_only_reviewed_operations(exports: dict[str, Exported], tmp_path: Path) -> None:
    """Every operation is in the reviewed list: TF Serving 2.20 registers those, and none needs a table or a file."""
    task, labels = KINDS["single"]
    other = ENCODER.model_copy(update={"norm": "post", "positions": "rotary", "pooling": "cls"})
    tokenizer = golden_text.tokenizer(lowercase=False, strip_accents=False)
    model = tiny_model(tokenizer, labels.outputs, other)
    export_saved_model(model, tmp_path / "other", tokenizer=tokenizer, labels=labels, task=task)
    as_mediapipe = dataclasses.replace(golden_text.tokenizer(), strip_accents=False, mediapipe_compatible=True)
    model = tiny_model(as_mediapipe, labels.outputs)
    export_saved_model(model, tmp_path / "mediapipe", tokenizer=as_mediapipe, labels=labels, task=task)
    folders = [tmp_path / "other", tmp_path / "mediapipe", *(exported.folder for exported in exports.values())]
    used = set.union(*map(operations, folders))
    if os.environ.get("UPDATE_GOLDEN"):
        OPS_FILE.write_text("".join(f"{name}\n" for name in sorted(used)))
    assert used <= set(OPS_FILE.read_text().split())
    assert not missing(used)
    assert not [name for name in used if "Table" in name or "PyFunc" in name or name.startswith("Xla")]
    assert not [folder for folder in folders if any((folder / "assets").glob("*"))]
    assert not any(len(meta_graph(folder).asset_file_def) for folder in folders)


def test_byte_pairs_need_tensorflow_alone(exports: dict[str, Exported]) -> None:
    of_tf_text = {"CaseFoldUTF8", "FastWordpieceTokenizeWithOffsets", "NormalizeUTF8", "RegexSplitWithOffsets"}
    assert of_tf_text < operations(exports["single"].folder)
    used = operations(exports["byte_pair"].folder)
    assert not [name for name in used if name in of_tf_text or name.startswith("TFText>")]


def test_no_function_is_compiled_with_xla(exported: Exported) -> None:
    functions = meta_graph(exported.folder).graph_def.library.function
    assert not [f.signature.name for f in functions if f.attr["_XlaMustCompile"].b]


def test_extra_files_lie_beside_the_model(exported: Exported) -> None:
    extra = exported.folder / "assets.extra"
    assert (extra / "a.txt").read_bytes() == b"a"
    assert LabelSpace.load(extra) == exported.labels
    assert Tokenizer.load(extra) == exported.tokenizer
    assert not [path for path in exported.folder.parent.iterdir() if path != exported.folder and path.name[0] == "."]


def test_warm_up_requests_can_be_asked(exported: Exported) -> None:
    loaded = signatures(exported)
    records = tf.data.TFRecordDataset(str(exported.folder / "assets.extra" / "tf_serving_warmup_requests"))
    requests = [prediction_log_pb2.PredictionLog.FromString(r.numpy()).predict_log.request for r in records]
    sizes = []
    for request in requests:
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        sizes.append(loaded[request.model_spec.signature_name](**inputs)["score"].shape[0])
    assert sizes == [1, 1, 2]


def test_refuses_a_folder_that_holds_something(exports: dict[str, Exported]) -> None:
    exported = exports["single"]
    with pytest.raises(ModelError, match="something is there already"):
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
    with pytest.raises(ModelError, match="answers otherwise"):
        export_saved_model(model, tmp_path / "m", tokenizer=tokenizer, labels=labels, task=task)
    assert list(tmp_path.iterdir()) == []


class Drifting(keras.layers.Layer):
    """Answers a little more in a graph than eagerly, as an operation that is fused otherwise may."""

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return shape

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs if tf.executing_eagerly() else inputs * (1.0 + DRIFT)


DRIFT = 0.02


@pytest.mark.parametrize(("kind", "scaled"), [("single", 5.0), ("number", 0.1)])
def test_a_float32_model_is_held_to_float32s_tolerance(kind: str, scaled: float, tmp_path: Path) -> None:
    """The layers that take the token ids are int32, which is no half precision."""
    task, labels = KINDS[kind]
    tokenizer = golden_text.tokenizer()
    model = tiny_model(tokenizer, labels.outputs)
    assert tolerance_of(model) == TOLERANCE["float32"]
    drifting = keras.Model(model.inputs, Drifting()(model.outputs[0] * scaled))
    with pytest.raises(ModelError, match="answers otherwise") as caught:
        export_saved_model(drifting, tmp_path / "m", tokenizer=tokenizer, labels=labels, task=task)
    apart = float(re.search(r"up to (\S+) apart", caught.value.got)[1])
    scale = labels.std if task.type == "regression" else 1.0
    assert apart < TOLERANCE["half"] * scale, "what the tolerance of half precision would let through"


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


def test_exports_a_model_made_under_a_strategy(tmp_path: Path) -> None:
    """Two logical CPUs need a process of their own: devices are settled before TensorFlow starts."""
    script = (
        "import sys, tensorflow as tf\n"
        f"sys.path.insert(0, {str(SUPPORT)!r})\n"
        "cpu = tf.config.list_physical_devices('CPU')[0]\n"
        "tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)\n"
        "import tiny_exports\n"
        "from models.errors import ModelError\n"
        "from models.saved.export import TOLERANCE, export_saved_model, tolerance_of\n"
        "task, labels = tiny_exports.KINDS['single']\n"
        "tokenizer = tiny_exports.golden_text.tokenizer()\n"
        "rest = dict(tokenizer=tokenizer, labels=labels, task=task)\n"
        "with tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1']).scope():\n"
        "    model = tiny_exports.tiny_model(tokenizer, 3)\n"
        "    try:\n"
        "        export_saved_model(model, sys.argv[1], **rest)\n"
        "    except ModelError as error:\n"
        "        assert 'in the scope of a strategy' in str(error)\n"
        "    else:\n"
        "        raise AssertionError\n"
        "assert len(model.variables[0].value.values) == 2\n"
        "export_saved_model(model, sys.argv[1], **rest)\n"
    )
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", script, str(tmp_path / "m")]
    done = subprocess.run(command, cwd=root, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    loaded = tf.saved_model.load(str(tmp_path / "m"))
    assert len(loaded.weights) == len({variable.name for variable in loaded.weights})
    assert np.isfinite(loaded.signatures["serving_default"](text=tf.constant(TEXTS))["score"]).all()
