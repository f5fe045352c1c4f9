"""How the model was trained: curves, speed, framework, precision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from components.report import charts
from components.report.blocks import Block, FactList, Paragraph, Plot, Table
from components.report.page_facts import RunFacts
from components.report.wording import count, number, seconds

_XLA = {True: "on", False: "off", "parts": "in parts"}
_LOSSES = {"epoch", "traces"}


def training_blocks(facts: RunFacts) -> Iterator[Block]:
    """Curves, throughput, framework, strategy, XLA and precision."""
    report = facts.training
    if not report:
        yield Paragraph("The run stopped before the training ended.", "note")
        return
    yield FactList(_summary(report))
    yield from _curves(report, facts.losses)
    yield from _remarks(report)


def _summary(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    parameters, devices = report["parameters"], report["devices"]
    trained = "" if parameters["trainable"] == parameters["total"] else f", {parameters['trainable']:,} of them trained"
    rows = report["rows"]
    facts = [
        ("framework", str(report["framework"])),
        ("parameters", f"{parameters['total']:,}{trained}"),
        ("rows", f"{rows['train']:,} to train, {rows['eval']:,} to choose the epoch"),
        ("epochs", f"{report['epochs']} (the best: {report['best_epoch']}), {count(report['steps'], 'step')}"),
        ("speed", f"{report['tokens_per_second']:,.0f} tokens/s, {seconds(report['seconds'])} in all"),
        ("precision", f"{report['precision']}{_because(report, 'precision_because')}"),
        ("strategy", f"{report['strategy']}, on {count(len(devices), 'device')}"),
        ("memory", f"{report['peak_memory_mb']:,.0f} MB at most"),
        ("seed", str(report["seed"])),
    ]
    if str(report["framework"]).startswith("tensorflow"):
        facts.insert(6, ("XLA", f"{_XLA.get(report['xla'], report['xla'])}{_because(report, 'xla_because')}"))
        facts.insert(7, ("oneDNN", str(report["onednn"])))
    return facts


def _because(report: Mapping[str, Any], key: str) -> str:
    return f" ({report[key]})" if report.get(key) else ""


def _curves(report: Mapping[str, Any], losses: Sequence[tuple[int, float]]) -> Iterator[Block]:
    if len(losses) > 1:
        steps, values = zip(*losses, strict=True)
        yield Plot(
            partial(charts.lines, {"training loss": (steps, values)}, "step", "training loss"),
            "The training loss over the steps",
            f"From {values[0]:.3f} at step {steps[0]} to {values[-1]:.3f} at step {steps[-1]}; "
            f"the lowest is {min(values):.3f}.",
        )
    history = [epoch for epoch in report["history"] if epoch]
    metrics = [name for name in (history[0] if history else {}) if name not in _LOSSES]
    if len(history) > 1:
        epochs = [float(epoch["epoch"]) for epoch in history]
        drawn = {
            words: (epochs, [epoch.get(name) for epoch in history])
            for name, words in (("train_loss", "training rows"), ("loss", "eval rows"))
            if name in metrics
        }
        last = ", ".join(f"{words} {number(values[-1])}" for words, (_, values) in drawn.items())
        yield Plot(
            partial(charts.lines, drawn, "epoch", "loss", points=True),
            "The loss after each epoch",
            f"At the end: {last}.",
        )
    if history:
        yield Table(
            "After each epoch, on the eval rows",
            ["epoch", *(name.replace("_", " ") for name in metrics)],
            [[str(epoch["epoch"]), *(number(epoch.get(name)) for name in metrics)] for epoch in history],
        )


def _remarks(report: Mapping[str, Any]) -> Iterator[Block]:
    history = report["history"]
    if report["stopped_early"]:
        yield Paragraph(f"It stopped early: the eval {report['metric']} no longer improved.")
    elif history and report["best_epoch"] == report["epochs"] and report["epochs"] > 1:
        yield Paragraph("The last epoch was the best: more epochs (train.epochs) may help.", for_owner=True)
    if len(history) > 1 and report["best_epoch"] < report["epochs"] and not report["stopped_early"]:
        yield Paragraph("Later epochs were worse on the eval rows: it began to learn its training rows by heart.")
    resumed = report.get("resumed_at_step")
    if resumed:
        yield Paragraph(f"An interrupted training was continued at step {resumed}.")
    weight = report.get("linear_weight")
    if weight:
        yield Paragraph(
            f"The model adds up two parts: the encoder, and a linear model of words that has {weight:.2f} times the "
            "encoder's weight (model.linear_rows)."
        )
    dropped = sum(report["dropped_rows"].values())
    if dropped:
        yield Paragraph(f"{count(dropped, 'row')} without a usable label were left out.", "bad")
