"""The model card: of every task, of runs that stopped, with any text; what the hub reads, and what it must not say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from report_facts import HOSTILE, RIGHT_TO_LEFT, run_facts

from components.report.model_card import model_card
from components.report.page_facts import RunFacts

SECTIONS = [
    "Intended use", "How to use it", "Limits", "Evaluation", "Slices", "Labels", "Scores", "Training data", "Training",
    "Served", "On small devices", "Origin",
]  # fmt: skip


def config(**card: Any) -> dict[str, Any]:
    return {"name": "reviews", "task": {"type": "single_label"}, "tokenizer": {"max_length": 128}, "card": card}


def titles(card: str) -> list[str]:
    return [line.removeprefix("## ") for line in card.splitlines() if line.startswith("## ")]


@pytest.mark.parametrize(
    ("task", "labels", "metric"),
    [("single_label", 3, "accuracy"), ("multi_label", 3, "f1"), ("regression", 0, "spearmanr")],
)
def test_the_hub_reads_its_metadata(tmp_path: Path, task: str, labels: int, metric: str) -> None:
    facts = run_facts(tmp_path, task, labels, project="reviews", config=config(licence="MIT", languages=["en", "de"]))
    card = model_card(facts)
    data = ModelCard(card, ignore_metadata_errors=False).data
    assert (data.license, data.language, data.pipeline_tag) == ("mit", ["en", "de"], "text-classification")
    assert metric in data.metrics
    results = {result.metric_type: result for result in data.eval_results}
    assert results[metric].dataset_split == "test"
    ours = {"f1": "micro_f1", "spearmanr": "spearman"}.get(metric, metric)
    named = next(one for one in data.eval_results if one.metric_name == ours.replace("_", " "))
    assert named.metric_value == pytest.approx(facts.evaluation["metrics"][ours], abs=1e-6)
    assert titles(card) == SECTIONS


def test_it_says_what_the_report_says(tmp_path: Path) -> None:
    facts = run_facts(tmp_path, project="reviews", config=config(intended_use="For films, **not** for books."))
    card = model_card(facts)
    accuracy = facts.evaluation["metrics"]["accuracy"]
    low, high = facts.rows["intervals"]["accuracy"]
    assert f"| accuracy | {accuracy:.4f} | {low:.4f} to {high:.4f} |" in card
    assert "first 128 tokens" in card
    assert "For films, **not** for books." in card
    assert "card.limits" in card, "what nobody has said is asked for"
    assert "| dynamic_int8 | 0.50 MB |" in card
    assert "0123456789ab" in card


@pytest.mark.parametrize(
    ("given", "license", "name"),
    [("Apache-2.0", "apache-2.0", None), ("LicenseRef-Ours: see LICENSE", "other", "LicenseRef-Ours: see LICENSE")],
)
def test_a_licence_that_the_hub_does_not_know_is_another(
    tmp_path: Path, given: str, license: str, name: str | None
) -> None:
    data = ModelCard(model_card(run_facts(tmp_path, config=config(licence=given)))).data
    assert (data.license, data.get("license_name")) == (license, name)
    assert ModelCard(model_card(run_facts(tmp_path, config=config()))).data.license is None, "none is made up"


@pytest.mark.parametrize(
    ("preset", "base"),
    [
        (None, None),
        ("minilm-l6", "sentence-transformers/all-MiniLM-L6-v2"),
        ("hf://google-bert/bert-base-uncased@abc", "google-bert/bert-base-uncased"),
        ("./ours", None),
        ("bert_tiny_en_uncased", None),
    ],
)
def test_the_model_that_was_tuned_is_named_where_the_hub_has_it(
    tmp_path: Path, preset: str | None, base: str | None
) -> None:
    facts = run_facts(tmp_path, config=config() | ({"model": {"preset": preset}} if preset else {}))
    card = model_card(facts)
    assert ModelCard(card).data.base_model == base
    assert ("licence of its own" in card) == bool(preset)


def test_it_holds_no_row_and_no_secret(tmp_path: Path) -> None:
    settings = config() | {
        "data": {"path": "https://me:hunter2@example.com/t.csv"},
        "kubeflow": {"environment": {"TOKEN": "hunter2"}},
        "beam": {"options": ["--token=hunter2"]},
    }
    findings = [{"rule": "empty_text", "severity": "warn", "message": "2 texts", "examples": ["SECRET ROW"]}]
    facts = run_facts(tmp_path, config=settings, findings=findings, text="SECRET ROW of a person", project="reviews")
    labels = {part for label in facts.evaluation["per_label"] for part in [label]}
    card = model_card(facts)
    assert "hunter2" not in card
    assert "https://example.com/t.csv" in card
    without_labels = card
    for label in (*labels, *(part["slice"] for part in facts.evaluation["slices"])):
        without_labels = without_labels.replace(label, "")
    shown = [line for line in without_labels.splitlines() if "SECRET ROW of a person" in line]
    assert not [line for line in shown if line.startswith((">", "#"))]
    assert facts.rows["wrong"]["listed"], "the report lists rows"
    assert all(str(row["key"]) not in card for row in facts.rows["wrong"]["listed"] if len(str(row["key"])) > 8)


@pytest.mark.parametrize("text", [HOSTILE, RIGHT_TO_LEFT, "---\n---\n# x", "```\n</details>", "a|b\n|c|"])
def test_any_text_is_text(tmp_path: Path, text: str) -> None:
    card = model_card(run_facts(tmp_path, text=text, project="reviews"))
    assert titles(card) == SECTIONS
    assert "<script" not in card.partition("<details>")[0]
    assert card.count("\n<details>") == 1
    yaml.safe_load(card.split("---\n")[1])


@pytest.mark.parametrize("part", ["data", "training", "evaluation", "rows", "serving", "edge", "lineage", "config"])
def test_what_is_missing_is_said_to_be(tmp_path: Path, part: str) -> None:
    facts = run_facts(tmp_path, project="reviews")
    card = model_card(RunFacts(**{**vars(facts), part: {}}))
    assert titles(card) == SECTIONS
    ModelCard(card)


def test_the_card_of_a_bundle_is_for_those_who_ship_it(tmp_path: Path) -> None:
    facts = run_facts(tmp_path, project="reviews", config=config())
    model, bundle = model_card(facts), model_card(facts, bundle=True)
    assert ModelCard(bundle).data.library_name == "litert"
    assert "EdgeClassifier" in bundle
    assert "transom serve" not in bundle
    assert "EdgeClassifier" not in model


@pytest.mark.parametrize("labels", [1000, 20_000])
def test_many_labels_make_no_long_card(tmp_path: Path, labels: int) -> None:
    card = model_card(run_facts(tmp_path, labels=labels, text="l", project="reviews"))
    assert len(card) < 60_000
    assert f"one of {labels:,} labels" in card
