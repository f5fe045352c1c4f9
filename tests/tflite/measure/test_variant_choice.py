"""Which variant is chosen, and why not the others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tflite.config import EdgeConfig
from tflite.measure.cost import Cost, Latency
from tflite.measure.parity import Parity, Quality
from tflite.measure.variant_choice import Candidate, choose_variant

FLOAT32 = Cost(4_000_000, 5.0, 9_000_000, 1, (Latency("classify_8", 1.0, 1.1), Latency("classify_32", 4.0, 4.4)))


def cost(size: int, ms: float = 2.0, memory: int = 3_000_000) -> Cost:
    return Cost(size, 5.0, memory, 1, (Latency("classify_8", 1.0, 1.1), Latency("classify_32", ms, ms)))


def parity(**more: Any) -> Parity:
    same = {"rows": 400, "other_token_ids": 0, "not_finite": 0, "max_logit": 0.1, "max_difference": 0.01}
    return Parity(**{**same, "agreement": 1.0, "quality": (Quality("", 400, 0.9, 0.9, 0.0),), **more})


GOOD = Candidate("float16", parity(), cost(2_000_000), ("FULLY_CONNECTED",))


def report(candidate: Candidate, **config: Any) -> dict[str, Any]:
    found = choose_variant([candidate, GOOD], FLOAT32, EdgeConfig.model_validate(config))
    json.dumps(found, allow_nan=False)
    return found


def test_the_smallest_that_passes() -> None:
    small = Candidate("dynamic_int8", parity(agreement=0.9975), cost(1_000_000), ("FULLY_CONNECTED",))
    found = choose_variant([GOOD, small], FLOAT32, EdgeConfig())
    assert found["blessed"]
    assert found["variant"] == "dynamic_int8"
    assert found["verdict"] == "edge bundle dynamic_int8: 1.00 MB of 4.00, Keras's prediction on 99.7% of 400 rows"
    assert [(row["variant"], row["chosen"], row["why"]) for row in found["variants"]] == [
        ("dynamic_int8", True, ""),
        ("float16", False, "larger than dynamic_int8"),
    ]
    assert found["variants"][0]["latency_ratio"] == 0.5


LOST = Quality("label=x", 20, 0.9, 0.8, 0.1)


@pytest.mark.parametrize(
    ("wrong", "config", "why"),
    [
        ({"parity": parity(agreement=0.98)}, {}, "agreement 0.9800 is below edge.min_agreement 0.99"),
        ({"parity": parity(not_finite=3)}, {}, "predicts NaN or infinity for 3 of 400 rows"),
        ({"parity": parity(other_token_ids=1)}, {}, "1 of 400 rows have other token ids"),
        (
            {"parity": parity(quality=(Quality("", 400, 0.9, 0.87, 0.03),))},
            {},
            "loses 0.0300 on 400 rows, edge.max_loss",
        ),
        (
            {"parity": parity(quality=(LOST,))},
            {},
            "loses 0.1000 on slice label=x (20 rows), edge.max_slice_loss is 0.05",
        ),
        ({"cost": cost(1_500_000)}, {"budget": {"megabytes": 1.4}}, "1.50 MB, edge.budget.megabytes is 1.4"),
        ({}, {"budget": {"memory_megabytes": 2}}, "3.0 MB of memory"),
        ({"cost": cost(10, ms=4.4)}, {"budget": {"latency_ratio": 1}}, "1.10 times float32's latency"),
        ({"operations": ("GELU", "ADD")}, {"budget": {"operations": ["FULLY_CONNECTED"]}}, "needs ADD, GELU, which"),
        ({"broken": "the quantizer said no", "parity": None, "cost": None}, {}, "the quantizer said no"),
    ],
)
def test_why_another_one_is_not_chosen(wrong: dict[str, Any], config: dict[str, Any], why: str) -> None:
    fine = {"parity": parity(), "cost": cost(1_000_000), "operations": ("FULLY_CONNECTED",)}
    found = report(Candidate("dynamic_int8", **{**fine, **wrong}), **config)
    reasons = {row["variant"]: row["why"] for row in found["variants"]}
    assert why in reasons["dynamic_int8"]
    assert found["variant"] in ("float16", None)


@pytest.mark.parametrize(
    ("missing", "config", "why"),
    [
        ({"float32": None}, {"budget": {"latency_ratio": 1}}, "edge.budget.latency_ratio 1 cannot be judged"),
        ({"cost": cost(10, ms=0.0)}, {"budget": {"latency_ratio": 1}}, "edge.budget.latency_ratio 1 cannot be judged"),
        ({"cost": cost(10, memory=0)}, {"budget": {"memory_megabytes": 2}}, "memory_megabytes 2 cannot be judged"),
        ({"operations": ()}, {"budget": {"operations": ["ADD"]}}, "edge.budget.operations cannot be judged"),
        ({"parity": parity(agreement=float("nan"))}, {}, "agreement nan is below"),
        ({"parity": parity(rows=0)}, {}, "there are no rows to compare with Keras"),
        (
            {"parity": parity(quality=(Quality("", 0, float("nan"), float("nan"), float("nan")),))},
            {},
            "edge.max_loss cannot be judged: none of the compared rows has a label",
        ),
        ({"parity": parity(quality=(Quality("", 9, 0.9, float("nan"), float("nan")),))}, {}, "loses nan on 9 rows"),
    ],
)
def test_a_budget_that_cannot_be_judged_does_not_pass(
    missing: dict[str, Any], config: dict[str, Any], why: str
) -> None:
    fine = {"parity": parity(), "cost": cost(1_000_000), "operations": ("FULLY_CONNECTED",)}
    float32 = missing.pop("float32", FLOAT32)
    candidate = Candidate("dynamic_int8", **{**fine, **missing})
    found = choose_variant([candidate], float32, EdgeConfig.model_validate(config))
    assert not found["blessed"]
    assert why in found["variants"][0]["why"]
    json.dumps(found, allow_nan=False)


def test_a_loss_at_the_limit_passes() -> None:
    edge = parity(quality=(Quality("", 100, 0.90, 0.89, 0.90 - 0.89),))
    assert report(Candidate("dynamic_int8", edge, cost(1_000_000)))["variant"] == "dynamic_int8"


def test_none_passes() -> None:
    found = choose_variant([Candidate("int8", broken="no rows"), GOOD], FLOAT32, EdgeConfig(budget={"megabytes": 1}))
    assert not found["blessed"]
    assert found["variant"] is None
    assert found["verdict"] == "no edge bundle: int8: no rows; float16: 2.00 MB, edge.budget.megabytes is 1"


def test_infinite_differences_are_null_in_the_report() -> None:
    candidate = Candidate("dynamic_int8", parity(not_finite=1, max_logit=float("inf")), cost(1))
    assert report(candidate)["variants"][0]["parity"]["max_logit"] is None
