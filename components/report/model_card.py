"""The model card: what others should know about a model, as Markdown with Hugging Face's metadata.

Mitchell et al., "Model Cards for Model Reporting", 2019. It says what the report says, but holds no row of the tables:
it is given away with the model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import yaml

from components.lineage.left_out import LEFT_OUT, without_credentials
from components.report.blocks import Block, Code, Details, Paragraph
from components.report.card_metadata import base_model, metadata
from components.report.html_page import visible
from components.report.markdown import blocks_as_markdown, bullets, escaped, fenced
from components.report.page_facts import RunFacts
from components.report.sections.data import data_blocks
from components.report.sections.label_tables import labels_blocks
from components.report.sections.model_origin import origin_blocks
from components.report.sections.quality import metrics_blocks, slices_blocks
from components.report.sections.shipping import edge_blocks, serving_blocks
from components.report.sections.training import training_blocks
from components.report.sections.trust import trust_blocks
from components.report.wording import count, cut, listed, sentence
from tflite.host.json_text import to_json

_MOST_LABELS = 30
_UNSAID = "Its makers have not said (`card.{}` in transom.yaml)."
_LINEAGE = "`lineage.json`, beside this file, says all of it: `transom lineage FOLDER`."
_REPRODUCE = "`transom reproduce FOLDER` trains the model again and compares the weights."
_ASKED = ("licence", "languages", "data", "intended_use", "limits")
_SECTIONS = (
    ("Evaluation", metrics_blocks),
    ("Slices", slices_blocks),
    ("Labels", labels_blocks),
    ("Scores", trust_blocks),
    ("Training data", data_blocks),
    ("Training", training_blocks),
    ("Served", serving_blocks),
    ("On small devices", edge_blocks),
    ("Origin", origin_blocks),
)


def model_card(facts: RunFacts, *, bundle: bool = False) -> str:
    """The card of the model that a run made.

    Args:
        facts: of the run; what is missing is said to be.
        bundle: the card is for the edge bundle, not for the SavedModel: other metadata, another way to use it.
    """
    return "\n\n".join(_parts(replace(facts, steps=(), notes=(), pushed="", bundle=""), bundle=bundle)) + "\n"


def card_blocks(facts: RunFacts) -> Iterator[Block]:
    """The card in the report."""
    if not facts.evaluation:
        yield Paragraph("The run stopped before there was a model to tell about.", "note")
        return
    yield Paragraph(
        "A pushed version has this card as assets.extra/README.md, its edge bundle as README.md. It holds no row of "
        "the tables, and Hugging Face's hub reads it as it is."
    )
    unsaid = [key for key in _ASKED if not (facts.config.get("card") or {}).get(key)]
    if unsaid:
        keys = listed([f"card.{key}" for key in unsaid])
        yield Paragraph(
            f"Only you know the rest: set {keys} in transom.yaml, and run again. Nothing is trained for it."
        )
    yield Details("The card, as Markdown", [Code(model_card(facts))])


def _parts(facts: RunFacts, *, bundle: bool) -> Iterator[str]:
    card = facts.config.get("card") or {}
    yield f"---\n{metadata(facts, bundle=bundle)}\n---"
    yield f"# {escaped(facts.project or 'A model of Transom')}"
    yield escaped(_summary(facts))
    yield bullets(_facts(facts, card))
    yield "## Intended use"
    yield _said(card, "intended_use")
    yield "## How to use it"
    yield _usage(facts, bundle=bundle)
    yield "## Limits"
    yield "\n".join(f"- {escaped(limit)}" for limit in _limits(facts))
    yield _said(card, "limits")
    for title, blocks in _SECTIONS:
        yield f"## {title}"
        if blocks is data_blocks:
            yield _said(card, "data")
        yield from blocks_as_markdown(blocks(facts))
    if facts.lineage:
        yield _LINEAGE if bundle else f"{_LINEAGE} {_REPRODUCE}"
    settings = {key: value for key, value in facts.config.items() if key not in ("card", *LEFT_OUT)}
    if settings:
        plain = json.loads(to_json(without_credentials(settings)))
        text = yaml.safe_dump(plain, allow_unicode=True, sort_keys=False, width=100)
        yield f"<details><summary>All settings</summary>\n\n{fenced(text.rstrip(), 'yaml')}\n\n</details>"


def _summary(facts: RunFacts) -> str:
    pair = (facts.config.get("task") or {}).get("text_pair")
    given = "two texts" if pair else "a text"
    labels = facts.data.get("splits", {}).get("train", {}).get("labels")
    if facts.task == "regression":
        return f"A Transformer that gives {given} a number."
    if not labels:
        return f"A Transformer that labels {'pairs of texts' if pair else 'texts'}."
    names = [label for label, _ in labels["most"]][:_MOST_LABELS]
    more = f" and {labels['count'] - len(names):,} more" if labels["count"] > len(names) else ""
    of = "any number" if facts.task == "multi_label" else "one"
    return f"A Transformer that gives {given} {of} of {count(labels['count'], 'label')}: {', '.join(names)}{more}."


def _facts(facts: RunFacts, card: Any) -> Iterator[tuple[str, str]]:
    preset = (facts.config.get("model") or {}).get("preset")
    yield "licence", card.get("licence") or "not stated (card.licence in transom.yaml)"
    if card.get("author"):
        yield "author", str(card["author"])
    if card.get("languages"):
        yield "languages", ", ".join(card["languages"])
    yield "tuned from", base_model(facts) or str(preset) if preset else "nothing: it was trained from scratch"
    if preset:
        yield "the checkpoint it was tuned from", "has a licence of its own, and was trained on other texts, too"
    if facts.training:
        yield "framework", f"{facts.training['framework']}; a TensorFlow SavedModel is what is served"
        yield "parameters", f"{facts.training['parameters']['total']:,}"
    code = (facts.lineage.get("origin") or {}).get("code") or {}
    if code.get("transom"):
        yield "made by", f"Transom {code['transom']}"
    run = facts.name or (facts.lineage.get("run") or {}).get("name")
    if run:
        yield "run", str(run)
    pushed_at = (facts.lineage.get("run") or {}).get("pushed_at")
    if pushed_at:
        yield "pushed at", str(pushed_at)


def _said(card: Any, key: str) -> str:
    return visible(str(card.get(key) or "").strip()) or _UNSAID.format(key)


def _usage(facts: RunFacts, *, bundle: bool) -> str:
    pair = (facts.config.get("task") or {}).get("text_pair")
    if bundle:
        given = '["one text"], ["the other"]' if pair else '["a text"]'
        code = f"from tflite.host.edge_classifier import EdgeClassifier\n\nEdgeClassifier(FOLDER).predict({given})"
        return f"{fenced(code, 'python')}\n\nOr with LiteRT's own interpreters: `bundle.json` says what goes in."
    instance = '{"text": "one text", "text_pair": "the other"}' if pair else '"a text"'
    name = facts.project or "MODEL"
    address = f"http://localhost:8501/v1/models/{name}:predict"
    lines = f"transom serve FOLDER    # or TensorFlow Serving\ncurl {address} -d '{{\"instances\": [{instance}]}}'"
    return f"{fenced(lines, 'bash')}\n\n`FOLDER` is the folder of this version: the one with `saved_model.pb`."


def _limits(facts: RunFacts) -> Iterator[str]:
    """What the run itself knows."""
    longest = (facts.config.get("tokenizer") or {}).get("max_length")
    if longest:
        yield f"It reads the first {longest:,} tokens of its input; the rest changes nothing."
    if facts.task == "single_label":
        yield "It answers every text with one of its labels, also a text that none of them fits."
    for baseline in facts.evaluation.get("baselines", {}).values():
        if baseline.get("sentence"):
            yield sentence(baseline["sentence"])
    if suspect := sum(facts.evaluation.get("label_errors", {}).get("found", {}).values()):
        yield f"{count(suspect, 'row')} of its tables may have a wrong label."
    for finding in facts.findings:
        if finding.get("rule") in ("split_overlap", "drift"):
            yield sentence(f"{finding['rule']}: {cut(finding.get('message', ''), 200)}")
    if not facts.evaluation:
        yield "It was not measured."
