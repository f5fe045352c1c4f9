"""Every rule of the gate on tables made for it."""

from __future__ import annotations

from typing import Any

import pytest

from components.config import GateConfig
from components.data.gate.counts import SplitFacts, format_row
from components.data.gate.findings import Finding, raise_errors
from components.data.gate.rules import RULES, Evidence, apply
from components.data.row_batches import RowBatch
from components.data.rows import Record
from components.data.text_keys import TextReading
from models.config import TaskConfig
from models.errors import GateError

Rows = list[tuple[str, str | tuple[str, ...] | float]]


def record(text: str, target: str | tuple[str, ...] | float, pair: str | None = None) -> Record:
    if isinstance(target, float):
        return Record(text, pair, (), target, {})
    return Record(text, pair, (target,) if isinstance(target, str) else target, None, {})


def evidence(task: TaskConfig | None = None, gate: GateConfig | None = None, **splits: Rows) -> Evidence:
    task = task or TaskConfig()
    records = {name: [record(*row) for row in rows] for name, rows in splits.items()}
    facts = {name: SplitFacts(name, task, TextReading()) for name in splits}
    batches = {name: batches_of(some, task) for name, some in records.items()}
    for name, some in batches.items():
        for batch in some:
            facts[name].add(batch)
    return Evidence(task, gate or GateConfig(small_class_rows=1), facts, lambda split: batches[split])


def batches_of(records: list[Record], task: TaskConfig) -> list[RowBatch]:
    """The rows in two batches."""
    half = len(records) // 2
    return [RowBatch.of_records(some, task) for some in (records[:half], records[half:])]


GOOD: Rows = [("one", "a"), ("two", "b")]


def only(seen: Evidence) -> Finding:
    (finding,) = apply(seen)
    return finding


def test_good_data_have_no_findings() -> None:
    assert apply(evidence(train=GOOD, eval=[("three", "a")], test=[("four", "b")])) == []


def test_empty_split() -> None:
    finding = only(evidence(train=GOOD, eval=[]))
    assert (finding.rule, finding.severity, finding.split) == ("empty_split", "error", "eval")


