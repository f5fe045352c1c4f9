"""What `transom init` makes of tables that nobody has described."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from components.config import DataConfig
from components.data.formats.readers import open_table
from components.data.rows import records
from models.errors import ConfigError, DataError
from pipeline import project_names
from pipeline.cli import main
from pipeline.config import ProjectConfig
from pipeline.configuration.yaml_text import read_yaml
from pipeline.init.new_project import infer, project_name, write


def config_of(text: str) -> ProjectConfig:
    return ProjectConfig.model_validate(read_yaml(text))


def write_csv(path: Path, header: list[str], rows: list[list[object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter="\t" if path.suffix == ".tsv" else ",").writerows([header, *rows])
    return path


def sentence(number: int) -> str:
    return f"the {number}th sentence, with some words in it"


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "task", "text", "pair", "splits"),
    [
        ("atis", "single_label", "text", None, {"eval", "test"}),
        ("banking77", "single_label", "text", None, {"test"}),
        ("chnsenticorp", "single_label", "text", None, {"eval", "test"}),
        ("mrpc", "single_label", "text_a", "text_b", {"eval", "test"}),
        ("sst2", "single_label", "text", None, {"eval", "test"}),
        ("stsb_en", "regression", "text_a", "text_b", {"eval", "test"}),
        ("te_emotion", "single_label", "text", None, {"eval", "test"}),
        ("trec6", "single_label", "text", None, {"test"}),
    ],
)
def test_real_data(datasets: Path, name: str, task: str, text: str, pair: str | None, splits: set[str]) -> None:
    written = infer(datasets / name / "train.csv")
    config = config_of(written)
    assert (config.name, config.task.type, config.task.label) == (name, task, "label")
    assert (config.task.text, config.task.text_pair) == (text, pair)
    assert (config.data.train, config.data.path) == ("train.csv", None)
    assert {split for split in ("eval", "test") if getattr(config.data, split)} == splits
    assert ("class_weights: balanced gives" in written) == (name in ("atis", "trec6"))
    assert ("test has labels that train lacks" in written) == (name == "atis")


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        # the names, in whatever order
        (["label", "id", "text"], lambda n: ["ab"[n % 2], n, sentence(n)], ("single_label", "text", None, "label")),
        # no name says anything
        (["c1", "c2", "c3"], lambda n: [n, sentence(n), "ab"[n % 2]], ("single_label", "c2", None, "c3")),
        (["Review", "Stars"], lambda n: [sentence(n), n % 5 + 1], ("single_label", "Review", None, "Stars")),
        (["review", "rating"], lambda n: [sentence(n), n % 101], ("regression", "review", None, "rating")),
        (["text", "label"], lambda n: [sentence(n), n % 30], ("single_label", "text", None, "label")),
        (["text", "price"], lambda n: [sentence(n), n * 1.5], ("regression", "text", None, "price")),
        # the only other column, but it tells rows apart
        (["text", "id"], lambda n: [sentence(n), n * 7], ("error", "", "", "")),
        (["text", "n"], lambda n: [sentence(n), n + 4], ("error", "", "", "")),
        (["text", "score"], lambda n: [sentence(n), n / 8], ("regression", "text", None, "score")),
        (
            ["premise", "hypothesis", "label"],
            lambda n: [sentence(n), sentence(-n), "xyz"[n % 3]],
            ("single_label", "premise", "hypothesis", "label"),
        ),
        (
            ["Sentence1", "Sentence2", "similarity_score"],
            lambda n: [sentence(n), sentence(-n), n / 8],
            ("regression", "Sentence1", "Sentence2", "similarity_score"),
        ),
        (
            ["question", "answer"],
            lambda n: [sentence(n), ["yes", "no"][n % 2]],
            ("single_label", "question", None, "answer"),
        ),
        (
            ["text", "tags"],
            lambda n: [sentence(n), ["x|y", "y", "x", "z|x", ""][n % 5]],
            ("multi_label", "text", None, "tags"),
        ),
        (
            ["text", "topics"],
            lambda n: [sentence(n), ["a b; c", "c", "a b", "d; c"][n % 4]],
            ("multi_label", "text", None, "topics"),
        ),
        # a comma in a name is no separator where its parts never stand in other places
        (
            ["text", "label"],
            lambda n: [sentence(n), ["Paris, France", "Oslo, Norway"][n % 2]],
            ("single_label", "text", None, "label"),
        ),
        # short texts, by their name
        (["text", "label"], lambda n: [f"w{n}", "ab"[n % 2]], ("single_label", "text", None, "label")),
        (["text", "note"], lambda n: [sentence(n), sentence(n * 7)], ("error", "", "", "")),
    ],
)
@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_made_tables(tmp_path: Path, header: list[str], row: object, expected: tuple, ending: str) -> None:
    rows = [row(number) for number in range(300)]
    path = tmp_path / f"my reviews{ending}"
    if ending == ".csv":
        write_csv(path, header, rows)
    elif ending == ".jsonl":
        path.write_text("".join(json.dumps(dict(zip(header, one, strict=True))) + "\n" for one in rows))
    else:
        columns = zip(*rows, strict=True)
        pyarrow.parquet.write_table(pyarrow.table(dict(zip(header, map(list, columns), strict=True))), path)
    if expected[0] == "error":
        with pytest.raises(DataError, match="no column looks like a label"):
            infer(path)
        return
    config = config_of(infer(path))
    assert (config.task.type, config.task.text, config.task.text_pair, config.task.label) == expected
    assert (config.name, config.data.path) == ("my-reviews", path.name)
    if expected[3] == "topics":
        assert config.task.label_separator == ";"


def test_lists_of_labels(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    rows = [{"text": sentence(n), "label": [["a"], ["b", "a"], []][n % 3]} for n in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = infer(path)
    assert config_of(text).task.type == "multi_label"
    assert "2 labels, with their rows: a 20, b 10" in text


@pytest.mark.parametrize(
    "written",
    [
        ["['joy']", "['joy', 'fear']", "[]"],
        ['["joy"]', '["joy","fear"]', "[]"],
        ["[joy]", "[joy, fear]", "[]"],
        ["{joy}", "{joy,fear}", "{}"],
        ["frozenset({'joy'})", "frozenset({'fear', 'joy'})", "frozenset()"],
        ["array(['joy'], dtype=object)", "array(['joy', 'fear'], dtype=object)", "array([], dtype=object)"],
        ['c("joy")', 'c("joy", "fear")', "c()"],
        ['{"choices":["joy"]}', '{"choices":["joy","fear"]}', "[]"],
    ],
)
def test_lists_written_as_text_are_many_labels(tmp_path: Path, written: list[str]) -> None:
    path = write_csv(tmp_path / "t.csv", ["text", "label"], [[sentence(n), written[n % 3]] for n in range(300)])
    text = infer(path)
    assert config_of(text).task.type == "multi_label"
    assert "2 labels, with their rows: joy 200, fear 100" in text
    assert f"lists written as text, such as {written[0]}" in text
    assert "will refuse" not in text


@pytest.mark.parametrize(
    ("values", "decimal", "said"),
    [
        (["0,5", "3,5", "1.000,25"], ",", "a decimal comma"),
        (["1,000", "2,500.5", "12"], None, "answers from 12 to 2500.5"),
        (["85%", "7%", "0%"], None, "numbers in %, which is left out: 85% is 85"),
        (["$3.50", "$1,000.25", "$7"], None, "numbers in $, which is left out: $1,000.25 is 1000.25"),
        (["1 000,5", "−3", "2"], ",", "answers from -3 to 1000.5"),
        (["½", "3½", "2"], None, "answers from 0.5 to 3.5"),
        (["USD 3.50", "USD 1,000.25", "USD 0"], None, "numbers in USD, which is left out: USD 1,000.25 is 1000.25"),
        (["1.5 kg", "10kg", "0.25 kg"], None, "numbers in kg, which is left out: 0.25 kg is 0.25"),
        (["٣٫٥", "١٢", "٤"], None, "answers from 3.5 to 12"),
        (["1.000 EUR", "2.500 EUR"] * 15 + [f"{n}.000 EUR" for n in range(1, 30)], None, "'1.000 EUR' is 1 with"),
        ([f"{n} g" if n % 2 else f"{n} kg" for n in range(1, 40)], None, "numbers of different units"),
        (["1,000", "2,500"], None, "'1,000' is 1000 with a decimal point and 1 with a decimal comma"),
        (["3,5", "1,234.5"], None, "only a decimal comma"),
        (["0.85", "85%"], None, "numbers of different units"),
    ],
)
def test_numbers_as_people_write_them(tmp_path: Path, values: list[str], decimal: str | None, said: str) -> None:
    rows = [[sentence(n), values[n % len(values)]] for n in range(300)]
    text = infer(write_csv(tmp_path / "t.csv", ["text", "score"], rows))
    assert (config_of(text).task.type, config_of(text).task.decimal) == ("regression", decimal)
    assert said in text


def test_a_row_far_below_that_the_run_would_refuse(tmp_path: Path) -> None:
    rows: list[list[object]] = [[sentence(n), n / 8] for n in range(4000)]
    rows[2999][1] = "n/a"
    warned: list[str] = []
    text = infer(write_csv(tmp_path / "t.csv", ["text", "score"], rows), warn=warned.append)
    assert config_of(text).task.type == "regression"
    assert "`transom run` will refuse these data until they are corrected" in text
    assert "row 3,000 (line 3,001): 'n/a'" in warned[0]


def test_labels_that_become_lists_far_below(tmp_path: Path) -> None:
    rows = [{"text": sentence(n), "label": "ab"[n % 2] if n < 3000 else ["a", "b"]} for n in range(3500)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = infer(tmp_path / "t.jsonl")
    assert config_of(text).task.type == "multi_label"
    assert "will refuse" not in text


def test_labels_that_become_written_lists_far_below(tmp_path: Path) -> None:
    rows = [[sentence(n), "ab"[n % 2] if n < 3000 else "['a', 'b']"] for n in range(3500)]
    text = infer(write_csv(tmp_path / "t.csv", ["text", "label"], rows))
    assert config_of(text).task.type == "multi_label"
    assert "2 labels, with their rows: a 2,000, b 2,000" in text
    assert "will refuse" not in text


@pytest.mark.parametrize(("name", "task"), [("labels", "multi_label"), ("score", "regression")])
def test_a_comma_between_two_numbers(tmp_path: Path, name: str, task: str) -> None:
    """Two labels or decimals: the column's name tells, and the file says what was read."""
    rows = [[sentence(n), ["1,2", "2,3", "1,3", "2", "3"][n % 5]] for n in range(300)]
    text = infer(write_csv(tmp_path / "t.csv", ["text", name], rows))
    assert config_of(text).task.type == task
    assert ("numbers with a decimal comma, such as 2,3" in text) == (task == "regression")
    assert ("1 120, 2 180, 3 180" in text or "2 180, 3 180, 1 120" in text) == (task == "multi_label")


