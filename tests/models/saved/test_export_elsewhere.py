"""Exported models in other processes: TensorFlow 1's session, the C API, without Keras; and their operations."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import golden_text
import numpy as np
import pytest
import tensorflow as tf
from exported_signatures import CLOSE, TEXTS, examples, meta_graph, operations
from tiny_exports import ENCODER, KINDS, Exported, tiny_model

from models.saved.export import export_saved_model
from serving.publish.operations import missing

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


@pytest.mark.parametrize("kind", ["single", "byte_pair"])
def test_tf1_session_loads_it_as_tf_serving_does(kind: str, all_exports: dict[str, Exported]) -> None:
    exported = all_exports[kind]
    serialized = examples(exported, TEXTS)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signature = tf.compat.v1.saved_model.load(session, ["serve"], str(exported.folder)).signature_def["classify"]
        fetched = {name: info.name for name, info in signature.outputs.items()}
        found = session.run(fetched, {signature.inputs["inputs"].name: serialized})
    np.testing.assert_allclose(found["scores"], exported.ask_keras(TEXTS)["probabilities"], **CLOSE)
    assert found["classes"].shape == found["scores"].shape == (len(TEXTS), 3)


@pytest.mark.slow
def test_loads_without_keras_and_without_this_project(all_exports: dict[str, Exported], tmp_path: Path) -> None:
    arguments = [part for kind, exported in all_exports.items() for part in (kind, str(exported.folder))]
    done = subprocess.run(
        [sys.executable, "-c", STANDALONE, *arguments],
        input=json.dumps([text.hex() for text in TEXTS]).encode(),
        capture_output=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    for kind, found in json.loads(done.stdout).items():
        exported = all_exports[kind]
        wanted = exported.ask_keras(TEXTS, TEXTS if exported.task.text_pair else None)
        np.testing.assert_allclose(found["score"], wanted["score"], **CLOSE)
        if "label" in found:
            assert found["label"] == [label.decode() for label in wanted["label"]]


@pytest.mark.parametrize("kind", ["single", "sentencepiece", "multi"])
def test_the_c_api_loads_and_asks_it_as_tf_serving_does(kind: str, all_exports: dict[str, Exported]) -> None:
    exported = all_exports[kind]
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


@pytest.mark.slow
def test_only_reviewed_operations(all_exports: dict[str, Exported], tmp_path: Path) -> None:
    """Every operation is in the reviewed list: TF Serving 2.20 registers those, and none needs a table or a file."""
    task, labels = KINDS["single"]
    other = ENCODER.model_copy(update={"norm": "post", "positions": "rotary", "pooling": "cls"})
    tokenizer = golden_text.tokenizer(lowercase=False, strip_accents=False)
    model = tiny_model(tokenizer, labels.outputs, other)
    export_saved_model(model, tmp_path / "other", tokenizer=tokenizer, labels=labels, task=task)
    as_mediapipe = dataclasses.replace(golden_text.tokenizer(), strip_accents=False, mediapipe_compatible=True)
    model = tiny_model(as_mediapipe, labels.outputs)
    export_saved_model(model, tmp_path / "mediapipe", tokenizer=as_mediapipe, labels=labels, task=task)
    folders = [tmp_path / "other", tmp_path / "mediapipe", *(exported.folder for exported in all_exports.values())]
    used = set.union(*map(operations, folders))
    if os.environ.get("UPDATE_GOLDEN"):
        OPS_FILE.write_text("".join(f"{name}\n" for name in sorted(used)))
    assert used <= set(OPS_FILE.read_text().split())
    assert not missing(used)
    assert not [name for name in used if "Table" in name or "PyFunc" in name or name.startswith("Xla")]
    assert not [folder for folder in folders if any((folder / "assets").glob("*"))]
    assert not any(len(meta_graph(folder).asset_file_def) for folder in folders)


def test_byte_pairs_need_tensorflow_alone(all_exports: dict[str, Exported]) -> None:
    of_tf_text = {"CaseFoldUTF8", "FastWordpieceTokenizeWithOffsets", "NormalizeUTF8", "RegexSplitWithOffsets"}
    assert of_tf_text < operations(all_exports["single"].folder)
    used = operations(all_exports["byte_pair"].folder)
    assert not [name for name in used if name in of_tf_text or name.startswith("TFText>")]


@pytest.mark.slow
def test_exports_a_model_made_under_a_strategy(tmp_path: Path) -> None:
    """Two logical CPUs need a separate process: devices are fixed before TensorFlow starts."""
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
