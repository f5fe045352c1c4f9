"""The model card that the Pusher writes: into the version and its bundle, and again when somebody has said more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from pusher_runs import edge, push
from report_facts import run_facts
from tfx.types import standard_artifacts
from tiny_artifacts import artifact

from components.lineage import lineage_record
from components.live_version import card_digest, version_digest
from components.push import ALREADY_LIVE
from components.steps.shipping import pusher
from models.errors import PushError
from serving.publish.version_folders import versions


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage_record, "_told", {"config": {"name": "reviews"}})


def run(folder: Path, **more: Any) -> tuple[Any, Path, Path]:
    """The PushedModel, and the cards of the version and of its bundle."""
    evaluation = artifact(standard_artifacts.ModelEvaluation, folder / "evaluation")
    (folder / "measured").mkdir(exist_ok=True)
    facts = run_facts(folder / "measured")
    (folder / "evaluation" / "summary.json").write_text(json.dumps(facts.evaluation))
    base = folder / "serving"
    pushed = push(folder, "a", base, evaluation=[evaluation], **edge(folder, "dynamic_int8"), **more)
    version = str(max(versions(base)))
    return pushed, base / version / "assets.extra" / "README.md", folder / "edge" / version / "README.md"


def test_a_version_and_its_bundle_have_cards(tmp_path: Path) -> None:
    _, of_model, of_bundle = run(tmp_path, card='{"licence": "mit"}')
    for file, library in ((of_model, "tensorflow"), (of_bundle, "litert")):
        data = ModelCard.load(file).data
        assert (data.license, data.library_name) == ("mit", library)
        assert {result.metric_name for result in data.eval_results} >= {"accuracy", "macro f1"}
    assert "How to use the bundle" in of_bundle.read_text()


def test_a_card_is_renewed_when_somebody_has_said_more(tmp_path: Path) -> None:
    _, of_model, of_bundle = run(tmp_path)
    folders = of_model.parents[1], of_bundle.parent
    before = [version_digest(folder) for folder in folders]
    lineage = of_model.with_name("lineage.json").read_bytes()
    times = [file.stat().st_mtime_ns for file in (of_model, of_bundle)]
    (tmp_path / "data" / "data.json").write_text('{"splits": {}, "live_version": 1}')
    run(tmp_path, findings='[{"rule": "drift", "message": "x"}]')
    assert [file.stat().st_mtime_ns for file in (of_model, of_bundle)] == times, "a later run measured another thing"
    pushed, *_ = run(tmp_path, card='{"limits": "It knows no irony."}')
    assert pushed.get_string_custom_property("reason") == ALREADY_LIVE
    assert all("It knows no irony." in file.read_text() for file in (of_model, of_bundle))
    assert "How to use the bundle" in of_bundle.read_text()
    assert of_model.with_name("lineage.json").read_bytes() == lineage
    assert [version_digest(folder) for folder in folders] == before, "nothing is measured again for it"


def test_a_card_that_cannot_be_renewed_is_an_error_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, of_model, of_bundle = run(tmp_path)

    def full(file: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("components.push.write_whole", full)
        with pytest.raises(PushError, match=r"README.md cannot be renewed; the model stays live(.|\n)*No space left"):
            run(tmp_path, card='{"limits": "Irony."}')
    run(tmp_path, card='{"limits": "Irony."}')
    assert all("Irony." in file.read_text() for file in (of_model, of_bundle))


def test_a_card_is_part_of_what_is_live(tmp_path: Path) -> None:
    """Otherwise a card that returns to earlier words would be taken from the cache, and stay as it is."""
    _, of_model, of_bundle = run(tmp_path)
    folders = of_model.parents[1], of_bundle.parent
    before = [card_digest(folder) for folder in folders]
    run(tmp_path, card='{"limits": "x"}')
    assert all(old and old != card_digest(folder) for old, folder in zip(before, folders, strict=True))
    run(tmp_path)
    assert [card_digest(folder) for folder in folders] == before


def test_a_model_is_pushed_even_if_its_card_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pusher, "model_card", lambda *_, **__: 1 / 0)
    pushed, of_model, of_bundle = run(tmp_path)
    assert pushed.get_int_custom_property("pushed") == 1
    assert of_model.with_name("lineage.json").is_file()
    assert not of_model.exists()
    assert of_bundle.read_text() == "# How to use the bundle\n"


def test_a_version_without_a_card_gets_none_later(tmp_path: Path) -> None:
    """An earlier version of Transom pushed it: what is known now may not be what made it."""
    _, of_model, _ = run(tmp_path)
    of_model.unlink()
    run(tmp_path, card='{"limits": "x"}')
    assert not of_model.exists()


def test_what_a_killed_process_left_is_no_reason_to_measure_again(tmp_path: Path) -> None:
    _, of_model, of_bundle = run(tmp_path)
    for folder, card in ((of_model.parents[1], of_model), (of_bundle.parent, of_bundle)):
        before = version_digest(folder)
        card.with_name(".README.md.123").write_text("half")
        assert version_digest(folder) == before
        (folder / "variables").mkdir(exist_ok=True)
        (folder / "variables" / "README.md").write_text("part of the model")
        assert version_digest(folder) != before
