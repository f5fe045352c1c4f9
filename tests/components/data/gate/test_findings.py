"""The gate's findings as text and as a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.data.gate.findings import Finding, load, raise_errors, render, save
from models.errors import GateError


def test_many_errors_are_shortened() -> None:
    findings = [Finding("schema_anomaly", "error", "eval", f"c{n}", "gone", examples=("one", "two")) for n in range(50)]
    with pytest.raises(GateError) as caught:
        raise_errors(findings)
    text = caught.value.render()
    assert "50 errors" in text
    assert "and 40 more" in text
    assert "two" not in text
    assert len(text.splitlines()) < 30


@pytest.mark.parametrize("beside", [[], [Finding("one_class", "error", "train", "label", "one label")]])
def test_what_a_later_step_needs_is_not_offered_to_pass(beside: list[Finding]) -> None:
    with pytest.raises(GateError) as caught:
        raise_errors([Finding("empty_split", "error", "eval", "", "no rows", fix="give more rows"), *beside])
    assert caught.value.fix == "give more rows" + ("; the rest may pass: gate.one_class: warn" if beside else "")
    with pytest.raises(GateError) as caught:
        raise_errors([Finding("empty_split", "error", "eval", "", "no rows"), *beside])
    assert "empty_split" not in caught.value.fix
    with pytest.raises(GateError, match=r"or let it pass: gate\.one_class: warn"):
        raise_errors([Finding("one_class", "error", "train", "label", "one label")])


def test_a_remedy_is_given_once() -> None:
    empty = Finding("empty_split", "error", "eval", "", "no rows", fix="give more rows")
    with pytest.raises(GateError) as caught:
        raise_errors([empty])
    assert caught.value.render().count("give more rows") == 1
    with pytest.raises(GateError) as caught:
        raise_errors([empty, Finding("one_class", "error", "train", "label", "one label", fix="add labels")])
    assert "add labels" in caught.value.render()


def test_findings_on_disk(tmp_path: Path) -> None:
    findings = [
        Finding("split_overlap", "warn", "eval", "text", "1 of 2 rows", rows=1, of=2, examples=('"é" -> b',)),
        Finding("one_class", "error", "train", "label", "all rows have the same label", fix="add rows"),
    ]
    save(findings, tmp_path)
    assert load(tmp_path) == findings
    assert render(findings).splitlines() == [
        "error one_class in train, column 'label': all rows have the same label",
        "    to fix: add rows",
        "warn split_overlap in eval, column 'text': 1 of 2 rows",
        '    "é" -> b',
    ]
    assert render([]) == "the data gate found nothing"