def test_fractions_are_classes_and_that_is_said(tmp_path: Path) -> None:
    rows = [[sentence(n), f"{n % 5 + 1}/5"] for n in range(300)]
    text = infer(write_csv(tmp_path / "t.csv", ["text", "label"], rows))
    assert config_of(text).task.type == "single_label"
    assert "labels such as '1/5' are taken for names of classes" in text


@pytest.mark.parametrize("classes", [100, 101, 450])
def test_as_many_classes_as_init_takes_the_run_takes_too(tmp_path: Path, classes: int) -> None:
    rows = [[sentence(n), f"class {n % classes}"] for n in range(1000)]
    text = infer(write_csv(tmp_path / "t.csv", ["text", "label"], rows))
    assert config_of(text).task.type == "single_label"
    assert "does not hold labels" not in text


@pytest.mark.parametrize("values", [["10 min", "30 min", "1 h"], ["3g", "4g", "5g"]])
def test_a_few_numbers_with_units_are_classes(tmp_path: Path, values: list[str]) -> None:
    rows = [[sentence(n), values[n % 3]] for n in range(300)]
    text = infer(write_csv(tmp_path / "t.csv", ["text", "label"], rows))
    assert config_of(text).task.type == "single_label"
    assert "3 different values, taken for names of classes" in text
    assert "will refuse" not in text


