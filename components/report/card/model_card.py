"""The model card: what others should know about a model, as Markdown with Hugging Face's metadata.

Mitchell et al., "Model Cards for Model Reporting", 2019. It says what the report says, but holds no row of the tables:
it is given away with the model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import yaml

from components.report.blocks import Block, Code, Details, Paragraph
from components.report.card.card_metadata import base_model, metadata
from components.report.card.card_words import about, marked, prose
from components.report.card.public_facts import public_facts
from components.report.markdown import blocks_as_markdown, bullets, escaped, fenced
from components.report.page_facts import RunFacts
from components.report.partial_facts import whole_or_why
from components.report.sections.data import data_blocks
from components.report.sections.label_tables import labels_blocks
from components.report.sections.model_origin import origin_blocks
from components.report.sections.quality import metrics_blocks, slices_blocks
from components.report.sections.shipping import edge_blocks, serving_blocks
from components.report.sections.training import training_blocks
from components.report.sections.trust import trust_blocks
from components.report.wording import count, listed, sentence
from tflite.host.json_text import to_json

_MOST_LABELS = 30
_LIVE = ("pushed", "already live", "unchanged")
_FOUND = {
    "split_overlap": "Texts are in more than one of its splits, so its measured quality is too good.",
    "conflicting_labels": "Some texts are in its tables with different labels.",
    "drift": "The data that it was trained on differ from those of the model before it.",
}
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


def model_card(facts: RunFacts, guide: str | None = None) -> str:
    """The card of the model that a run made.

    Args:
        facts: of the run; what is missing is said to be, and what is not to be given away is left out.
        guide: the card is for the edge bundle, of which this Markdown says how it is used; None: for the SavedModel.
    """
    return "\n\n".join(_parts(public_facts(facts), guide)) + "\n"


def card_blocks(facts: RunFacts) -> Iterator[Block]:
    """The card in the report."""
    if not facts.evaluation:
        yield Paragraph("The run stopped before there was a model to tell about.", "note")
        return
    yield Paragraph(
        "A pushed version has a card as assets.extra/README.md; the README.md of its edge bundle has it below the "
        "instructions. It holds no row of the tables, and Hugging Face's hub reads it as it is."
    )
    unsaid = [key for key in _ASKED if not (facts.config.get("card") or {}).get(key)]
    if unsaid:
        keys = listed([f"card.{key}" for key in unsaid])
        yield Paragraph(
            f"Only you know the rest: set {keys} in transom.yaml, and run again. Nothing is trained for it."
        )
    yield Details("The card, as Markdown", [Code(model_card(facts))])


def _parts(facts: RunFacts, guide: str | None) -> Iterator[str]:
    said = facts.config.get("card") or {}
    yield f"---\n{metadata(facts, bundle=guide is not None)}\n---"
    if guide:
        yield guide.strip()
    yield f"# {escaped(facts.project or 'A model of Transom')}{': model card' if guide else ''}"
    if facts.status not in _LIVE:
        yield f"**This model was not pushed.** {escaped(facts.verdict)}".rstrip()
    yield escaped(_summary(facts))
    yield marked("about", bullets(about(said)))
    yield bullets(_facts(facts))
    yield "## Intended use"
    yield marked("intended_use", prose(said, "intended_use"))
    if guide is None:
        yield "## How to use it"
        yield _usage(facts)
    yield "## Limits"
    yield "\n".join(f"- {escaped(limit)}" for limit in _limits(facts))
    yield marked("limits", prose(said, "limits"))
    for title, blocks in _SECTIONS:
        yield f"## {title}"
        if blocks is data_blocks:
            yield marked("data", prose(said, "data"))
        yield from blocks_as_markdown(whole_or_why(blocks, facts))
    if facts.lineage:
        yield f"{_LINEAGE} {_REPRODUCE}" if guide is None else _LINEAGE
    settings = {key: value for key, value in facts.config.items() if key not in ("card", "name")}
    if settings:
        text = yaml.safe_dump(json.loads(to_json(settings)), allow_unicode=True, sort_keys=False, width=100)
        yield f"<details><summary>Settings</summary>\n\n{fenced(text.rstrip(), 'yaml')}\n\n</details>"


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


def _facts(facts: RunFacts) -> Iterator[tuple[str, str]]:
    preset = (facts.config.get("model") or {}).get("preset")
    yield "tuned from", base_model(facts) or str(preset) if preset else "nothing: it was trained from scratch"
    if preset:
        yield "base checkpoint", "has its own licence, and was trained on other texts"
    if facts.training:
        yield "framework", f"{facts.training['framework']}; a TensorFlow SavedModel is what is served"
        yield "parameters", f"{facts.training['parameters']['total']:,}"
    code = (facts.lineage.get("origin") or {}).get("code") or {}
    if code.get("transom"):
        yield "made by", f"Transom {code['transom']}"
    run = facts.lineage.get("run") or {}
    if facts.name or run.get("name"):
        yield "run", str(facts.name or run["name"])
    if run.get("pushed_at"):
        yield "pushed at", str(run["pushed_at"])


def _usage(facts: RunFacts) -> str:
    pair = (facts.config.get("task") or {}).get("text_pair")
    instance = '{"text": "one text", "text_pair": "the other"}' if pair else '"a text"'
    address = f"http://localhost:8501/v1/models/{facts.project or 'MODEL'}:predict"
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
    rules = {finding.get("rule") for finding in facts.findings}
    yield from (words for rule, words in _FOUND.items() if rule in rules)
    if not facts.evaluation:
        yield "It was not measured."
