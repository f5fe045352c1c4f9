"""The comparison of two runs, as blocks: for the terminal and for a page."""

from __future__ import annotations

from collections.abc import Iterator

from components.report.blocks import Block, Cell, Paragraph, RowCard, Section, Table
from components.report.html_page import Page, render
from components.report.sections.overview import PRIMARY
from components.report.wording import chance, count, cut, number, signed, signed_interval
from pipeline.reports.run_comparison import ChangedRow, RunComparison
from pipeline.version import version_text

_MOST_SETTINGS, _MOST_CARDS = 60, 40


def comparison_page(found: RunComparison) -> str:
    """The comparison as a page of its own."""
    names = f"{found.before.name} and {found.after.name}"
    page = Page(
        title=f"Runs {names}",
        heading=str(found.after.config.get("name") or "Two runs"),
        subheading=f"runs {names}",
        verdict=verdict(found),
        tone=tone(found),
        headlines=[],
        sections=[
            Section(
                "metrics", "Metrics", "Is the later run better, and is that more than chance?", list(metrics(found))
            ),
            Section("fixed", "Fixed rows", "What does it get right that was wrong?", list(rows(found, fixed=True))),
            Section("broken", "Broken rows", "What does it get wrong that was right?", list(rows(found, fixed=False))),
            Section("settings", "Settings", "Which settings differ?", list(settings(found))),
            Section("data", "Data", "Which data differ?", list(data(found))),
        ],
        foot=f"Made by {version_text()}. This page needs no network and has no scripts.",
    )
    return render(page)


def verdict(found: RunComparison) -> str:
    """One sentence: what changed, and whether it is more than chance."""
    if found.why_not:
        return f"The rows cannot be compared: {found.why_not}."
    outcomes = found.outcomes
    if outcomes:
        certain = "more than chance" if outcomes["chance"] < 0.05 else "it may be chance"
        return (
            f"On the {count(found.shared, 'row')} that both measured, {outcomes['fixed']:,} became right and "
            f"{outcomes['broken']:,} became wrong: {certain} (McNemar's test, p {chance(outcomes['chance'])})."
        )
    name = PRIMARY.get(str(found.after.evaluation.get("task")), "mae")
    measured = found.metrics.get(name, {})
    return f"{name} {number(measured.get('before'))} before, {number(measured.get('after'))} after."


def tone(found: RunComparison) -> str:
    """ "good" or "bad" if the difference is more than chance, else ""."""
    outcomes = found.outcomes
    if not outcomes or outcomes["chance"] >= 0.05:
        return ""
    return "good" if outcomes["fixed"] > outcomes["broken"] else "bad"


def metrics(found: RunComparison) -> Iterator[Block]:
    """The metrics on the shared rows, and what is not comparable."""
    if found.why_not:
        yield Paragraph(f"The rows cannot be compared: {found.why_not}.", "note")
        return
    lines: list[list[Cell | str]] = []
    for name, one in found.metrics.items():
        known = one["before"] is not None and one["after"] is not None
        difference = signed(one["after"] - one["before"]) if known else number(None)
        cells = [number(one["before"]), number(one["after"]), difference, signed_interval(one["interval"])]
        lines.append([name.replace("_", " "), *cells])
    caption = f"On the {count(found.shared, 'row')} that both measured"
    yield Table(caption, ["metric", "before", "after", "difference", "95% interval"], lines)
    alone = [
        f"{count(rows, 'row')} only {words}"
        for rows, words in ((found.only_before, "the earlier run"), (found.only_after, "the later run"))
        if rows
    ]
    if alone:
        yield Paragraph(f"Measured by one alone: {', '.join(alone)}.")
    if found.relabelled:
        yield Paragraph(f"{count(found.relabelled, 'row')} got another label in between; the later one counts.")


def rows(found: RunComparison, *, fixed: bool) -> Iterator[Block]:
    """The fixed rows, or the broken ones, the surest answers first."""
    listed = found.fixed if fixed else found.broken
    total = found.outcomes.get("fixed" if fixed else "broken", len(listed))
    if not listed:
        yield Paragraph("None.", "" if found.why_not else "good" if not fixed else "")
        return
    shown = listed[:_MOST_CARDS]
    if total > len(shown):
        yield Paragraph(f"The first {len(shown):,} of {total:,}.")
    for row in shown:
        yield _card(row)


def _card(row: ChangedRow) -> RowCard:
    texts = [row.text] if row.text_pair is None else [row.text, row.text_pair]
    return RowCard("", texts, cut(row.given, 200), cut(row.after, 200), [("the answer before", cut(row.before, 200))])


def settings(found: RunComparison) -> Iterator[Block]:
    """Every setting that differs."""
    if not found.settings:
        yield Paragraph("The settings are the same.")
        return
    lines = [[key, cut(before, 120), cut(after, 120)] for key, before, after in found.settings[:_MOST_SETTINGS]]
    yield Table("Settings that differ", ["key", "before", "after"], lines, numeric=False)
    if len(found.settings) > _MOST_SETTINGS:
        yield Paragraph(f"and {count(len(found.settings) - _MOST_SETTINGS, 'more setting')}")


def data(found: RunComparison) -> Iterator[Block]:
    """The splits' rows, and the files that differ."""
    changed = [split for split in found.splits if split[1] != split[2]]
    if changed:
        lines = [[name, *(f"{rows:,}" if rows is not None else "–" for rows in counts)] for name, *counts in changed]
        yield Table("Rows of the splits", ["split", "before", "after"], lines)
    if found.files:
        yield Table(
            "Tables", ["file", "state"], [[cut(path, 160), state] for path, state in found.files], numeric=False
        )
    if not changed and not found.files:
        yield Paragraph("The tables are the same, as far as it is recorded.")
