"""No constant answer reaches the quality that `transom init` suggests."""

from __future__ import annotations

import re
from array import array
from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import f1_score

from components.config import EvaluationConfig
from components.evaluation.thresholds import check_metrics
from models.config import TaskConfig
from pipeline.configuration.yaml_text import read_yaml
from pipeline.init.suggested_thresholds import suggest_thresholds, uneven_label
from pipeline.init.table_counts import TableCounts
from tflite.host.prediction import TaskType


def suggested(task: TaskType, counts: TableCounts, pairs: bool = False) -> dict[str, dict[str, float]]:
    lines = list(suggest_thresholds(task, counts, pairs=pairs))
    assert all(re.fullmatch(r"\w+: \{m(in|ax): [^ ]+\}    # .+", line) for line in lines)
    thresholds: dict[str, dict[str, float]] = read_yaml("\n".join(lines)) or {}
    config = EvaluationConfig.model_validate({"thresholds": thresholds})
    check_metrics(task, config, [*counts.labels] or None)  # a run would accept them
    assert TaskConfig(type=task)
    return thresholds


@pytest.mark.parametrize(
    ("rare", "shown"), [(2, "99.5% of the rows"), (20, "95% of the rows"), (0.02, "99.995% of the rows")]
)
def test_a_share_is_not_rounded_to_all_or_none(rare: float, shown: str) -> None:
    scale = 1 if rare >= 1 else 100
    counts = TableCounts(labels=Counter({"ham": round((400 - rare) * scale), "spam": round(rare * scale)}))
    assert shown in uneven_label("single_label", counts)
    million = TableCounts(rows=10**6, labels=Counter({"ham": 10**6 - 1, "spam": 1}))
    assert "99.9999% of the rows" in uneven_label("single_label", million)
    assert "an accuracy of 0.999999" in next(iter(suggest_thresholds("single_label", million, pairs=False)))
    sparse = TableCounts(rows=10**6, labels=Counter({"a": 100}))
    assert "has 0.0002" in next(iter(suggest_thresholds("multi_label", sparse, pairs=False)))


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize(
    "labels",
    [
        {"ham": 4825, "spam": 747},
        {"a": 50, "b": 50},
        {"a": 3, "b": 2, "c": 1},
        {"a": 99_999, "b": 1},
        {f"l{n}": 10 for n in range(77)},
        {"a": 74, "b": 20, "c": 6},
    ],
)
def test_single_labels(labels: dict[str, int], pairs: bool) -> None:
    ((metric, limit),) = suggested("single_label", TableCounts(labels=Counter(labels)), pairs).items()
    truth = np.repeat(list(labels), list(labels.values()))
    for label in labels:
        constant = np.full(len(truth), label)
        reached = (
            float((truth == constant).mean())
            if metric == "accuracy"
            else f1_score(truth, constant, average="macro", zero_division=0.0)
        )
        assert reached < limit["min"] < 1
    assert metric == ("macro_f1" if max(labels.values()) >= 0.75 * len(truth) else "accuracy")


def test_an_even_table_of_two_labels_and_the_spam_set() -> None:
    assert suggested("single_label", TableCounts(labels=Counter(a=50, b=50))) == {"accuracy": {"min": 0.67}}
    spam = list(suggest_thresholds("single_label", TableCounts(labels=Counter(ham=4825, spam=747)), pairs=False))
    assert "always answering 'ham' has 0.464, and an accuracy of 0.866" in spam[0]


@pytest.mark.parametrize(
    "rows", [["a", "b", "a", ""], ["ab", "abc", "a"], ["abc"] * 99 + ["a"], ["a"] * 9 + ["b"], ["", "", "a"]]
)
def test_several_labels(rows: list[str]) -> None:
    counts = TableCounts(rows=len(rows), labels=Counter("".join(rows)))
    limit = suggested("multi_label", counts)["micro_f1"]["min"]
    names = sorted(set("".join(rows)))
    truth = np.array([[name in row for name in names] for row in rows])
    for choice in range(1, 2 ** len(names)):
        constant = np.tile([bool(choice >> bit & 1) for bit in range(len(names))], (len(rows), 1))
        assert f1_score(truth, constant, average="micro", zero_division=0.0) < limit < 1


@pytest.mark.parametrize("numbers", [[0.0, 5.0, 2.5], [1e-9, 2e-9], [1e6, 1e6 + 1], [-3.0] * 99 + [3.0]])
def test_numbers(numbers: list[float]) -> None:
    thresholds = suggested("regression", TableCounts(numbers=array("d", numbers)))
    assert 0 < thresholds["mse"]["max"] < np.var(numbers)
    assert 0 < thresholds["spearman"]["min"] < 1


def test_nothing_is_suggested_where_the_rows_do_not_tell() -> None:
    assert not suggested("single_label", TableCounts(labels=Counter(a=9)))
    assert not suggested("multi_label", TableCounts(rows=9))
    assert not suggested("multi_label", TableCounts(rows=9, labels=Counter(a=9)))  # always answering it is perfect
    assert not suggested("regression", TableCounts(numbers=array("d", [2.5, 2.5])))
    assert set(suggested("regression", TableCounts(numbers=array("d", [1e300, -1e300])))) == {"spearman"}
