"""`--set`: texts are taken as written, everything else is read as in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.errors import ConfigError
from pipeline.configuration.loading import load
from pipeline.configuration.overrides import apply_override

TEXTS = (
    *(
        "runs #1",
        "#1",
        "a: b",
        "a:",
        "- a",
        "*star",
        "&and",
        "!bang",
        "@at",
        "%percent",
        "`tick",
        "|",
        ">",
        "?",
        "{",
        "}",
    ),
    *('"quoted"', "'single'", 'half"', "[", "[old] reviews.csv", "a, b", "{SPAN}/t.csv", " leading", "trailing ", " "),
    *(
        "yes",
        "no",
        "on",
        "off",
        "true",
        "~",
        "Null",
        "1",
        "1_000",
        "0x10",
        "1e3",
        "012",
        "12:30",
        "2026-01-31",
        ".5",
        "-",
    ),
    *("two\nlines", "a=b", "--- a", "...", "tab\there", "\\t", "C:\\data", "日本 #2", "🙂", "a # b # c", "%YAML 1.2"),
)


def given(*overrides: str) -> dict[str, Any]:
    raw: dict[str, Any] = {}
    for override in overrides:
        apply_override(raw, override)
    return raw


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(
    "key", ["output", "task.label", "data.schema_path", "model.preset", "kubeflow.env.NAME", "card.author"]
)
def test_a_text_is_taken_as_it_is_written(key: str, text: str) -> None:
    value: Any = given(f"{key}={text}")
    for name in key.split("."):
        value = value[name]
    assert value == text


@pytest.mark.parametrize("text", TEXTS)
def test_so_is_one_where_a_list_may_stand(text: str) -> None:
    assert given(f"data.path={text}") == {"data": {"path": text}}


@pytest.mark.parametrize(
    ("override", "wanted"),
    [
        ("train.epochs=3", 3),
        ("train.epochs= 3 ", 3),
        ("train.epochs=1_000", 1000),
        ("train.epochs=0x10", "0x10"),
        ("train.learning_rate=1.5e-12", 1.5e-12),
        ("train.xla=false", False),
        ("train.xla=no", "no"),
        ("train.xla=auto", "auto"),
        ("train.xla=parts", "parts"),
        ("train.remat= true ", True),
        ("data.path=[a.csv, b.csv]", ["a.csv", "b.csv"]),
        ('data.path=["a #1.csv"]', ["a #1.csv"]),
        ("task.labels=[yes, no, 2026-01-31, a b]", ["yes", "no", "2026-01-31", "a b"]),
        ("train.class_weights=balanced", "balanced"),
        ("train.class_weights={a: 2.0}", {"a": 2.0}),
        ("evaluation.thresholds={accuracy: {min: 0.9}}", {"accuracy": {"min": 0.9}}),
        ("gate.drift=off", "off"),
    ],
)
def test_other_keys_take_what_the_file_would(override: str, wanted: Any) -> None:
    group, _, name = override.partition("=")[0].partition(".")
    value = given(override)[group][name]
    assert value == wanted
    assert type(value) is type(wanted)


@pytest.mark.parametrize("value", ["", "null", " ", " null"])
def test_nothing_gives_an_optional_key_its_default_back(tmp_path: Path, value: str) -> None:
    (tmp_path / "t.yaml").write_text("data: {path: t.csv}\noutput: out\ntrain: {epochs: 3}\n")
    config = load(
        tmp_path / "t.yaml", [f"train.epochs={value}", *([f"output={value}"] if value in ("", "null") else [])]
    )
    assert config.train.epochs is None
    assert config.output == ("out" if value in (" ", " null") else None)
    assert given("task.label=null") == {"task": {"label": "null"}}


@pytest.mark.parametrize("value", ["3 #1", "3 # three", "[a] #1", "{a: 1} # b", "#3", "# 3"])
def test_a_comment_in_a_value_is_refused(value: str) -> None:
    for key in ("train.epochs", "task.labels", "evaluation.thresholds"):
        with pytest.raises(ConfigError, match="would be read as a comment and lost"):
            given(f"{key}={value}")


@pytest.mark.parametrize("override", ["", "=", "a", "=a", ".=1", "train.=1", ".train=1", "train..epochs=1"])
def test_what_names_no_key_is_refused(override: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        given(override)


def test_a_key_that_is_not_there_is_told_whatever_its_value(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("data: {path: t.csv}\n")
    for value in ("3", "a: b", "a #1", "*"):
        with pytest.raises(ConfigError, match="epoch") as caught:
            load(tmp_path / "t.yaml", [f"train.epoch={value}"])
        assert "did you mean `epochs`?" in str(caught.value)