def test_whole_numbers_are_classes_however_they_are_typed(tmp_path: Path) -> None:
    """A column of 0, 1 and nothing is one of 0.0 and 1.0 for pandas."""
    rows = [[sentence(n), f"{n % 3}.0"] for n in range(300)]
    text = infer(write_csv(tmp_path / "t.csv", ["text", "label"], rows))
    assert config_of(text).task.type == "single_label"
    assert "3 labels, with their rows: 0 100, 1 100, 2 100" in text


def test_large_whole_numbers_stay_apart(tmp_path: Path) -> None:
    rows = [[sentence(n), 10**30 + n % 2] for n in range(300)]
    assert "2 different whole numbers" in infer(write_csv(tmp_path / "t.csv", ["text", "label"], rows))


@pytest.mark.parametrize("odd", ["\a", "\x1b[0m", "\x85", "\u2028", "\ufffe"])
def test_characters_that_yaml_does_not_take(tmp_path: Path, odd: str) -> None:
    rows = [[sentence(n), f"a{odd}b" if n % 2 else f"['x{odd}', 'y']"] for n in range(300)]
    text = infer(write_csv(tmp_path / "t.csv", [f"my{odd} text", f"label{odd}s"], rows))
    assert config_of(text).task.label in (f"label{odd}s", "label s")
    rows = [[sentence(n), ["['x'\n 'y']", "['x']"][n % 2]] for n in range(300)]
    assert config_of(infer(write_csv(tmp_path / "u.csv", ["text", "labels"], rows))).task.type == "multi_label"


