"""The page of a run, from its facts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from components.report.blocks import Block, Section
from components.report.card.model_card import card_blocks
from components.report.html_page import Page, body_of, render
from components.report.page_facts import RunFacts
from components.report.partial_facts import or_else, whole_or_why
from components.report.sections import overview
from components.report.sections.data import data_blocks
from components.report.sections.label_tables import labels_blocks
from components.report.sections.model_origin import changes_blocks, origin_blocks
from components.report.sections.quality import metrics_blocks, slices_blocks
from components.report.sections.shipping import edge_blocks, serving_blocks
from components.report.sections.training import training_blocks
from components.report.sections.trust import trust_blocks
from components.report.sections.wrong import wrong_blocks

FILE_NAME = "report.html"
_SECTIONS: tuple[tuple[str, str, str, Callable[[RunFacts], Iterator[Block]]], ...] = (
    ("next", "What now", "What came out, what is doubtful, and what to do next?", overview.next_blocks),
    (
        "metrics",
        "Metrics",
        "How good is it, how sure may I be, and is it better than what is live?",
        metrics_blocks,
    ),
    ("labels", "Labels", "Which labels are confused?", labels_blocks),
    ("rows", "Wrong rows", "Which rows are wrong, and is the label or the model at fault?", wrong_blocks),
    ("slices", "Slices", "Where is it worst?", slices_blocks),
    ("trust", "Scores", "Can the scores be trusted, and where should a threshold be?", trust_blocks),
    ("data", "Data", "What was it trained and measured on? Did the data drift?", data_blocks),
    ("changes", "Changes", "What is different from the run before?", changes_blocks),
    ("training", "Training", "How was it trained, on what, and was that long enough?", training_blocks),
    ("serving", "Serving", "Does the server answer as the trained model does, and how fast?", serving_blocks),
    ("edge", "Small devices", "How large and how fast is it on a small device?", edge_blocks),
    ("origin", "Origin", "Which commit, data and settings made it?", origin_blocks),
    ("card", "Model card", "What may others be told about it?", card_blocks),
)
"""Anchor, title, the question that it answers, and its blocks."""


def report_page(facts: RunFacts, made_by: str = "Transom", former_page: str = "") -> str:
    """The report as HTML: every section is there; one for which facts are missing says which and why.

    Args:
        facts: of the run.
        made_by: program and version, for the foot of the page.
        former_page: of the run that this one repeats: its sections are taken over, which takes no time.
    """
    body = body_of(former_page)
    if not all(f'<section id="{name}"' in body for name, *_ in _SECTIONS):
        body = ""  # another version of Transom made that page
    heading = facts.project or "A run of Transom"
    page = Page(
        title=f"{heading}: report{' of run ' + facts.name if facts.name else ''}",
        heading=heading,
        subheading=or_else(overview.subheading, facts, ""),
        verdict=or_else(overview.verdict, facts, ""),
        tone=or_else(overview.tone, facts, ""),
        headlines=or_else(overview.headlines, facts, []),
        sections=[
            Section(name, title, question, [] if body else whole_or_why(blocks, facts))
            for name, title, question, blocks in _SECTIONS
        ],
        foot=f"Made by {made_by}. This page needs no network and has no scripts.",
        body=body,
    )
    return render(page)
