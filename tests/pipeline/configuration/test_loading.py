from __future__ import annotations

from pathlib import Path

import pytest

from models.config import EncoderConfig, PresetConfig
from models.errors import ConfigError
from pipeline.configuration.loading import load


@pytest.fixture
def write(tmp_path: Path):
    def to_file(text: str | bytes) -> Path:
        file = tmp_path / "transom.yaml"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    return to_file


def test_defaults_need_only_data(write) -> None:
    config = load(write("data: {path: a.csv}\n"))
    assert config.model.type == "encoder"
    assert config.task.type == "single_label"
    assert config.gate.unseen_label == "error"


def test_a_preset_key_makes_the_model_a_preset(write) -> None:
    config = load(write("data: {path: a.csv}\nmodel: {preset: folder}\n"))
    assert config.model.type == "preset"


def test_overrides_are_read_as_yaml_in_their_order(write) -> None:
    file = write("data: {path: a.csv}\ntrain: {epochs: 1}\n")
    config = load(
        file, ["train.epochs=3", "train.epochs=4", "model.width=64", "evaluation.thresholds.accuracy={min: 0.5}"]
    )
    assert config.train.epochs == 4
    assert config.model.width == 64
    assert config.evaluation.thresholds["accuracy"].min == 0.5


def test_a_resolved_configuration_for_mediapipe_can_be_read_again(write) -> None:
    config = load(write("data: {path: a.csv}\ntokenizer: {mediapipe_compatible: true}\n"))
    assert (config.tokenizer.lowercase, config.tokenizer.strip_accents) == (True, False)
    assert type(config).model_validate(config.model_dump()) == config


