"""The model card: of every task, of runs that stopped, with any text; what the hub reads, and what it must not say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from report_facts import HOSTILE, RIGHT_TO_LEFT, run_facts

from components.report.card.card_words import renewed
from components.report.card.model_card import model_card
from components.report.page_facts import RunFacts
from components.report.report_page import report_page

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
    assert ("its own licence" in card) == bool(preset)


def test_it_holds_no_row_no_path_and_no_secret(tmp_path: Path) -> None:
    """Each place where one could come from has a word of its own."""
    settings = config() | {
        "model": {"preset": "/home/ada/SECRETS/our-bert"},
        "data": {"path": "https://me:SECRET@example.com/t.csv?sig=SECRET"},
        "kubeflow": {"environment": {"TOKEN": "SECRET"}},
        "beam": {"options": ["--token=SECRET"]},
        "output": "/SECRET/out",
        "push": {"directory": "/SECRET/push"},
        "edge": {"directory": "/SECRET/edge", "variants": []},
    }
    finding = {"rule": "schema_anomaly", "severity": "warn", "split": "test", "column": "author", "rows": 2, "of": 60}
    finding |= {"message": "values: SECRET", "examples": ["SECRET"], "fix": "SECRET"}
    facts = run_facts(tmp_path, config=settings, findings=[finding], project="reviews")
    row = {"text": "SECRET", "text_pair": None, "given": ["SECRET"], "suggested": ["SECRET"]}
    facts = replace(
        facts,
        notes=[{"step": "Trainer", "text": "SECRET"}],
        pushed="/SECRET/1",
        bundle="/SECRET/2",
        error="SECRET",
        data={**facts.data, "drift": [{**one, "changes": ["SECRET"]} for one in facts.data["drift"]]},
        evaluation={**facts.evaluation, "label_errors": {"found": {"train": 1}, "rows": [row]}},
        rows={**facts.rows, "wrong": {**facts.rows["wrong"], "listed": [row]}},
        serving={**facts.serving, "failures": ["row 3: SECRET"]},
        lineage={
            "origin": facts.lineage["origin"],
            "run": {"name": "r", "config_file": "/SECRET/t.yaml", "folder": "/SECRET"},
            "data": {
                "folder": "/SECRET",
                "sources": [{"files": [{"path": "/SECRET/t.csv", "bytes": 9, "sha256": "a"}]}],
            },
        },
    )
    for card in (model_card(facts), model_card(facts, "guide")):
        assert "SECRET" not in card
        assert "schema_anomaly in test, column “author” (2 of 60 rows)" in card
        assert "our-bert" in card
        assert "| t.csv |" in card


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
    model, bundle = model_card(facts), model_card(facts, "# The bundle\n\n```swift\nlet x = 1\n```\n")
    assert ModelCard(bundle).data.library_name == "litert"
    assert "---\n\n# The bundle\n\n```swift\nlet x = 1\n```\n\n# reviews: model card\n" in bundle
    assert "transom serve" not in bundle
    assert "transom serve" in model


@pytest.mark.parametrize(
    ("status", "told"), [("pushed", False), ("unchanged", False), ("not blessed", True), ("failed", True)]
)
def test_a_model_that_was_not_pushed_says_so(tmp_path: Path, status: str, told: bool) -> None:
    facts = run_facts(tmp_path, project="reviews", status=status, verdict="not blessed: accuracy 0.71 is too low")
    assert ("**This model was not pushed.** not blessed: accuracy 0.71" in model_card(facts)) == told


def test_advice_for_the_owner_is_not_in_it(tmp_path: Path) -> None:
    facts = run_facts(tmp_path, labels=30, project="reviews", findings=[])
    card = model_card(facts)
    assert "run.json" in report_page(facts)
    assert "run.json" not in card
    assert "train.epochs" not in card


def test_a_table_that_is_left_out_is_mentioned(tmp_path: Path) -> None:
    assert "columns are too many" in model_card(run_facts(tmp_path, labels=18, project="reviews"))


WORDS = {
    "licence": "MIT",
    "author": "Ada",
    "languages": ["en"],
    "data": "Letters.",
    "intended_use": "Mail. <!-- end -->",
    "limits": "No irony.",
}


@pytest.mark.parametrize("guide", [None, "# The bundle"])
@pytest.mark.parametrize("before", [{}, {"licence": "Ours", "languages": ["de", "fr"], "limits": "-"}])
def test_a_renewed_card_is_the_one_that_it_would_have_been(
    tmp_path: Path, guide: str | None, before: dict[str, Any]
) -> None:
    first, second = (run_facts(tmp_path, project="reviews", config=config(**words)) for words in (before, WORDS))
    new, wanted = renewed(model_card(first, guide), WORDS), model_card(second, guide)
    assert new.split("\n---\n", 1)[1] == wanted.split("\n---\n", 1)[1]
    assert yaml.safe_load(new.split("---\n")[1]) == yaml.safe_load(wanted.split("---\n")[1])
    assert renewed(wanted, WORDS) == wanted


def test_what_somebody_has_written_into_a_card_stays(tmp_path: Path) -> None:
    card = model_card(run_facts(tmp_path, project="reviews", config=config()))
    edited = card.replace("## Evaluation", "## Our own words\n\nRead this first.\n\n## Evaluation")
    new = renewed(edited, WORDS)
    assert "## Our own words\n\nRead this first." in new
    assert "No irony." in new
    for own in ("", "# Ours\n", "---\n: [no yaml\n---\n# Ours\n", "---\n- a list\n---\n"):
        assert renewed(own, WORDS) == own


@pytest.mark.parametrize("labels", [1000, 20_000])
def test_many_labels_make_no_long_card(tmp_path: Path, labels: int) -> None:
    card = model_card(run_facts(tmp_path, labels=labels, text="l", project="reviews"))
    assert len(card) < 60_000
    assert f"one of {labels:,} labels" in card