@pytest.mark.parametrize(
    ("row", "fix"),
    [
        ({"data": [{"text": "a b c", "label": "x"}] * 3}, "jq -c '.[\"data\"][]'"),
        ({"text": {"0": "a b c", "1": "d e f"}, "label": {"0": "x", "1": "y"}}, "orient='records', lines=True"),
        ({"columns": ["text"], "index": [0], "data": [["a b c"]]}, "orient='records', lines=True"),
    ],
)
def test_a_whole_table_in_one_object(tmp_path: Path, row: dict, fix: str) -> None:
    (tmp_path / "t.json").write_text(json.dumps(row))
    with pytest.raises(DataError, match="the whole table in one JSON object") as caught:
        infer(tmp_path / "t.json")
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("name", "values", "fix"),
    [
        ("label", ["x" * 500, "y" * 500], "its values have over 200 characters"),
        ("price", [f"{n}_000 or so" for n in range(300)], "if column 'price' is the answer, write plain numbers in it"),
        ("price", ["<5"] * 9 + [f"{n / 7:.3f}" for n in range(291)], "not '<5' and the like (9 of 300 rows)"),
    ],
)
def test_the_cause_is_named_where_no_column_is_a_label(tmp_path: Path, name: str, values: list[str], fix: str) -> None:
    rows = [[sentence(n), values[n % len(values)]] for n in range(300)]
    with pytest.raises(DataError, match="no column looks like a label") as caught:
        infer(write_csv(tmp_path / "t.csv", ["text", name], rows))
    assert fix in caught.value.fix


def test_columns_that_could_be_the_label_as_well_are_named(tmp_path: Path) -> None:
    rows = [[sentence(n), n % 2, int(n % 3 == 0)] for n in range(300)]
    text = infer(write_csv(tmp_path / "t.csv", ["comment", "toxic", "insult"], rows))
    assert "only 2 different values in 300 rows; so has 'toxic': which is meant?" in text


def test_pairs_with_a_number_inside_their_names(tmp_path: Path) -> None:
    rows = [[n % 2, sentence(n), sentence(n + 1000)] for n in range(300)]
    task = config_of(infer(write_csv(tmp_path / "t.csv", ["Quality", "#1 String", "#2 String"], rows))).task
    assert (task.text, task.text_pair, task.label) == ("#1 String", "#2 String", "Quality")


