"""Whether it can be served and shipped: the serving gate and the edge gate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from components.report import charts
from components.report.blocks import Block, Cell, Details, FactList, Paragraph, Plot, Table
from components.report.page_facts import RunFacts
from components.report.wording import ABSENT, count, megabytes, number, percent, sentence, short

_BINS = 16


def serving_blocks(facts: RunFacts) -> Iterator[Block]:
    """Parity and latency over gRPC and REST."""
    report = facts.serving
    if not report:
        yield Paragraph("The run stopped before the model was served.", "note")
        return
    tone = "good" if report["blessed"] else "bad"
    yield Paragraph(sentence(report["verdict"]), tone)
    if "requests" in report:
        latency = report["latency_ms"]
        yield FactList(
            [
                ("requests", f"{report['requests']:,} for {count(report['rows'], 'row')}"),
                ("failed", f"{report['failed']:,}"),
                ("largest difference to Keras", short(report["largest_difference"])),
                ("one text over gRPC", f"{short(latency['p50'])} ms, 99 of 100 within {short(latency['p99'])} ms"),
            ]
        )
    yield from _latencies(report.get("latencies_ms") or [])
    yield from [Paragraph(failure, "bad") for failure in report.get("failures", [])[:10]]


def _latencies(latencies: list[float]) -> Iterator[Block]:
    if len(latencies) < 2 or min(latencies) == max(latencies):
        return
    counts, edges = np.histogram(latencies, _BINS)
    yield Plot(
        partial(charts.histogram, edges.tolist(), {"requests": counts.tolist()}, "milliseconds", "requests"),
        f"Latency of {len(latencies):,} requests with one text, over gRPC on this machine",
        f"From {min(latencies):.1f} to {max(latencies):.1f} ms, half within {float(np.median(latencies)):.1f} ms.",
    )


def edge_blocks(facts: RunFacts) -> Iterator[Block]:
    """The variants: size, parity, speed, and why one was chosen."""
    report = facts.edge
    if not report:
        variants = (facts.config.get("edge") or {}).get("variants")
        words = "The run stopped before the bundles were made." if variants else "No variant is set (edge.variants)."
        yield Paragraph(words, "note")
        return
    tone = "good" if report["blessed"] else "bad"
    yield Paragraph(sentence(report["verdict"]), tone)
    yield _variants(report)
    budget = [(name.replace("_", " "), str(value)) for name, value in report.get("budget", {}).items() if value]
    yield FactList(budget) if budget else Paragraph("No budget is set (edge.budget).")
    for row in report["variants"]:
        quality = (row.get("parity") or {}).get("quality", [])
        if quality:
            yield Details(f"{row['variant']} and Keras, slice by slice", [_quality(row, quality)])


def _variants(report: Mapping[str, Any]) -> Table:
    rows = []
    for row in report["variants"]:
        cost, parity = row.get("cost") or {}, row.get("parity") or {}
        medians = [one["median"] for one in cost.get("latency_ms", [])]
        ratio = row.get("latency_ratio")
        chosen = Cell("chosen", None, "good") if row["chosen"] else Cell(row["why"])
        rows.append(
            [
                row["variant"],
                megabytes(cost.get("bytes")),
                megabytes(cost.get("memory_bytes")),
                f"{max(medians):.2f} ms" if medians else ABSENT,
                f"{ratio:.2f}" if ratio else ABSENT,
                row.get("same_answer") or percent(parity.get("agreement")),
                number(parity.get("max_difference")),
                chosen,
            ]
        )
    headings = [
        "variant",
        "size",
        "memory",
        "one text",
        "against float32",
        "same answer",
        "largest difference",
        "result",
    ]
    return Table("Variants, on one thread of this machine; answers compared with Keras's", headings, rows)


def _quality(row: Mapping[str, Any], quality: list[Mapping[str, Any]]) -> Table:
    rows = [
        [one["slice"] or "all rows", f"{one['rows']:,}", number(one["keras"]), number(one["edge"]), number(one["loss"])]
        for one in quality[:40]
    ]
    return Table(f"Quality of {row['variant']}", ["slice", "rows", "Keras", row["variant"], "loss"], rows)
