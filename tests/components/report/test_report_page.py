"""The page of a run: of every task, of runs that stopped anywhere, with any text, in a real browser."""

from __future__ import annotations

import functools
import re
import tempfile
from html.parser import HTMLParser
from pathlib import Path

import pytest
from chromium import visit
from report_facts import HOSTILE, RIGHT_TO_LEFT, run_facts

from components.report.html_page import MOST_BYTES
from components.report.page_facts import RunFacts
from components.report.report_page import report_page

SECTIONS = [
    "next", "metrics", "labels", "rows", "slices", "trust", "data", "changes", "training", "serving", "edge", "origin",
    "card",
]  # fmt: skip
PARTS = (
    "data",
    "findings",
    "training",
    "losses",
    "evaluation",
    "rows",
    "serving",
    "edge",
    "pushed",
    "bundle",
    "lineage",
)
"""The facts that come with the steps, in their order."""


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def sections(self) -> list[str | None]:
        return [attributes.get("id") for tag, attributes in self.tags if tag == "section"]


@pytest.mark.parametrize(
    ("task", "labels"), [("single_label", 2), ("single_label", 5), ("multi_label", 3), ("regression", 0)]
)
def test_a_whole_run_of_any_task_has_every_section_and_lacks_nothing(task: str, labels: int, tmp_path: Path) -> None:
    facts = run_facts(tmp_path, task, labels)
    page = Page(report_page(facts))
    assert page.sections == SECTIONS
    assert "stopped before" not in page.text
    plots = sum(tag == "svg" for tag, _ in page.tags)
    assert plots >= 5
    for value in (
        f"{facts.evaluation['metrics'][name]:.4f}" for name in ("mae" if task == "regression" else "macro_f1",)
    ):
        assert value in page.text


@pytest.mark.parametrize("reached", range(len(PARTS)))
def test_a_run_that_stopped_anywhere_has_every_section_and_says_what_is_missing(reached: int, tmp_path: Path) -> None:
    facts = run_facts(tmp_path)
    missing = {name: getattr(RunFacts(), name) for name in PARTS[reached:]}
    stopped = {"status": "failed", "stopped_at": "Trainer", "error": "a reason", "verdict": ""}
    page = Page(report_page(RunFacts(**{**vars(facts), **missing, **stopped})))
    assert page.sections == SECTIONS
    assert "Stopped by an error in Trainer.\na reason" in page.text
    if reached <= PARTS.index("rows"):
        assert "stopped before" in page.text


def test_a_run_of_which_nothing_is_known_has_a_page() -> None:
    assert Page(report_page(RunFacts())).sections == SECTIONS


@functools.cache
def _plain_tags(task: str) -> set[str]:
    """The kinds of tags in a page of harmless texts."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            tag for tag, _ in Page(report_page(run_facts(Path(folder), task, 0 if task == "regression" else 3))).tags
        }


@pytest.mark.parametrize("text", [HOSTILE, RIGHT_TO_LEFT, "x" * 100_000, "", "\u202eevil", "$x^2$ %s {0} \\frac"])
@pytest.mark.parametrize("task", ["single_label", "multi_label", "regression"])
def test_texts_of_the_table_are_escaped_wherever_they_appear(text: str, task: str, tmp_path: Path) -> None:
    page = Page(report_page(run_facts(tmp_path, task, 0 if task == "regression" else 3, text)))
    plain = _plain_tags(task)
    assert {tag for tag, _ in page.tags} <= plain
    for _, attributes in page.tags:
        assert not any(
            name.startswith("on") or (name in ("src", "href") and not str(value).startswith("#"))
            for name, value in attributes.items()
        )
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\u202a-\u202e\u2066-\u2069]", page.text)


def test_twenty_thousand_labels_and_long_texts_give_a_small_page(tmp_path: Path) -> None:
    page = report_page(run_facts(tmp_path, labels=20_000, text="long " * 20_000, rows=100))
    assert len(page.encode()) < MOST_BYTES


def test_values_that_could_not_be_measured_leave_gaps(tmp_path: Path) -> None:
    facts = run_facts(tmp_path, rows=3)  # too few for intervals
    evaluation = {**facts.evaluation, "metrics": dict.fromkeys(facts.evaluation["metrics"])}
    training = {**facts.training, "history": [], "tokens_per_second": 0.0}
    edge = {**facts.edge, "variants": [{"variant": "float16", "chosen": False, "why": "it broke"}], "blessed": False}
    serving = {"blessed": False, "verdict": "not served: no reason"}
    page = report_page(
        RunFacts(**{**vars(facts), "evaluation": evaluation, "training": training, "edge": edge, "serving": serving})
    )
    assert "it broke" in page
    assert "not served" in page.lower()


def test_what_changed_since_the_run_before_is_listed(tmp_path: Path) -> None:
    before = run_facts(tmp_path)
    config = {**before.config, "train": {"epochs": 3}, "task": {"type": "single_label", "text": "body"}}
    page = Page(report_page(RunFacts(**{**vars(before), "config": config, "previous": before})))
    for key in ("train.epochs", "task.text"):
        assert key in page.text
    assert "Every split has as many rows as before" in page.text


def test_a_repeated_run_takes_over_the_sections_of_the_former_page(tmp_path: Path) -> None:
    facts = run_facts(tmp_path)
    former = report_page(facts)
    again = Page(report_page(RunFacts(name="later", status="unchanged"), "Transom", former))
    assert again.sections == SECTIONS
    assert "run later" in again.text
    assert "nothing new" in again.text.lower()
    assert "95% interval" in again.text


def test_the_page_is_the_same_whenever_it_is_made(tmp_path: Path) -> None:
    facts = run_facts(tmp_path)
    assert report_page(facts) == report_page(facts)


def test_a_browser_finds_no_fault_in_either_theme_at_any_width(tmp_path: Path) -> None:
    texts = f"{RIGHT_TO_LEFT} {HOSTILE} " + "without-any-break" * 30
    page = tmp_path / "report.html"
    page.write_text(report_page(run_facts(tmp_path, labels=5, text=texts)), encoding="utf-8")
    found = visit(page, tmp_path)
    assert found["console"] == []
    assert set(found["requests"]) == {page.as_uri()}
    for view in found["views"]:
        where = f"{view['width']} {view['scheme']}"
        assert view["violations"] == [], where
        assert not view["overflows"], where
        assert view["sections"] == SECTIONS
        assert view["landmarks"] == [1, 1, 1, 1]
        assert view["dead_links"] == 0
        assert (tmp_path / f"{view['width']}-{view['scheme']}.png").stat().st_size > 10_000
    assert len(found["views"]) == 4