@pytest.mark.parametrize(
    ("texts", "said"), [(1, "the 100 rows have the same text"), (3, "the 100 rows have only 3 different texts")]
)
def test_a_split_that_is_empty_for_want_of_different_texts_says_so(texts: int, said: str) -> None:
    repeated: Rows = [(f"word {n % texts}", "ab"[n // 3 % 2]) for n in range(100)]
    (finding,) = apply(evidence(train=repeated, eval=[]), ["empty_split"])
    assert said in finding.message
    assert "task.text" in finding.fix
    assert "more rows" not in finding.fix, "more rows with the same texts go into the same split"
    few = only(evidence(train=GOOD, eval=[]))
    assert "give more rows" in few.fix
    assert "different texts" not in few.message


def test_an_empty_training_split_is_reported_once() -> None:
    assert [finding.rule for finding in apply(evidence(train=[], eval=GOOD))] == ["empty_split"]


def test_one_class() -> None:
    finding = only(evidence(train=[("one", "a"), ("two", "a")], eval=[("three", "a")]))
    assert (finding.rule, finding.severity, finding.rows, finding.of) == ("one_class", "error", 2, 2)
    assert "'a'" in finding.message


@pytest.mark.parametrize(("task", "one", "other"), [("single_label", "a", "b"), ("regression", 1.0, 2.0)])
@pytest.mark.parametrize("split", ["eval", "test"])
def test_a_split_of_one_label_is_never_more_than_a_warning(task: Any, one: Any, other: Any, split: str) -> None:
    train, same = [("one", one), ("two", other)], [("three", one), ("four", one)]
    finding = only(evidence(TaskConfig(type=task), train=train, **{split: same}))
    assert (finding.rule, finding.severity, finding.split, finding.rows) == ("one_class", "warn", split, 2)
    assert apply(evidence(TaskConfig(type=task), train=train, **{split: same[:1]})) == [], "one row says nothing"


@pytest.mark.parametrize("word", ["nan", "NA", "N/A", "null", "#N/A", "<NA>"])
def test_a_label_that_stands_for_a_missing_one_is_named(word: str) -> None:
    finding = only(evidence(train=[("one", "a"), ("two", word), ("three", word)]))
    assert (finding.rule, finding.severity, finding.rows) == ("label_spelling", "warn", 2)
    assert repr(word) in finding.message
    assert apply(evidence(train=[("one", "a"), ("two", "none"), ("three", "unknown")])) == []


def test_a_regression_with_a_single_value() -> None:
    task = TaskConfig(type="regression")
    assert "2.5" in only(evidence(task, train=[("one", 2.5), ("two", 2.5)])).message
    assert apply(evidence(task, train=[("one", 2.5), ("one", 3.5)])) == []


def test_a_single_set_of_labels() -> None:
    task = TaskConfig(type="multi_label")
    assert only(evidence(task, train=[("one", ("a", "b")), ("two", ("b", "a"))])).rule == "one_class"
    assert apply(evidence(task, train=[("one", ("a",)), ("two", ())])) == []


def test_unseen_label() -> None:
    test: Rows = [("three", "c"), ("four", "c"), ("five", "d"), ("six", "a")]
    finding = only(evidence(train=GOOD, test=test))
    assert (finding.rule, finding.severity, finding.split) == ("unseen_label", "error", "test")
    assert (finding.rows, finding.of) == (3, 4)
    assert "c (2), d (1)" in finding.message
    assert finding.examples == ('"three" -> c', '"four" -> c', '"five" -> d')


def test_labels_outside_the_configured_ones() -> None:
    finding = only(evidence(TaskConfig(labels=("a", "b")), train=[*GOOD, ("three", "c")]))
    assert (finding.rule, finding.split, finding.rows) == ("unseen_label", "train", 1)
    assert "task.labels" in finding.message
    # a configured label may be missing from training: another rule reports that
    found = apply(evidence(TaskConfig(labels=("a", "b", "c")), train=GOOD, eval=[("three", "c")]))
    assert [finding.rule for finding in found] == ["small_class"]
    assert "c (0)" in found[0].message


def test_empty_text() -> None:
    task = TaskConfig(text_pair="other")
    seen = evidence(task, train=[("one", "a", "x"), (" \n", "b", "x"), ("", "b", "y"), ("two", "b", "")])
    first, second = apply(seen)
    assert (first.rule, first.severity, first.column, first.rows, first.of) == ("empty_text", "warn", "text", 2, 4)
    assert first.examples[0] == 'row 2 of train: "" + "x" -> b'
    assert (second.column, second.rows) == ("other", 1)


def test_small_class() -> None:
    rows = [(f"row {number}", "abb"[number % 3]) for number in range(9)]
    finding = only(evidence(gate=GateConfig(small_class_rows=4), train=rows))
    assert (finding.rule, finding.severity, finding.rows) == ("small_class", "warn", 3)
    assert "1 of 2 labels has fewer than 4 training rows: a (3)" in finding.message


def test_split_overlap() -> None:
    finding = only(evidence(train=GOOD, eval=[("three", "a")], test=[("one ", "b"), ("one", "a"), ("five", "a")]))
    assert (finding.rule, finding.severity, finding.split) == ("split_overlap", "warn", "test")
    assert (finding.rows, finding.of) == (2, 3)
    assert "in train too" in finding.message
    assert finding.examples == ('"one" -> b', '"one" -> a')


def test_conflicting_labels() -> None:
    finding = only(evidence(train=[*GOOD, ("one", "b"), ("one", "a"), ("two", "b")]))
    assert (finding.rule, finding.severity, finding.rows, finding.of) == ("conflicting_labels", "warn", 3, 5)
    assert finding.examples == ('"one" -> a', '"one" -> b', '"one" -> a')
    assert apply(evidence(TaskConfig(type="regression"), train=[("one", 1.0), ("one", 2.0)])) == []


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_can_warn_stop_and_be_off(rule: str) -> None:
    bad: Rows = [("one", "a"), ("one", "b"), ("", "a")] if rule != "one_class" else [("one", "a")]
    test: Rows = [("one", "z"), ("two", "Z")]
    for severity in ("warn", "error", "off"):
        gate = GateConfig(small_class_rows=2).model_copy(update={rule: severity})
        seen = evidence(gate=gate, train=bad, test=test, eval=[])
        found = [finding for finding in apply(seen) if finding.rule == rule]
        assert {finding.severity for finding in found} == ({severity} - {"off"})
        if severity == "error":
            with pytest.raises(GateError, match=rf"error {rule}"):
                raise_errors(found)
        else:
            raise_errors(found)


def test_all_errors_fit_on_one_screen() -> None:
    seen = evidence(train=[("x" * 10_000, "a")], eval=[], test=[("two\n\nlines", "c")])
    with pytest.raises(GateError) as caught:
        raise_errors(apply(seen))
    text = caught.value.render()
    for rule in ("empty_split", "one_class", "unseen_label"):
        assert f"error {rule}" in text
        assert (f"gate.{rule}" in caught.value.fix) == (rule != "empty_split"), "whose step would stop all the same"
    assert '"two lines" -> c' in text
    assert len(text.splitlines()) < 20
    assert max(map(len, text.splitlines())) < 250


def test_long_rows_are_shortened() -> None:
    shown = format_row(record("word " * 100_000, "a"))
    assert len(shown) < 100
    assert shown.endswith('…" -> a')


def test_texts_are_the_same_as_the_tokenizer_reads_them() -> None:
    spellings = ["Good film", "good  FILM", "good\u00a0film", "go\u00adod film", "\ufeffgood film", "ｇｏｏｄ film"]
    train: Rows = [(text, "ab"[index % 2]) for index, text in enumerate(spellings)]
    found = {finding.rule: finding for finding in apply(evidence(train=train, test=[("GOOD FILM", "a")]))}
    assert found["conflicting_labels"].rows == len(spellings)
    assert found["split_overlap"].examples == ('"GOOD FILM" -> a',)


def test_case_counts_for_a_cased_vocabulary() -> None:
    task, rows = TaskConfig(), [record("US", "a"), record("us", "b"), record("cafe\u0301", "a"), record("café", "b")]
    facts = {"train": SplitFacts("train", task, TextReading(lowercase=False, strip_accents=False))}
    for row in rows:
        facts["train"].add(RowBatch.of_records([row], task))
    finding = only(Evidence(task, GateConfig(small_class_rows=1), facts, lambda split: batches_of(rows, task)))
    assert (finding.rule, finding.rows) == ("conflicting_labels", 2)


def test_one_text_of_a_pair_in_two_splits() -> None:
    task = TaskConfig(text_pair="other")
    train: Rows = [(f"premise {n}", "ab"[n % 2], f"claim {n}") for n in range(6)]
    test: Rows = [("premise 1", "a", "new"), ("Premise 2", "a", "claim  2"), ("new", "b", "claim 3"), ("x", "a", "y")]
    found = apply(evidence(task, train=train, test=test))
    assert [(finding.rule, finding.column, finding.rows) for finding in found] == [
        ("split_overlap", "text", 1),
        ("split_overlap", "text", 1),
        ("split_overlap", "other", 1),
    ]
    assert found[0].examples == ('"Premise 2" + "claim 2" -> a',)
    assert found[1].examples == ('"premise 1" + "new" -> a',)
    assert "data.split_by: other" in found[2].fix


def test_second_texts_with_few_values_may_be_in_both_splits() -> None:
    task = TaskConfig(text_pair="topic")
    train: Rows = [(f"text {n}", "ab"[n % 2], f"topic {n % 3}") for n in range(12)]
    assert apply(evidence(task, train=train, test=[("new", "a", "topic 1")])) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [("Spam", "spam"), ("not spam", "not_spam"), ("01", "1"), ("1.50", "1.5"), ("Ａ", "A"), ("yes", "yes.")],
)
def test_labels_that_differ_only_in_spelling(one: str, other: str) -> None:
    finding = only(evidence(train=[("one", one), ("two", other), ("three", "else")]))
    assert (finding.rule, finding.severity, finding.rows, finding.of) == ("label_spelling", "warn", 2, 3)
    assert f"{one!r} (1)" in finding.message
    assert f"{other!r} (1)" in finding.message


def test_labels_that_differ_in_more_than_spelling() -> None:
    labels = ["B", "B+", "-1", "1", "1.5", "15", "C#", "C", "a1", "a 1", "never", "ever"]
    assert apply(evidence(train=[(f"text {n}", label) for n, label in enumerate(labels)])) == []


def test_an_unseen_label_that_is_a_misspelt_one() -> None:
    found = apply(evidence(train=GOOD, test=[("three", "A")]))
    assert [finding.rule for finding in found] == ["unseen_label", "label_spelling"]
    assert "only the spelling differs between 'A' and 'a'" in found[0].message


@pytest.mark.parametrize(
    ("label", "what"),
    [
        ("two\nlines", "without an edge bundle"),
        ("a\u2028b", "without an edge bundle"),
        ("a\tb", "tab"),
        ("x" * 300, "task.label"),
    ],
)
def test_troublesome_labels_are_reported_before_training(label: str, what: str) -> None:
    finding = only(evidence(train=[*GOOD, ("three", label)]))
    assert (finding.rule, finding.severity, finding.rows) == ("label_spelling", "warn", 1)
    assert what in finding.message


def test_a_multi_label_name_that_contains_the_separator() -> None:
    task = TaskConfig(type="multi_label")
    finding = only(evidence(task, train=[("one", ("R&D|sales",)), ("two", ("b",))]))
    assert "cannot be split again" in finding.message