@pytest.mark.parametrize("spellings", [[1, 1.0], ["1", "1.0"], [True, "True"]])
def test_two_spellings_of_a_label_are_one(tmp_path: Path, spellings: list) -> None:
    rows = [{"text": sentence(n), "label": spellings[n % 2] if n % 3 else "other"} for n in range(60)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "2 labels, with their rows" in infer(tmp_path / "t.jsonl")


def test_labels_that_differ_in_spelling_alone_are_noted(tmp_path: Path) -> None:
    rows = [[sentence(n), ["spam", "Spam", "n/a"][n % 3]] for n in range(60)]
    text = infer(write_csv(tmp_path / "t.csv", ["text", "label"], rows))
    assert "labels that differ in spelling alone are different labels: 'spam', 'Spam'" in text
    assert "'n/a' is taken for a label" in text


@pytest.mark.parametrize(("premises", "split_by"), [(5, "hypothesis"), (150, None)])
def test_pairs_are_split_by_the_text_that_has_many_values(tmp_path: Path, premises: int, split_by: str | None) -> None:
    rows = [[f"{sentence(n % premises)} " * 2, sentence(-n), "ab"[n % 2]] for n in range(600)]
    path = write_csv(tmp_path / "t.csv", ["premise", "hypothesis", "label"], rows)
    text = infer(path)
    assert config_of(text).data.split_by == split_by
    assert "will refuse" not in text


def test_half_a_surrogate_pair(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a", "label": "x"}\n{"text": "\\ud800", "label": "y"}\n')
    with pytest.raises(DataError, match=r"row 2 \(line 2\): column 'text' cannot be read"):
        infer(path)


def test_siblings_of_a_training_file(tmp_path: Path) -> None:
    rows = [[sentence(n), "ab"[n % 2]] for n in range(40)]
    train = write_csv(tmp_path / "my data" / "en_train.tsv", ["text", "label"], rows)
    write_csv(tmp_path / "my data" / "en_valid.tsv", ["text", "label"], rows[:5])
    write_csv(tmp_path / "my data" / "en_test.tsv", ["text"], [[sentence(1)]])  # without labels: of no use
    text = infer(train)
    config = config_of(text)
    assert (config.data.train, config.data.eval, config.data.test) == ("en_train.tsv", "en_valid.tsv", None)
    assert config.name == "my-data"
    assert "no file found; eval is used" in text


def test_a_regression_is_offered_no_key_that_a_run_would_refuse(tmp_path: Path) -> None:
    tables = {
        "score": [[sentence(n), n / 8] for n in range(50)],
        "label": [[sentence(n), "ab"[n % 2]] for n in range(50)],
    }
    for column, rows in tables.items():
        text = infer(write_csv(tmp_path / f"{column}.csv", ["text", column], rows))
        offered = set(re.findall(r"^#   (\w+): ", text, re.M))
        of_labels = {"class_weights", "unseen_label", "small_class", "conflicting_labels"}
        assert offered & of_labels == (set() if column == "score" else of_labels)
        assert ("#   slices: [text_length]" in text) == (column == "score")


def test_everything_commented_out_is_right_too(tmp_path: Path) -> None:
    """The optional keys, uncommented, give a valid configuration with the defaults."""
    path = write_csv(tmp_path / "t.csv", ["text", "label"], [[sentence(n), "ab"[n % 2]] for n in range(40)])
    text = infer(path)
    start = text.index("# tokenizer:")
    before, alternative, after = text[start:].partition("# A pretrained encoder instead:\n")
    optional = before + after.split("\n\n", 1)[1]
    uncommented = "\n".join(
        line.removeprefix("# ") if line.startswith("# ") else line[1:] for line in optional.split("\n")
    )
    config = config_of(text[:start] + uncommented)
    plain = config_of(text)
    assert config.evaluation.thresholds["accuracy"].min == 0.8
    for group in ("tokenizer", "model", "train", "gate", "push"):
        assert getattr(config, group) == getattr(plain, group)
        assert f"# {group}:\n" in text
    assert alternative
    assert "#   type: preset\n" in after


def test_notes(tmp_path: Path) -> None:
    rows = [["word " * 400, "rare" if n == 0 else "often" if n < 90 else ""] for n in range(100)]
    text = infer(write_csv(tmp_path / "t.csv", ["text", "label"], [[f"{n} {a}", b] for n, (a, b) in enumerate(rows)]))
    assert "10 of 100 rows have no label" in text
    assert "89 times the rows of the smallest" in text
    assert "tokenizer.max_length: 512" in text
    assert max(map(len, text.splitlines())) < 400


def test_names_that_yaml_would_misread(tmp_path: Path) -> None:
    header = ["text: #1", "yes"]
    path = write_csv(tmp_path / "null.csv", header, [[sentence(n), "ab"[n % 2]] for n in range(40)])
    config = config_of(infer(path))
    assert (config.task.text, config.task.label, config.data.path, config.name) == (*header, "null.csv", "null")


def test_hostile_names_and_labels_stay_in_their_comments(tmp_path: Path) -> None:
    header = ["text", "label", "x\nname: evil"]
    rows = [[sentence(n), ["a\nname: evil", "b" * 150][n % 2], "1"] for n in range(40)]
    text = infer(write_csv(tmp_path / "t.csv", header, rows))
    assert config_of(text).name == "t"
    assert "\nname: evil" not in text


def test_write_beside_and_elsewhere_and_never_over(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "data" / "t.csv", ["text", "label"], [[sentence(n), "ab"[n % 2]] for n in range(40)])
    written = write(path)
    assert written == tmp_path / "data" / "transom.yaml"
    with pytest.raises(ConfigError, match="is there already"):
        write(path)
    other = write(path, tmp_path / "project.yaml")
    assert config_of(other.read_text(encoding="utf-8")).data.path == "data/t.csv"
    with pytest.raises(ConfigError, match="cannot be written"):
        write(path, tmp_path / "none" / "project.yaml")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("text,label\n", "has no rows"),
        ("a,b\n1,2\n3,4\n", "no column looks like text"),
        (f"text,label\n{sentence(1)[:4]},x\n", "no column looks like a label"),
    ],
)
def test_tables_that_say_nothing(tmp_path: Path, content: str, what: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=what):
        infer(path)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/x/Reviews 2024.csv.gz", "reviews-2024"),
        ("/x/SST-2/train.csv", "sst-2"),
        ("/x/中文.csv", "transom"),
        ("/x/_a_.csv", "a"),
        ("/x/my_reviews.csv", "my_reviews"),
        ("/x/2024 reviews.csv", "2024-reviews"),
        ("/x/Ünïcode (2).csv", "unicode-2"),
        ("/x/Straße.csv", "strasse"),
        ("/x/" + "long name " * 20 + ".csv", "long-name-long-name-long-name-long-name"),
    ],
)
def test_project_names(path: str, name: str) -> None:
    assert project_name(Path(path)) == name
    assert ProjectConfig(name=name, data=DataConfig(path="x")).name == name
    # and on every target
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,127}", project_names.on_kubeflow(name))