def test_a_configuration_cannot_be_changed(write) -> None:
    config = load(write("data: {path: a.csv}\n"))
    with pytest.raises(ValueError, match="frozen"):
        config.name = "other"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data: {path: a.csv}\ntrain: {epocs: 3}\n", ("train.epocs", "does not know", "did you mean `epochs`?")),
        ("data: {path: a.csv}\ntrain: {epochs: many}\n", ("train.epochs", "'many'", "a whole number")),
        ("data: {path: a.csv}\ntrain: {fp16: true}\n", ("train.fp16", "write `train.precision: mixed_float16`")),
        ("data: {path: a.csv}\ntrain: {backend: pytorch}\n", ("train.backend", "'pytorch'", "did you mean torch?")),
        ("data: {path: a.csv}\ntrain: {precision: bf16}\n", ("train.precision", "did you mean mixed_bfloat16?")),
        ("data: {path: a.csv}\ntrain: {precision: full}\n", ("train.precision", "did you mean float32?")),
        ("data: {path: a.csv}\ntrain: {precision: float16}\n", ("train.precision", "did you mean mixed_float16?")),
        ("data: {path: a.csv}\ntrain: {fp16: false}\n", ("train.fp16", "to fix: remove it")),
        ("data: {path: a.csv}\ntrain: {metric: f2}\n", ("train.metric", "'f2'")),
        (
            "data: {path: a.csv}\ntrain: {xla: partz}\n",
            ("train.xla\n", "'partz'", "'auto' or 'parts', or true or false"),
        ),
        ("data: {path: a.csv, train: b.csv}\n", ("data", "either `path`")),
        ("task: {text: review}\n", ("data", "no such key")),
        ("data: {path: a.csv}\nmodel: {type: rnn}\n", ("model.type", "'rnn'", "encoder or preset")),
        ("data: {path: a.csv}\nmodel: {width: 100, num_heads: 3}\n", ("model", "num_heads must divide width")),
        ("data: {path: a.csv}\ngate: {drift: maybe}\n", ("gate.drift", "'maybe'", "'error', 'warn' or 'off'")),
        ("data: {path: a.csv}\ntask: {text: a, label: a}\n", ("task", "must be different")),
        ("data: {path: a.csv}\nname: Bad Name\n", ("name", "'Bad Name'", "use bad-name")),
        ("data: {path: a.csv}\nname: Two\n", ("got: 'Two'", "lower-case letters", "use two")),
        ("data: {path: a.csv}\nname: Café_2.csv\n", ("use cafe_2-csv",)),
        ("data: {path: a.csv}\nname: 2024\n", ("name", 'put it in quotes: "2024"')),
        (
            "data: {path: a.csv}\ntokenizer: {mediapipe_compatible: true, strip_accents: true}\n",
            ("tokenizer", "cannot be combined with strip_accents true", "remove strip_accents"),
        ),
        (
            "data: {path: a.csv}\ntokenizer: {mediapipe_compatible: true, lowercase: false}\n",
            ("tokenizer", "cannot be combined with lowercase false"),
        ),
        (
            "data: {path: a.csv}\ntokenizer: {mediapipe_compatible: true}\ntask: {text_pair: other}\n",
            ("tokenizer.mediapipe_compatible", "for pairs", "labels of one text"),
        ),
        ("data: {path: a.csv, foo: 1}\ntrain: {bar: 2}\n", ("2 keys are wrong", "data.foo", "train.bar")),
        ("data:\ntrain: {}\n", ("data", "nothing", "a group of keys", "put its keys below it")),
        ("data: {path: a.csv}\ntask: {labels: [0, 1]}\n", ("task.labels.0", "a text", 'in quotes: "0"')),
        ("data: {path: a.csv}\ntrain: {class_weights: {0: 1}}\n", ("train.class_weights.0", "a text", "quotes")),
        ("data: {path: 3}\n", ("data.path", "3", "a text, or a list")),
        ("data: {path: ''}\n", ("data.path", "not empty")),
        ("data: {train: []}\n", ("data.train", "a list that is not empty")),
        ('data: {path: "a\\0b"}\n', ("data.path", "of the form")),
        ("a: [\n", ("not YAML",)),
        ("data:\n\tpath: a.csv\n", ("not YAML", "'\\t'", "line 2, column 1", "spaces")),
        ("data: {path: a.csv}\nname: a\nname: b\n", ("the key 'name' of line 2 is repeated", "line 3")),
        ("data: {path: a.csv, path: b.csv}\n", ("the key 'path'",)),
        ("[" * 5000, ("not YAML", "nested")),
        ("just a word\n", ("'just a word'", "keys such as")),
        ("#" * (2**20 + 1), ("over 1,048,576 bytes",)),
        ("", ("nothing",)),
        ("- a\n", ("a list",)),
        (b"name: \xff\n", ("not UTF-8 at offset 6",)),
    ],
)
def test_a_wrong_configuration_is_explained(write, text: str | bytes, expected: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as error:
        load(write(text))
    for part in expected:
        assert part in str(error.value)


def test_a_missing_file_names_init(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="transom init"):
        load(tmp_path / "none.yaml")


@pytest.mark.parametrize("override", ["train.epochs", "=3", "name.deep=1", "train.epochs=[1"])
def test_a_wrong_override_is_refused(write, override: str) -> None:
    with pytest.raises(ConfigError):
        load(write("data: {path: a.csv}\nname: x\n"), [override])


def test_only_true_and_false_are_booleans(write) -> None:
    """Values mean what the documentation says: `off` is a severity, and "no" is a label."""
    text = (
        "data: {path: 2026-01-31}\ngate: {drift: off}\ntrain: {onednn: on}\ntask: {label: 12:30, labels: [no, yes]}\n"
    )
    config = load(write(text), ["gate.small_class=off", "train.xla=false"])
    assert (config.gate.drift, config.gate.small_class, config.train.onednn) == ("off", "off", "on")
    assert (config.data.path, config.task.label, config.task.labels) == ("2026-01-31", "12:30", ("no", "yes"))
    assert config.train.xla is False


def test_a_group_may_be_merged_and_added_to(write) -> None:
    text = "data: &a {path: a.csv}\n"
    assert load(write(text + "train: {<<: {epochs: 1}, epochs: 2}\n")).train.epochs == 2


def test_the_message_is_one_screen_whatever_the_file_holds(write) -> None:
    bomb = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    many = "".join(f"key{n}: 1\n" for n in range(1000))
    for text in (bomb + "data: {train: *a8}\n", many):
        with pytest.raises(ConfigError) as error:
            load(write(text))
        assert len(str(error.value).splitlines()) < 20
        assert len(str(error.value)) < 5000


def test_a_byte_order_mark_is_no_part_of_the_text(write) -> None:
    assert load(write(b"\xef\xbb\xbfdata: {path: a.csv}\n")).data.path == "a.csv"


def test_a_table_in_place_of_the_configuration_names_init(tmp_path: Path) -> None:
    table = tmp_path / "reviews.csv"
    table.write_text("text,label\ngood,pos\n")
    with pytest.raises(ConfigError, match=f"transom init {table}"):
        load(table)


@pytest.mark.parametrize(
    ("model", "override", "kind"),
    [
        ("{type: encoder, width: 64}", "model.preset=minilm-l6", "preset"),
        ("{preset: minilm-l6}", "model.type=encoder", "preset"),
        ("{preset: minilm-l6}", "model.width=64", "encoder"),
    ],
)
def test_keys_of_two_kinds_of_model(write, model: str, override: str, kind: str) -> None:
    file = write(f"data: {{path: a.csv}}\nmodel: {model}\n")
    with pytest.raises(ConfigError) as caught:
        load(file, [override])
    assert f"a key of `type: {kind}`" in caught.value.got
    # both overrides that the message names do what it says
    assert load(file, ["model={preset: minilm-l6}"]).model == PresetConfig(preset="minilm-l6")
    assert load(file, ["model={type: encoder}"]).model == EncoderConfig()
