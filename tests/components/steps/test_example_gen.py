"""Tables of every format through the component, as TFX runs it."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import tensorflow as tf
from example_gen_runs import Project, Splits, write_csv
from tfx.proto import example_gen_pb2

from components.config import DataConfig
from components.data.formats.files import newest_span
from components.data.rows import Record
from components.data.splits import sources
from components.steps.example_gen import InputProcessor
from components.tf_examples import to_example
from models.config import TaskConfig, TokenizerConfig
from models.errors import DataError

HARD = ['say "hi"', "two\nlines\r\n", "中文，日本語", "é \u200b \ufeff", "NUL \0", "🏳️‍🌈", "x" * 100_000, " ", ""]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def texts(splits: Splits) -> dict[str, list[str]]:
    return {name: [record.text for record in records] for name, records in splits.items()}


def test_hashed_splits_hold_every_row_once_and_in_order(project: Project) -> None:
    rows = [(f"{text}{number}", "ab"[number % 2], "x" if number % 3 else "") for number in range(40) for text in HARD]
    write_csv(project.folder / "t.csv", rows, ("text", "label", "source"))
    splits = project.run(DataConfig(path="t.csv"))
    (source,) = sources(DataConfig(path="t.csv"))
    expected: Splits = {"train": [], "eval": [], "test": []}
    for text, label, other in rows:
        record = Record(text, None, (label,), None, {"source": other} if other else {})
        expected[source.split(record, TaskConfig())].append(record)
    assert splits == expected
    assert min(map(len, splits.values())) > 20


def test_rows_keep_their_splits_when_rows_and_columns_are_added(project: Project) -> None:
    rows = [(f"text {number}", "ab"[number % 2]) for number in range(100)]
    write_csv(project.folder / "t.csv", rows)
    before = texts(project.run(DataConfig(path="t.csv")))
    more = [("new", f"text {number}", "ab"[number % 2]) for number in range(150, -1, -1)]
    write_csv(project.folder / "t.csv", more, ("source", "text", "label"))
    after = texts(project.run(DataConfig(path="t.csv")))
    assert all(set(before[name]) <= set(after[name]) for name in before)


def test_given_splits_of_several_folders_and_formats(project: Project) -> None:
    write_csv(project.folder / "a" / "one.csv", [("a1", "x"), ("a2", "y")])
    write_csv(project.folder / "b" / "two.csv", [("b1", "x")])
    write_csv(project.folder / "b" / "three.csv", [("b2", "x")])
    with gzip.open(project.folder / "dev.jsonl.gz", "wb") as stream:
        stream.write(b'{"text": "d1", "label": 1}\n')
    pyarrow.parquet.write_table(pyarrow.table({"text": ["t1"], "label": ["x"]}), project.folder / "test.parquet")
    data = DataConfig(train=("b/*.csv", "a/one.csv", "b/two.csv"), eval="dev.jsonl.gz", test="test.parquet")
    assert texts(project.run(data)) == {"train": ["b2", "b1", "a1", "a2"], "eval": ["d1"], "test": ["t1"]}


def test_a_tenth_of_train_becomes_eval(project: Project) -> None:
    write_csv(project.folder / "train.csv", [(f"text {number}", "x") for number in range(300)])
    found = texts(project.run(DataConfig(train=str(project.folder / "train.csv"))))
    assert 15 < len(found["eval"]) < 45
    assert len(found["train"]) + len(found["eval"]) == 300
    assert not set(found["train"]) & set(found["eval"])


def test_dedupe_keeps_test_before_eval_before_train(project: Project) -> None:
    write_csv(project.folder / "train.csv", [("a", "1"), ("b", "1"), ("c", "1"), ("a ", "2"), ("d", "1")])
    write_csv(project.folder / "dev.csv", [("b", "2"), ("c", "2"), ("e", "2"), ("e", "3")])
    write_csv(project.folder / "test.csv", [("c", "4"), ("c", "3")])
    splits = project.run(DataConfig(train="train.csv", eval="dev.csv", test="test.csv", dedupe=True))
    found = {name: sorted((record.text, record.labels[0]) for record in records) for name, records in splits.items()}
    assert found == {"train": [("a", "1"), ("d", "1")], "eval": [("b", "2"), ("e", "2")], "test": [("c", "4")]}


def test_dedupe_keeps_one_spelling_as_the_tokenizer_reads_it(project: Project) -> None:
    spellings = ["A café", "a cafe\u0301", "A\u00a0café", "a  cafe"]
    write_csv(project.folder / "train.csv", [(text, "x") for text in spellings])
    write_csv(project.folder / "dev.csv", [("other", "x")])
    data = DataConfig(train="train.csv", eval="dev.csv", dedupe=True)
    assert texts(project.run(data))["train"] == ["A café"]
    cased = TokenizerConfig(lowercase=False, strip_accents=False)
    assert texts(project.run(data, tokenizer=cased))["train"] == ["A café", "a cafe\u0301", "a  cafe"]


def test_the_rows_of_one_author_are_in_one_split(project: Project) -> None:
    rows = [(f"text {n}", "ab"[n % 2], f"author {n % 40}") for n in range(400)]
    write_csv(project.folder / "t.csv", rows, ("text", "label", "author"))
    splits = project.run(DataConfig(path="t.csv", split_by="author"))
    authors = [{record.others["author"] for record in records} for records in splits.values()]
    assert sum(map(len, authors)) == len(set.union(*authors)) == 40
    assert sum(map(len, splits.values())) == 400


def test_a_premise_is_in_one_split(project: Project) -> None:
    rows = [(f"premise {n // 3}", f"hypothesis {n}", "ab"[n % 2]) for n in range(300)]
    write_csv(project.folder / "t.csv", rows, ("text", "other", "label"))
    splits = project.run(DataConfig(path="t.csv"), TaskConfig(text_pair="other"))
    premises = [{record.text for record in records} for records in splits.values()]
    assert sum(map(len, premises)) == len(set.union(*premises)) == 100


def test_the_newest_span_is_read(project: Project) -> None:
    write_csv(project.folder / "span-9" / "train.csv", [("old", "x")])
    write_csv(project.folder / "span-10" / "train.csv", [("new", "x")])
    write_csv(project.folder / "test.csv", [("fixed", "x")])
    data = DataConfig(train="span-{SPAN}/train.csv", eval="test.csv", test="test.csv")
    assert texts(project.run(data))["train"] == ["new"]
    project.run(data)
    assert len(project.executions()) == 1
    write_csv(project.folder / "span-11" / "train.csv", [("newer", "x")])
    assert texts(project.run(data)) == {"train": ["newer"], "eval": ["fixed"], "test": ["fixed"]}
    assert newest_span("span-{SPAN}/train.csv", project.folder) == "span-11/train.csv"
    with pytest.raises(DataError, match="no span"):
        project.run(DataConfig(train="none-{SPAN}/train.csv"))


def test_spans_and_globs_below_a_folder_whose_name_looks_like_a_pattern(tmp_path: Path) -> None:
    base = tmp_path / "project [v2]*"
    for name, text in (("007", "old"), ("08", "new")):
        write_csv(base / "data [1]" / name / "train.csv", [(text, "x")])
    write_csv(base / "test-1.csv", [("fixed", "x")])
    data = DataConfig(train="data [1]/{SPAN}/*.csv", eval="test-?.csv")
    processor = InputProcessor(
        str(base), [example_gen_pb2.Input.Split(name=s.key, pattern=s.patterns[0]) for s in sources(data)]
    )
    assert processor.resolve_span_and_version() == (8, None)
    assert processor.get_pattern_for_span_version(str(data.train), 8, None) == "data [1]/08/*.csv"
    before = processor.get_input_fingerprint(8, None)
    write_csv(base / "data [1]" / "08" / "train.csv", [("newer", "x")])
    assert processor.get_input_fingerprint(8, None) != before
    with pytest.raises(DataError, match="no span") as caught:
        InputProcessor(
            str(tmp_path),
            [
                example_gen_pb2.Input.Split(name="a", pattern="project [v2]*/data [1]/{SPAN}/*.csv"),
                example_gen_pb2.Input.Split(name="b", pattern="project [v2]*/test-{SPAN}.csv"),
            ],
        ).resolve_span_and_version()
    assert caught.value.got.endswith("*.csv: 8, project [v2]*/test-{SPAN}.csv: 1")


def test_only_settings_that_affect_the_examples_read_the_data_again(project: Project) -> None:
    path = write_csv(project.folder / "train.csv", [("a", "x"), ("b", "y")])
    data = DataConfig(train="train.csv")
    project.run(data)
    os.utime(path, (0, 0))
    project.run(data.model_copy(update={"schema_path": "schema.pbtxt"}), TaskConfig(labels=("x", "y"), threshold=0.3))
    assert len(project.executions()) == 1
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"a,x", b"c,x"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as if changed within the same second
    assert path.stat().st_size == before.st_size
    project.run(data)
    assert len(project.executions()) == 2
    project.run(data, tokenizer=TokenizerConfig(lowercase=False))
    assert len(project.executions()) == 2
    project.run(data.model_copy(update={"dedupe": True}))
    assert len(project.executions()) == 3


@pytest.mark.parametrize(
    ("content", "what", "got"),
    [
        (b"text,label\nfine,x\nb\xffd,y\n", "row 2 (line 3): not UTF-8", "byte 0xff at byte 19"),
        (b"text,label\nfine,x\nbad,\n", "cannot be learned from", "no label in 1 of 2 rows: row 2 (line 3)"),
        (b"words,label\na,x\n", "there is no column 'text'", "'words', 'label'"),
    ],
)
def test_transoms_errors_come_out_of_beam_whole(project: Project, content: bytes, what: str, got: str) -> None:
    (project.folder / "train.csv").write_bytes(content)
    with pytest.raises(DataError) as caught:
        project.run(DataConfig(train="train.csv"))
    assert str(project.folder / "train.csv") in caught.value.what
    assert what in caught.value.what
    assert got in caught.value.got
    assert caught.value.expected
    assert caught.value.fix


def test_a_file_that_is_not_there(project: Project) -> None:
    write_csv(project.folder / "train.csv", [("a", "x")])
    with pytest.raises(DataError, match=r"no file matches trian\.csv") as caught:
        project.run(DataConfig(train="trian.csv"))
    assert "train.csv" in caught.value.got


def test_tfrecord_of_tf_example(project: Project) -> None:
    task = TaskConfig(type="regression", text_pair="text_b")
    written = [Record(f"text {number}", "b", (), number / 4, {"source": "s"}) for number in range(5)]
    with tf.io.TFRecordWriter(str(project.folder / "t.tfrecord")) as writer:
        for record in written:
            writer.write(to_example(record, task))
    splits = project.run(DataConfig(train="t.tfrecord", eval="t.tfrecord"), task)
    assert splits == {"train": written, "eval": written}


@pytest.mark.parametrize(
    ("task", "label", "expected"),
    [
        ("single_label", "x", Record("a", None, ("x",), None, {})),
        ("multi_label", "y|x", Record("a", None, ("y", "x"), None, {})),
        ("multi_label", "", Record("a", None, (), None, {})),
        ("regression", "0.1", Record("a", None, (), pytest.approx(0.1), {})),
    ],
)
def test_answers(project: Project, task: str, label: str, expected: Record) -> None:
    write_csv(project.folder / "t.csv", [("a", label)])
    splits = project.run(DataConfig(train="t.csv", eval="t.csv"), TaskConfig(type=task))
    assert splits["train"] == [expected]


def test_features_of_a_row_without_labels() -> None:
    """An empty list, which TFX distinguishes from a missing value."""
    task = TaskConfig(type="multi_label", text="sentence", text_pair="other")
    example = tf.train.Example.FromString(to_example(Record("é", "", (), None, {"z": "1"}), task))
    features = example.features.feature
    assert set(features) == {"sentence", "other", "label", "z"}
    assert features["sentence"].bytes_list.value == ["é".encode()]
    assert features["other"].bytes_list.value == [b""]
    assert features["label"].WhichOneof("kind") == "bytes_list"
    assert not features["label"].bytes_list.value


def test_json_labels_are_kept_unchanged(project: Project) -> None:
    rows = [{"text": "a", "label": ["x", 2]}, {"text": "b", "label": []}]
    (project.folder / "t.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    splits = project.run(DataConfig(train="t.jsonl", eval="t.jsonl"), TaskConfig(type="multi_label"))
    assert [record.labels for record in splits["train"]] == [("x", "2"), ()]
