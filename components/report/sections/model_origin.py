"""Where the model comes from: steps, settings, data, code; and what changed since the run before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from components.report.blocks import Block, Cell, Details, FactList, Paragraph, Table
from components.report.page_facts import RunFacts
from components.report.wording import ABSENT, count, cut, megabytes, number, seconds, signed

_TONES = {"done": "good", "failed": "bad", "interrupted": "bad"}
_MOST_CHANGES, _MOST_FILES, _MOST_FACTS = 60, 20, 60


def changes_blocks(facts: RunFacts) -> Iterator[Block]:
    """The differences to the run before: settings, data, metrics."""
    previous = facts.previous
    if previous is None:
        yield Paragraph("This is the first run of the project.", "note")
        return
    yield Paragraph(f"Compared with run {previous.name} ({previous.status}).")
    settings = list(changed_settings(previous.config, facts.config))
    if settings:
        rows = [[key, cut(before, 120), cut(now, 120)] for key, before, now in settings[:_MOST_CHANGES]]
        yield Table("Settings that changed", ["key", "before", "now"], rows, numeric=False)
    else:
        yield Paragraph("The settings are the same.")
    yield from _data_changes(previous, facts)
    yield from _metric_changes(previous, facts)


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Key, value before and value now of each setting that differs."""
    old, new = dict(flat(before)), dict(flat(now))
    for key in dict.fromkeys((*old, *new)):
        if old.get(key) != new.get(key):
            yield key, _shown(old, key), _shown(new, key)


def flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each setting by its whole key ("train.epochs")."""
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _shown(settings: Mapping[str, Any], key: str) -> str:
    if key not in settings:
        return ABSENT
    value = settings[key]
    return "not set" if value is None else str(value)


def _data_changes(previous: RunFacts, facts: RunFacts) -> Iterator[Block]:
    before, now = previous.data.get("splits", {}), facts.data.get("splits", {})
    if not before or not now:
        return
    rows = []
    for name in dict.fromkeys((*before, *now)):
        old, new = (split.get(name, {}).get("rows") for split in (before, now))
        if old != new:
            rows.append([name, _rows(old), _rows(new)])
    if rows:
        yield Table("Rows of the splits", ["split", "before", "now"], rows)
    else:
        yield Paragraph("Every split has as many rows as before.")


def _rows(rows: int | None) -> str:
    return ABSENT if rows is None else f"{rows:,}"


def _metric_changes(previous: RunFacts, facts: RunFacts) -> Iterator[Block]:
    before, now = previous.evaluation.get("metrics", {}), facts.evaluation.get("metrics", {})
    shared = [name for name in now if name in before and now[name] is not None and before[name] is not None]
    rows = [
        [name.replace("_", " "), number(before[name]), number(now[name]), signed(now[name] - before[name])]
        for name in shared
        if not name.endswith("_count") or now[name] != before[name]
    ]
    if rows:
        yield Table("Metrics, each on the test rows of its run", ["metric", "before", "now", "difference"], rows)


def origin_blocks(facts: RunFacts) -> Iterator[Block]:
    """Commit, data, settings, steps: from the span to the pushed version."""
    yield from _lineage(facts.lineage)
    if facts.steps:
        rows = [
            [step["name"], Cell(step["status"], None, _TONES.get(step["status"], "")), seconds(step["seconds"])]
            for step in facts.steps
        ]
        yield Table("Steps", ["step", "result", "time"], rows, numeric=False)
    places = [("pushed version", facts.pushed), ("edge bundle", facts.bundle)]
    if facts.pushed or facts.bundle:
        yield FactList([(name, place) for name, place in places if place])
    settings = [[key, cut(_shown({key: value}, key), 300)] for key, value in flat(facts.config)]
    if settings:
        table = Table("The resolved configuration", ["key", "value"], settings, numeric=False)
        yield Details("All settings", [table])
    notes = [[note.get("step", ""), cut(note.get("text", ""), 600)] for note in facts.notes]
    if notes:
        messages = Table("Messages", ["step", "message"], notes, numeric=False)
        yield Details("What the steps reported", [messages])
    if not (facts.lineage or facts.steps or facts.config):
        yield Paragraph("Nothing is known of its origin.", "note")


def _lineage(lineage: Mapping[str, Any]) -> Iterator[Block]:
    """The commit, the tables and the machine; then everything else that is not a list."""
    origin = lineage.get("origin") or {}
    code = origin.get("code") or {}
    if code.get("commit"):
        state = " with uncommitted changes" if code.get("uncommitted") else ""
        yield Paragraph(f"Made by Transom {code.get('transom') or ''} from commit {code['commit'][:12]}{state}.")
    files = [file for source in (lineage.get("data") or {}).get("sources", []) for file in source.get("files", [])]
    if files:
        rows = [
            [cut(file["path"], 160), megabytes(file["bytes"]), str(file["sha256"])[:16]] for file in files[:_MOST_FILES]
        ]
        yield Table("The tables that were read", ["file", "size", "SHA-256 begins"], rows, numeric=False)
    if len(files) > _MOST_FILES:
        yield Paragraph(f"and {count(len(files) - _MOST_FILES, 'more file')}")
    for name, part in lineage.items():
        if isinstance(part, Mapping) and name != "config":
            short = [(key, value) for key, value in flat(part) if not isinstance(value, list)]
            facts = [(key.replace("_", " "), cut(str(value), 200)) for key, value in short if value is not None]
            if facts:
                yield Details(
                    f"Everything that is known of the {name.replace('_', ' ')}", [FactList(facts[:_MOST_FACTS])]
                )