LINES = "".join(f"good film {n},pos\nbad film {n},neg\n" for n in range(20))


@pytest.mark.parametrize(
    ("content", "task", "note"),
    [
        (
            "sep=;\ntext;label\n" + LINES.replace(",", ";"),
            ("text", "label"),
            "skipped line 1 (the separator for Excel)",
        ),
        ("Reviews,\n\ntext,label\n" + LINES, ("text", "label"), "skipped lines 1 and 2 (a title)"),
        ("Words (short, long);Label\n" + LINES.replace(",", ";"), ("Words (short, long)", "Label"), ""),
        ("text;label\na fine, good film;pos\na bad film;neg\nok, then;pos\n", ("text", "label"), ""),
        ("text;label\na fine film;pos\na bad film;neg\n", ("text", "label"), ""),
        ("text,label,x,x\n" + LINES.replace("\n", ",1,2\n"), ("text", "label"), "column 'x' appears 2 times"),
        (
            'text,label\n"[""so"", ""good""]",pos\n"[""bad""]",neg\n',
            ("text", "label"),
            "the source of lists or objects",
        ),
    ],
)
def test_files_as_people_have_them(tmp_path: Path, content: str, task: tuple[str, str], note: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content, encoding="utf-8")
    text = infer(path)
    config = config_of(text)
    assert (config.task.text, config.task.label) == task
    assert note in text
    assert list(records(open_table(path), config.task))  # what is inferred, a run accepts


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.csv", LINES, "line 1 looks like a row, not like a header"),
        ("t.csv", "text::label\n" + LINES.replace(",", "::"), "no separator that makes all rows as wide"),
        ("t.csv", '"text,label"\n' + "".join(f'"{line}"\n' for line in LINES.splitlines()), "quotes around each line"),
        ("t.csv", "text,label,text\n" + LINES.replace("\n", ",x\n"), "column 'text' appears 2 times"),
        ("t.csv", "text,label\n" + LINES * 125 + "a,b,c\n", "row 5,001 (line 5,002): more fields"),
        ("t.csv", "text,label\n" + LINES * 125 + '"a,b\n', "row 5,001 (line 5,002)"),
        ("t.csv", "text,label\n" + "".join(f"some words {n},l{n}\n" for n in range(99)), "look at column 'label'"),
        ("t.jsonl", '{"text": ["so", "good"], "label": "x"}\n' * 9, "row 1 (line 1): column 'text' is not text"),
        ("t.jsonl", '{"text": "ok", "label": "x"}\n{"text": {"a": "b"}, "label": "y"}\n' * 9, "row 2 (line 2)"),
        ("t.jsonl", '{"text": "ok", "label": {"a": 1}}\n' * 9, "no column looks like a label"),
    ],
)
def test_what_a_run_would_refuse_init_refuses(tmp_path: Path, name: str, content: str, told: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        infer(path)
    assert told in caught.value.render()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.csv", "text,label\n" + LINES * 9 + "a,b,c\n", "row 361 (line 362): more fields"),
        ("t.csv", "text,label\n" + LINES * 9 + "\udcff,b\n", "row 361 (line 362): not UTF-8, in column 'text'"),
        (
            "t.jsonl",
            "".join(f'{{"text": "film {n}", "label": {n % 2}}}\n' for n in range(200)) + '{"text": [], "label": 1}\n',
            "row 201 (line 201): column 'text' is not text",
        ),
    ],
)
def test_rows_below_those_looked_at_are_read_too(
    tmp_path: Path, name: str, content: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.init.task_inference._ROWS", 100)
    path = tmp_path / name
    path.write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(DataError) as caught:
        infer(path)
    assert told in caught.value.render()


def test_columns_that_nobody_uses_stop_nobody(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    row = '{"text": "some words %d", "label": "%s", "odd": "\\ud800", "tokens": ["a"], "more": {"x": 1}}\n'
    path.write_text("".join(row % (n, "ab"[n % 2]) for n in range(20)))
    assert config_of(infer(path)).task.label == "label"


def test_half_a_file_does_not_stay(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\n" + "".join(f"some words {n},{'ab'[n % 2]}\n" for n in range(20)))
    code = (
        "import resource, sys; from pipeline.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        f"sys.exit(main(['init', {str(tmp_path / 't.csv')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=repository)
    assert done.returncode == 2
    assert "transom.yaml cannot be written" in done.stderr
    assert not (tmp_path / "transom.yaml").exists()


def test_a_folder_in_place_of_a_table_is_said_to_be_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path)]) == DataError.exit_code
    assert "no file in it" in capsys.readouterr().err
    (tmp_path / "notes.txt").touch()
    (tmp_path / "train.csv").touch()
    (tmp_path / "transom.yaml").touch()
    assert main(["init", str(tmp_path)]) == DataError.exit_code
    told = capsys.readouterr().err
    assert "is a folder" in told
    assert f"did you mean {tmp_path / 'train.csv'}?" in told


def test_a_missing_table_is_said_to_be_missing_whatever_lies_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "transom.yaml").touch()
    assert main(["init", str(tmp_path / "none.csv")]) == DataError.exit_code
    assert "none.csv does not exist" in capsys.readouterr().err
