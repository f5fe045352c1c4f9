"""Pairs of texts, whatever their columns are called."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest
from inferred_tables import config_of, write_csv

from pipeline.init.new_project import infer

WORDS = ("man", "woman", "dog", "plays", "guitar", "sings", "runs", "street", "market", "buys", "bread", "blue")


def pairs(rows: int = 300, share: float = 0.7, longest: int = 9) -> list[tuple[str, str]]:
    """Texts of which the second has about `share` of the first's words, and new ones for the others."""
    draw = random.Random(1)
    made = []
    for number in range(rows):
        words = [f"{draw.choice(WORDS)}{draw.randrange(9)}" for _ in range(draw.randrange(5, longest))]
        other = [word if draw.random() < share else f"{draw.choice(WORDS)}{draw.randrange(9)}" for word in words]
        draw.shuffle(other)
        made.append((f"{' '.join(words)} {number}", " ".join(other)))
    return made


@pytest.mark.parametrize(
    ("first", "second", "label"),
    [
        ("sentence1", "sentence2", "score"),
        ("premise", "hypothesis", "gold_label"),
        ("question1", "question2", "is_duplicate"),
        ("q", "a", "label"),
        ("text_a", "text_b", "label"),
        ("text", "text2", "label"),
        ("firstText", "secondText", "goldLabel"),
        ("left text", "right text", "y"),
        ("sentence_A", "sentence_B", "relatedness_score"),
        # names that mean nothing
        ("A", "B", "C"),
        ("foo", "bar", "baz"),
        ("Satz", "Vergleich", "Wert"),
        ("句子", "比较", "分数"),
    ],
)
@pytest.mark.parametrize("degrees", [True, False])
def test_two_texts_and_a_label_are_a_pair(tmp_path: Path, first: str, second: str, label: str, degrees: bool) -> None:
    header = ["nr", first, "genre", second, label, "who"]
    rows = [
        [n, one, "abc"[n % 3], other, n % 41 / 8 if degrees else n % 2, f"u{n % 90}"]
        for n, (one, other) in enumerate(pairs())
    ]
    task = config_of(infer(write_csv(tmp_path / "t.csv", header, rows))).task
    assert (task.text, task.text_pair, task.label) == (first, second, label)
    assert task.type == ("regression" if degrees else "single_label")


@pytest.mark.parametrize(
    ("first", "second"),
    [("prompt", "response"), ("Headline", "articleBody"), ("parent", "reply"), ("query", "response")],
)
def test_names_that_belong_together_make_a_pair_of_texts_without_common_words(
    tmp_path: Path, first: str, second: str
) -> None:
    rows = [[one, f"something else entirely number {n}", "ab"[n % 2]] for n, (one, _) in enumerate(pairs())]
    task = config_of(infer(write_csv(tmp_path / "t.csv", [first, second, "label"], rows))).task
    assert (task.text, task.text_pair) == (first, second)


def test_pairs_in_a_script_without_spaces(tmp_path: Path) -> None:
    draw = random.Random(2)
    texts = ["".join(draw.choices("一二三四五六七八九十百千万天地人山水火木土日月", k=20)) for _ in range(200)]
    rows = [[text, text[5:] + text[:3] + draw.choice("甲乙丙"), "是否"[n % 2]] for n, text in enumerate(texts)]
    task = config_of(infer(write_csv(tmp_path / "t.csv", ["甲", "乙", "丙"], rows))).task
    assert (task.text, task.text_pair, task.label) == ("甲", "乙", "丙")


def test_texts_that_share_no_words_are_no_pair_unless_their_names_say_so(tmp_path: Path) -> None:
    rows = [[one, other, n % 2] for n, (one, other) in enumerate(pairs(share=0.0))]
    text = infer(write_csv(tmp_path / "t.csv", ["c1x", "other", "label"], rows))
    assert config_of(text).task.text_pair is None
    assert "holds texts, too: if the label is about both, name it as task.text_pair" in text
    named = infer(write_csv(tmp_path / "u.csv", ["premise", "hypothesis", "label"], rows))
    assert config_of(named).task.text_pair == "hypothesis"


def test_the_same_text_in_another_form_is_no_second_text(tmp_path: Path) -> None:
    rows = [[one, " ".join(one.upper().split()[::2]), n % 2] for n, (one, _) in enumerate(pairs())]
    assert config_of(infer(write_csv(tmp_path / "t.csv", ["raw", "shorter", "label"], rows))).task.text_pair is None


@pytest.mark.parametrize("name", ["text", "body", "Review"])
def test_a_title_beside_a_column_that_is_named_like_the_text_is_only_mentioned(tmp_path: Path, name: str) -> None:
    rows = [[other[:30], one, n % 2] for n, (one, other) in enumerate(pairs())]
    text = infer(write_csv(tmp_path / "t.csv", ["title", name, "label"], rows))
    assert (config_of(text).task.text, config_of(text).task.text_pair) == (name, None)
    assert "column 'title' holds texts, too" in text


def test_names_of_things_in_a_text_are_no_pair(tmp_path: Path) -> None:
    rows = [
        [f"{one} {other}", " ".join(one.split()[:3]), " ".join(other.split()[:3]), "xy"[n % 2]]
        for n, (one, other) in enumerate(pairs())
    ]
    header = ["sentence", "entity_a", "entity_b", "relation"]
    task = config_of(infer(write_csv(tmp_path / "t.csv", header, rows))).task
    assert (task.text, task.text_pair, task.label) == ("sentence", None, "relation")


def test_pairs_of_words(tmp_path: Path) -> None:
    rows = [[f"{WORDS[n % 12]}{n % 90}", f"{WORDS[n % 11]}{n % 70}", n % 37 / 4] for n in range(200)]
    task = config_of(infer(write_csv(tmp_path / "t.csv", ["word1", "word2", "similarity"], rows))).task
    assert (task.text, task.text_pair, task.label, task.type) == ("word1", "word2", "similarity", "regression")


def test_addresses_are_neither_the_text_nor_its_pair(tmp_path: Path) -> None:
    rows = [
        [one, f"https://example.org/{'-'.join(one.split())}/{'x' * 40}", n % 2] for n, (one, _) in enumerate(pairs())
    ]
    task = config_of(infer(write_csv(tmp_path / "t.csv", ["c1", "c2", "c3"], rows))).task
    assert (task.text, task.text_pair, task.label) == ("c1", None, "c3")


@pytest.mark.data
@pytest.mark.parametrize(("name", "task"), [("mrpc", "single_label"), ("stsb_en", "regression")])
def test_real_pairs_are_known_by_their_texts_alone(datasets: Path, tmp_path: Path, name: str, task: str) -> None:
    with (datasets / name / "train.csv").open(encoding="utf-8", newline="") as table:
        rows = [[n, *row] for n, row in enumerate(csv.reader(table)) if n]
    config = config_of(infer(write_csv(tmp_path / "t.csv", ["nr", "eins", "zwei", "drei"], rows)))
    assert (config.task.text, config.task.text_pair, config.task.label) == ("eins", "zwei", "drei")
    assert config.task.type == task
