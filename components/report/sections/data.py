"""What the data are like: rows, labels, lengths, findings of the gate, drift."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from components.report import charts
from components.report.blocks import Block, Cell, Details, FactList, Paragraph, Table
from components.report.blocks import Plot as PlotBlock
from components.report.page_facts import RunFacts
from components.report.wording import ABSENT, count, cut, number, percent

_MOST_FINDINGS = 30
_DRIFT = {"length": "text lengths", "number": "numbers", "value": "values"}
_LEAKS = {
    "split_overlap": "texts in two splits",
    "conflicting_labels": "texts with contradicting labels",
    "empty_text": "empty texts",
}


def data_blocks(facts: RunFacts) -> Iterator[Block]:
    """Counts, label balance, lengths, anomalies, duplicates and leakage, drift."""
    splits: Mapping[str, Any] = facts.data.get("splits", {})
    if not splits:
        yield Paragraph("The run stopped before the data were counted.", "note")
        yield from _findings(facts)
        return
    yield _counts(splits)
    if any("labels" in split for split in splits.values()):
        yield from _labels(splits)
    yield from _numbers(splits)
    yield from _lengths(splits)
    yield from _findings(facts)
    yield from _drift(facts)


def _counts(splits: Mapping[str, Any]) -> Table:
    rows = []
    for name, split in splits.items():
        texts = list(split["lengths"])
        medians = [f"{split['lengths'][text]['quantiles'][3]:,.0f}" if split["rows"] else ABSENT for text in texts]
        empty = sum(split["empty"].values())
        labels = f"{split['labels']['count']:,}" if "labels" in split else ABSENT
        rows.append([name, f"{split['rows']:,}", labels, " + ".join(medians), f"{empty:,}"])
    return Table("Rows of each split", ["split", "rows", "labels", "median characters", "empty texts"], rows)


def _labels(splits: Mapping[str, Any]) -> Iterator[Block]:
    """The labels with their rows in each split, the most frequent of the training rows first."""
    first = splits.get("train") or next(iter(splits.values()))
    described = first["labels"]
    by_split = {
        name: {label: rows for part in ("most", "fewest") for label, rows in split["labels"][part]}
        for name, split in splits.items()
    }

    def row(label: str) -> list[Cell | str]:
        cells: list[Cell | str] = [cut(label, 80)]
        for name, split in splits.items():
            rows = by_split[name].get(label)
            share = rows / split["rows"] if rows and split["rows"] else 0.0
            cells.append(Cell(f"{rows:,} ({percent(share)})", share) if rows is not None else _not_listed(split, label))
        return cells

    most = [label for label, _ in described["most"]]
    rest = described["count"] - len(most)
    yield Table("Rows of each label", ["label", *splits], [row(label) for label in most])
    if rest > 0:
        fewest = [label for label, _ in described["fewest"]]
        yield Paragraph(
            f"{count(rest, 'more label')} with {count(described['other_rows'], 'row')} together. The rarest:"
        )
        yield Table("The rarest labels", ["label", *splits], [row(label) for label in fewest])


def _not_listed(split: Mapping[str, Any], label: str) -> str:
    return "0" if split["labels"]["count"] <= len(split["labels"]["most"]) else "few"


def _numbers(splits: Mapping[str, Any]) -> Iterator[Block]:
    found = {name: split["numbers"] for name, split in splits.items() if split.get("numbers", {}).get("counts")}
    for name, numbers in found.items():
        if name == "train":
            yield PlotBlock(
                partial(charts.histogram, numbers["edges"], {name: numbers["counts"]}, "number", "rows"),
                "The numbers of the training rows",
                f"Numbers from {number(numbers['quantiles'][0])} to {number(numbers['quantiles'][-1])}, "
                f"median {number(numbers['quantiles'][3])}.",
            )
    if found:
        yield Table(
            "The numbers of each split",
            ["split", "mean", "deviation", "lowest", "median", "highest"],
            [
                [name, *(number(one) for one in (n["mean"], n["deviation"], *(n["quantiles"][i] for i in (0, 3, 6))))]
                for name, n in found.items()
            ],
        )


def _lengths(splits: Mapping[str, Any]) -> Iterator[Block]:
    """A histogram of the lengths of each text column: the share of rows, so that splits can be compared."""
    for column in next(iter(splits.values()))["lengths"]:
        parts = {name: split["lengths"][column] for name, split in splits.items() if split["rows"]}
        edges = sorted({edge for part in parts.values() for edge in part["edges"]})
        if not edges:
            continue
        bounds = [edges[0] / 2**0.5, *edges, edges[-1] * 2**0.5]
        shares = {name: _shares(part, edges, splits[name]["rows"]) for name, part in parts.items()}
        quantiles = {name: part["quantiles"] for name, part in parts.items()}
        name, first = next(iter(quantiles.items()))
        yield PlotBlock(
            partial(charts.histogram, bounds, shares, "characters", "share of the rows", logarithmic=True),
            f"Lengths of the texts in the column “{cut(column, 60)}”",
            f"{name}: half of the texts have up to {first[3]:,.0f} characters, 95% up to {first[5]:,.0f}, "
            f"the longest {first[6]:,.0f}.",
        )


def _shares(part: Mapping[str, Any], edges: Sequence[float], rows: int) -> list[float]:
    """The histogram over other edges, of which its own are a part without gaps; counts as shares of the rows."""
    if not part["edges"]:
        return [0.0] * (len(edges) + 1)
    begin = edges.index(part["edges"][0])
    counts = [0.0] * (len(edges) + 1)
    for place, value in enumerate(part["counts"]):
        counts[begin + place] = value / rows
    return counts


def _findings(facts: RunFacts) -> Iterator[Block]:
    gate = facts.config.get("gate", {})
    if facts.data and not facts.findings:
        looked_for = [words for rule, words in _LEAKS.items() if gate.get(rule, "off") != "off"]
        yield Paragraph(f"The data gate found nothing. It looked for {', '.join(looked_for)} and more.", "good")
    for finding in list(facts.findings)[:_MOST_FINDINGS]:
        column = f", column “{finding['column']}”" if finding.get("column") else ""
        where = f"{finding.get('split') or 'the data'}{column}"
        rows = f" ({finding['rows']:,} of {finding['of']:,} rows)" if finding.get("rows") else ""
        tone = "bad" if finding.get("severity") == "error" else ""
        what = f": {finding['message']}" if finding["message"] else ""
        yield Paragraph(f"{finding['rule']} in {where}{what}{rows}", tone)
        details: list[Block] = [Paragraph(cut(example, 300)) for example in finding.get("examples", [])]
        if finding.get("fix"):
            details.append(FactList([("to fix", finding["fix"])]))
        if details:
            yield Details("Examples, and what to do", details)
    if len(facts.findings) > _MOST_FINDINGS:
        yield Paragraph(
            f"and {count(len(facts.findings) - _MOST_FINDINGS, 'more finding')} in run.json", for_owner=True
        )


def _drift(facts: RunFacts) -> Iterator[Block]:
    columns, version = facts.data.get("drift", []), facts.data.get("live_version", 0)
    if not columns:
        yield Paragraph("Drift was not measured: no model was live whose training data are known.", "note")
        return
    limit = facts.config.get("gate", {}).get("drift_threshold", 0.2)
    rows = [
        [
            cut(one["column"], 80),
            _DRIFT.get(one["kind"], one["kind"]),
            Cell(f"{one['divergence']:.3f}", min(1.0, one["divergence"]), "bad" if one["divergence"] > limit else ""),
            "; ".join(cut(change, 80) for change in one["changes"]),
        ]
        for one in sorted(columns, key=lambda one: -one["divergence"])
    ]
    caption = (
        f"Jensen-Shannon divergence from the live model's training data (version {version}): "
        "0 the same, 1 nothing in common"
    )
    drifted = sum(one["divergence"] > limit for one in columns)
    words = f"{count(drifted, 'column')} drifted" if drifted else "No column drifted"
    yield Paragraph(f"{words}: the limit (gate.drift_threshold) is {limit:g}.", "bad" if drifted else "good")
    yield Table(caption, ["column", "of", "divergence", "what changed most"], rows, numeric=False)
