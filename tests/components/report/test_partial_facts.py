"""A record of another version, or one that somebody has changed: the page is made, and says what is missing."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from report_facts import run_facts

from components.report.blocks import Plot
from components.report.page_facts import RunFacts
from components.report.report_page import report_page

PARTS = ("data", "training", "evaluation", "rows", "serving", "edge", "lineage", "config")


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in JSON values."""
    inner = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    return [path, *(place for key, part in inner for place in places(part, (*path, key)))]


def damaged(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The values with another one at a place."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = damaged(value[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize("new", [None, "a text", 3, [], {}])
@pytest.mark.parametrize("task", ["single_label", "regression"])
def test_any_value_may_be_of_another_kind(task: str, new: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Plot, "svg", "")  # drawing takes most of the time
    facts, chosen = run_facts(tmp_path, task), random.Random(0)
    for part in PARTS:
        whole = json.loads(json.dumps(getattr(facts, part)))
        for path in chosen.sample(every := places(whole)[1:], min(4, len(every))):
            page = report_page(RunFacts(**{**vars(facts), part: damaged(whole, path, new)}))
            assert page.count("<section ") == 13, path


def test_what_comes_before_the_damage_is_shown(tmp_path: Path) -> None:
    facts = run_facts(tmp_path)
    report = {key: value for key, value in facts.training.items() if key != "stopped_early"}
    page = report_page(RunFacts(**{**vars(facts), "training": report}))
    assert "After each epoch, on the eval rows" in page
    assert "The rest is missing: the record of the run is not complete (KeyError: &#39;stopped_early&#39;)." in page
