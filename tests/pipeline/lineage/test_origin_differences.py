"""What is said to differ before a model is trained again, and which of it explains other weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from written_lineages import lineage

from components.lineage.lineage_facts import Lineage, Origin, TrainingFacts
from pipeline.lineage.origin_differences import computing_differences, find_differences, known_reasons


def changed(facts: Lineage, **parts: dict[str, Any]) -> Origin:
    """The origin with other facts of the environment or the code."""
    raw = facts.origin.model_dump()
    for name, values in parts.items():
        raw[name].update(values)
    return Origin.model_validate(raw)


@pytest.fixture
def facts(tmp_path: Path) -> Lineage:
    return lineage(tmp_path)


def test_the_same_machine_differs_in_nothing(facts: Lineage) -> None:
    assert find_differences(facts, changed(facts)) == []


@pytest.mark.parametrize(
    ("part", "values", "sentence", "kind"),
    [
        ("environment", {"cpu": "B CPU"}, "CPU: A CPU then, B CPU now", "cpu"),
        ("environment", {"features": []}, "CPU features: avx2 then, none now", "cpu"),
        ("environment", {"threads": 2}, "threads: 4 then, 2 now", "threads"),
        ("environment", {"python": "3.11.9"}, "Python: 3.11.0 then, 3.11.9 now", "packages"),
        ("environment", {"packages": {"tensorflow": "2.1"}}, "tensorflow: 2.0 then, 2.1 now", "packages"),
        ("environment", {"packages": {}}, "tensorflow: 2.0 then, not installed now", "packages"),
        ("environment", {"lock": "2" * 64}, f"requirements.lock: {'1' * 12}… then, {'2' * 12}… now", ""),
        ("environment", {"lock": None}, f"requirements.lock: {'1' * 12}… then, none now", ""),
        ("environment", {"platform": "Linux-2"}, "platform: Linux-1 then, Linux-2 now", ""),
        ("code", {"transom": "1.1"}, "Transom: 1.0 then, 1.1 now", "code"),
        ("code", {"steps": {"Trainer": "0" * 32}}, f"code of Trainer: {'f' * 12}… then, {'0' * 12}… now", "code"),
    ],
)
def test_a_difference_is_listed(facts: Lineage, part: str, values: dict[str, Any], sentence: str, kind: str) -> None:
    (found,) = find_differences(facts, changed(facts, **{part: values}))
    assert (found.render(), found.kind) == (sentence, kind)


def test_a_commit_matters_only_if_the_code_that_trains_is_another(facts: Lineage) -> None:
    (only,) = find_differences(facts, changed(facts, code={"commit": "d" * 40, "uncommitted": True}))
    assert only.render() == f"commit: {'c' * 12} then, {'d' * 12} with uncommitted changes now"
    assert only.kind == ""
    both = find_differences(facts, changed(facts, code={"commit": "d" * 40, "steps": {}}))
    assert {one.kind for one in both} == {"code"}


def test_another_framework_has_packages_of_its_own(facts: Lineage) -> None:
    backend = {"framework": "jax", "lock": "1" * 64, "packages": {"jax": "1.2"}}
    then = facts.model_copy(update={"origin": changed(facts, environment={"backend": backend})})
    newer = {**backend, "packages": {"jax": "1.3"}}
    (found,) = find_differences(then, changed(facts, environment={"backend": newer}))
    assert (found.render(), found.kind) == ("jax: jax: 1.2 then, 1.3 now", "packages")


def test_what_was_not_noted_is_no_difference(facts: Lineage) -> None:
    assert find_differences(Lineage(), changed(facts)) == []


def test_what_auto_has_chosen_otherwise_is_a_reason() -> None:
    then = TrainingFacts(precision="float32", xla=True, devices=["/device:GPU:0"], framework="tensorflow 2")
    now = then.model_copy(update={"precision": "mixed_bfloat16", "devices": ["/device:CPU:0"]})
    found = computing_differences(then, now)
    assert [one.what for one in found] == ["precision", "devices"]
    assert known_reasons(found) == ["another precision, compilation or device"]
    assert computing_differences(then, then) == []
