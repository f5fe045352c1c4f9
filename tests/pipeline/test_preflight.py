"""Errors that are found before TensorFlow is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_checkpoints
from safetensors.numpy import save_file

from models.errors import ConfigError, DataError, GateError, PresetError, TrainingError
from pipeline import preflight
from pipeline.config import ProjectConfig
from pipeline.paths import Paths

GOOD = "text,label,source\n" + "".join(f"text {n},{'ab'[n % 2]},{'xyz'[n % 3]}\n" for n in range(60))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "t.csv").write_text(GOOD, encoding="utf-8")
    return tmp_path


def check(folder: Path, **config: Any) -> None:
    project = ProjectConfig.model_validate({"data": {"path": "t.csv"}, **config})
    preflight.check(project, Paths(folder, folder / "out", folder / "out" / "serving", folder / "out" / "edge"))


def judged(name: str) -> dict[str, Any]:
    """A threshold on a slice."""
    return {"evaluation": {"thresholds": {"accuracy": {"min": 0.5, "slices": [name]}}}}


def test_columns_and_values_with_equals_signs(folder: Path) -> None:
    rows = "".join(f"text {n},{'ab'[n % 2]},k=v,x=1=y\n" for n in range(60))
    (folder / "t.csv").write_text("text,label,a,a=b\n" + rows, encoding="utf-8")
    check(folder, evaluation={"slices": ["a", "a=b"]})
    for name in ("a", "a=b", "a=k=v", "a=b=x=1=y", "label=a", "text_length=0-15 characters", "a=(missing)"):
        check(folder, **judged(name))
    for name in ("a=k", "a=b=x", "a=b=c", "text_length=1-2"):
        with pytest.raises(ConfigError, match=f"no row is in slice '{name}'"):
            check(folder, **judged(name))


def test_good_data_pass_and_nothing_is_written(folder: Path) -> None:
    check(folder)
    check(folder, evaluation={"slices": ["source", "label"], "thresholds": {"accuracy": {"min": 0.5}}})
    assert [path.name for path in folder.iterdir()] == ["t.csv"]


def test_tensorflow_is_not_loaded(folder: Path, repository: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pipeline import preflight; from pipeline.init import new_project; "
        "from pipeline.config import ProjectConfig; from pipeline.paths import Paths\n"
        f"base = Path({str(folder)!r})\n"
        "preflight.check(ProjectConfig(data={'path': 't.csv'}), Paths(base, base, base / 's', base / 'e'))\n"
        "new_project.write(base / 't.csv')\n"
        "print([name for name in ('tensorflow', 'tfx', 'apache_beam', 'keras') if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=repository)
    assert output.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("content", "kind", "what"),
    [
        ("text,labels\na,b\n", DataError, "there is no column 'label'"),
        ("text,label\na,b\nc\n", DataError, "row 2 (line 3): fewer fields"),
        ("text,label\na,b\nc,\n", DataError, "cannot be learned from"),
        ("text,label\n", DataError, "has no rows"),
        ("", DataError, "is empty"),
        ("text,label\na,x\n" + "".join(f"t{n},x\n" for n in range(50)), GateError, "stops the run"),
        ("text,label\n" + "".join(f"t{n},l{n}\n" for n in range(300)), DataError, "does not hold labels"),
    ],
)
def test_tables_that_cannot_be_used(folder: Path, content: str, kind: type[Exception], what: str) -> None:
    (folder / "t.csv").write_text(content, encoding="utf-8")
    with pytest.raises(kind) as caught:
        check(folder)
    assert what in str(caught.value)


def test_an_error_late_in_a_file_is_found(folder: Path) -> None:
    (folder / "t.csv").write_bytes(GOOD.encode() * 20 + b"\xff,a,x\n")
    with pytest.raises(DataError, match=r"row 1,201 \(line 1,221\): not UTF-8"):
        check(folder)


def test_a_truncated_tfrecord(folder: Path) -> None:
    record = (3).to_bytes(8, "little") + b"csumabccsum"
    (folder / "t.tfrecord").write_bytes(record * 2 + record[:-1])
    with pytest.raises(DataError, match="row 3: the TFRecord is truncated"):
        check(folder, data={"path": "t.tfrecord"})


@pytest.mark.parametrize(
    ("config", "kind", "what"),
    [
        ({"data": {"path": "none.csv"}}, DataError, "data.path: no file matches none.csv"),
        ({"data": {"train": "t.csv", "test": "./t.csv"}}, ConfigError, "data.train and data.test name the same file"),
        ({"task": {"type": "regression"}}, DataError, "cannot be learned from"),
        ({"task": {"labels": ["a", "c"]}}, GateError, "unseen_label in train"),
        ({"data": {"path": "t.csv", "schema_path": "s.pbtxt"}}, ConfigError, "data.schema_path"),
        ({"evaluation": {"slices": ["sauce"]}}, ConfigError, "there is no column 'sauce' to slice by"),
        ({"evaluation": {"slices": ["text"]}}, ConfigError, "there is no column 'text' to slice by"),
        ({"evaluation": {"thresholds": {"recall/c": {"min": 0.1}}}}, ConfigError, "evaluation.thresholds.recall/c"),
        ({"train": {"class_weights": {"c": 2.0}}}, ConfigError, "train.class_weights"),
        ({"evaluation": {"slices": ["source=x"]}}, ConfigError, "'source=x', which is one value of 'source'"),
        (judged("source=w"), ConfigError, "no row is in slice 'source=w'"),
        (judged("label=c"), ConfigError, "no row is in slice 'label=c'"),
        (judged("sauce=x"), ConfigError, "there is no column 'sauce' to slice by"),
        ({"model": {"type": "preset", "preset": "weights"}}, PresetError, "weights"),
    ],
)
def test_configurations_that_do_not_fit(folder: Path, config: dict, kind: type[Exception], what: str) -> None:
    (folder / "weights").mkdir()
    with pytest.raises(kind) as caught:
        check(folder, **config)
    assert what in str(caught.value)


def test_a_label_that_training_lacks(folder: Path) -> None:
    (folder / "test.csv").write_text("text,label,source\nnew,c,x\n", encoding="utf-8")
    data = {"train": "t.csv", "test": "test.csv"}
    with pytest.raises(GateError, match=r"unseen_label in test.*c \(1\)"):
        check(folder, data=data)
    check(folder, data=data, gate={"unseen_label": "warn"})


def test_an_empty_hashed_split(folder: Path) -> None:
    (folder / "t.csv").write_text("text,label\na,x\nb,y\nc,x\n", encoding="utf-8")
    with pytest.raises(GateError, match="empty_split"):
        check(folder)


def test_of_large_files_only_the_first_rows_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_WHOLE_BYTES", 100)
    (folder / "t.csv").write_bytes(b"text,label\n" + b"t,a\n" * 1001 + b"\xff\n")
    check(folder)
    (folder / "t.csv").write_bytes(b"text,label\n" + b"t,a\n" * 99 + b"\xff\n")
    with pytest.raises(DataError, match="row 100"):
        check(folder)


def test_folders_that_cannot_be_written(folder: Path) -> None:
    config = ProjectConfig.model_validate({"data": {"path": "t.csv"}})
    with pytest.raises(ConfigError, match=r"push\.directory.*cannot be a folder"):
        preflight.check(config, Paths(folder, folder, folder / "t.csv" / "serving", folder / "edge"))
    with pytest.raises(ConfigError, match=r"output: .*cannot be read"):
        preflight.check(config, Paths(folder, folder / ("x" * 300), folder / "serving", folder / "edge"))
    # a file system that not even root can write to
    with pytest.raises(ConfigError, match=r"output: .*cannot be written"):
        preflight.check(config, Paths(folder, Path("/proc/transom/out"), folder / "serving", folder / "edge"))


@pytest.mark.parametrize(("key", "file"), [("push", "saved_model.pb"), ("edge", "edge.json")])
def test_a_push_folder_of_dated_tables_is_refused(folder: Path, key: str, file: str) -> None:
    """LiveModel would use the newest as the live model, and a server would try to load it."""
    (folder / "mine" / "20240101").mkdir(parents=True)
    (folder / "mine" / "20240101" / "t.csv").touch()
    config = ProjectConfig.model_validate({"data": {"path": "t.csv"}})
    paths = Paths(
        folder, folder / "out", **{"push": folder / "out" / "p", "edge": folder / "out" / "e", key: folder / "mine"}
    )
    with pytest.raises(ConfigError, match=rf"{key}\.directory.*not models\n.*20240101"):
        preflight.check(config, paths)
    (folder / "mine" / "20240101" / file).touch()
    preflight.check(config, paths)


def test_what_the_edge_cannot_be(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"'FULLY_CONECTED'.*\n.*\n.*did you mean FULLY_CONNECTED"):
        check(folder, edge={"budget": {"operations": ["FULLY_CONECTED"]}})
    check(folder, edge={"budget": {"operations": ["FULLY_CONNECTED", "custom Mine"]}})
    config = ProjectConfig.model_validate({"data": {"path": "t.csv"}})
    with pytest.raises(ConfigError, match="loads every numbered folder there as a SavedModel"):
        preflight.check(config, Paths(folder, folder, folder / "models", folder / "models"))
    with pytest.raises(ConfigError, match=r"edge\.directory.*cannot be a folder"):
        preflight.check(config, Paths(folder, folder, folder / "models", folder / "t.csv" / "edge"))
    off = ProjectConfig.model_validate({"data": {"path": "t.csv"}, "edge": {"variants": []}})
    preflight.check(off, Paths(folder, folder, folder / "models", folder / "t.csv" / "edge"))


def test_a_preset_whose_vocabulary_cannot_be_used(folder: Path) -> None:
    """Refused before TensorFlow is loaded, and before anything is read or trained."""
    weights = folder / "weights"
    weights.mkdir()
    sizes = ("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers", "max_position_embeddings")
    config = {"model_type": "bert", "vocab_size": 6, "hidden_act": "gelu", "layer_norm_eps": 1e-12}
    config |= {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
    (weights / "config.json").write_text(json.dumps(config | dict(zip(sizes, (8, 16, 2, 1, 24), strict=True))))
    (weights / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\n")
    save_file({"weight": np.zeros(1)}, weights / "model.safetensors")
    check(folder, model={"preset": "weights"}, tokenizer={"max_length": 16})
    with pytest.raises(PresetError, match=r"tokenizer\.max_length is more than preset"):
        check(folder, model={"preset": "weights"}, tokenizer={"max_length": 512})
    for more in ({"num_layers": 2}, {"freeze": 2}):
        with pytest.raises(PresetError, match=rf"model\.{next(iter(more))} is more than"):
            check(folder, model={"preset": "weights", **more}, tokenizer={"max_length": 16})
    with pytest.raises(ConfigError, match=r"train\.shards\n.*3, for preset 'weights'\n.*heads, which is 2"):
        check(folder, model={"preset": "weights"}, tokenizer={"max_length": 16}, train={"backend": "jax", "shards": 3})
    check(folder, model={"preset": "weights"}, tokenizer={"max_length": 16, "mediapipe_compatible": True})
    (weights / "vocab.txt").write_text("[UNK]\n[PAD]\n[CLS]\n[SEP]\na\nb\n")
    with pytest.raises(
        ConfigError, match=r"tokenizer\.mediapipe_compatible cannot be combined with .*\n.*padding with id 1"
    ):
        check(folder, model={"preset": "weights"}, tokenizer={"max_length": 16, "mediapipe_compatible": True})
    (weights / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(PresetError, match=r"vocab\.txt .* lacks \[CLS\]"):
        check(folder, model={"preset": "weights"}, tokenizer={"max_length": 16})
    (weights / "vocab.txt").unlink()
    with pytest.raises(PresetError, match="has no vocabulary"):
        check(folder, model={"preset": "weights"})


def test_a_preset_that_cannot_tell_two_texts_apart(folder: Path) -> None:
    tiny_checkpoints.write(folder / "roberta", "roberta")
    given: dict[str, Any] = {"task": {"text_pair": "source"}, "tokenizer": {"max_length": 16}}
    check(folder, model={"preset": "roberta"}, **given)
    with pytest.raises(PresetError, match=r"model\.pair_encoding is both"):
        check(folder, model={"preset": "roberta", "pair_encoding": "both"}, **given)
    check(folder, model={"preset": "roberta", "pair_encoding": "both"}, tokenizer={"max_length": 16})


def test_numbers_whose_units_differ_between_tables(folder: Path) -> None:
    for name, unit in (("train", "%"), ("test", "")):
        rows = "".join(f"text {name} {n},{n}{unit}\n" for n in range(1, 40))
        (folder / f"{name}.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    with pytest.raises(DataError, match="all tables together") as caught:
        check(folder, data={"train": "train.csv", "test": "test.csv"}, task={"type": "regression"})
    assert "% in 39 rows, none in 39 rows" in caught.value.got


def test_labels_that_differ_in_spelling_alone_stop_where_they_shall(folder: Path) -> None:
    rows = "".join(f"text {n},{['Spam', 'spam'][n % 2]}\n" for n in range(60))
    (folder / "t.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    check(folder)
    with pytest.raises(GateError, match=r"'Spam'.*'spam'"):
        check(folder, gate={"label_spelling": "error"})


@pytest.mark.parametrize("column", ["label", "missing"])
def test_columns_that_cannot_divide_rows(folder: Path, column: str) -> None:
    check(folder, data={"path": "t.csv", "split_by": ["source", "text"]})
    with pytest.raises(ConfigError, match=r"data\.split_by") as caught:
        check(folder, data={"path": "t.csv", "split_by": column})
    assert "source, text" in caught.value.expected


def test_a_framework_is_needed_only_where_the_run_trains(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSOM_BACKENDS", str(folder))
    monkeypatch.delenv("TRANSOM_JAX_PYTHON", raising=False)
    project = ProjectConfig.model_validate({"data": {"path": "t.csv"}, "train": {"backend": "jax"}})
    paths = Paths(folder, folder / "out", folder / "out" / "serving", folder / "out" / "edge")
    preflight.check(project, paths, trains=False)
    with pytest.raises(TrainingError, match="transom backends install jax"):
        preflight.check(project, paths)


def test_a_table_with_too_many_columns_is_refused_before_its_statistics_take_hours(folder: Path) -> None:
    names = ",".join(f"c{number}" for number in range(10_001))
    (folder / "t.csv").write_text(f"text,label,{names}\n" + f"a,x{',1' * 10_001}\n" * 3, encoding="utf-8")
    with pytest.raises(DataError, match="too many columns"):
        check(folder)
