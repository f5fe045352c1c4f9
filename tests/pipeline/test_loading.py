from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import ConfigError
from pipeline.loading import load


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


def test_a_configuration_cannot_be_changed(write) -> None:
    config = load(write("data: {path: a.csv}\n"))
    with pytest.raises(ValueError, match="frozen"):
        config.name = "other"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("data: {path: a.csv}\ntrain: {epocs: 3}\n", ("train.epocs", "does not know", "did you mean `epochs`?")),
        ("data: {path: a.csv}\ntrain: {epochs: many}\n", ("train.epochs", "'many'", "integer")),
        ("data: {path: a.csv, train: b.csv}\n", ("data", "either `path`")),
        ("task: {text: review}\n", ("data", "no such key")),
        ("data: {path: a.csv}\nmodel: {type: rnn}\n", ("model.type", "'rnn'", "encoder or preset")),
        ("data: {path: a.csv}\nmodel: {width: 100, num_heads: 3}\n", ("model", "num_heads must divide width")),
        ("data: {path: a.csv}\ngate: {drift: maybe}\n", ("gate.drift", "'maybe'", "'error', 'warn' or 'off'")),
        ("data: {path: a.csv}\ntask: {text: a, label: a}\n", ("task", "must be different")),
        ("data: {path: a.csv}\nname: Bad Name\n", ("name", "'Bad Name'")),
        ("data: {path: a.csv, foo: 1}\ntrain: {bar: 2}\n", ("2 keys are wrong", "data.foo", "train.bar")),
        ("a: [\n", ("not YAML",)),
        ("", ("nothing",)),
        ("- a\n", ("a list",)),
        (b"name: \xff\n", ("not UTF-8 at offset 6",)),
    ],
)
def test_a_wrong_configuration_is_taught(write, text: str | bytes, told: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as error:
        load(write(text))
    for part in told:
        assert part in str(error.value)


def test_a_missing_file_names_init(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="transom init"):
        load(tmp_path / "none.yaml")


@pytest.mark.parametrize("override", ["train.epochs", "=3", "name.deep=1", "train.epochs=[1"])
def test_a_wrong_override_is_refused(write, override: str) -> None:
    with pytest.raises(ConfigError):
        load(write("data: {path: a.csv}\nname: x\n"), [override])
