"""The Evaluator with different live models next to the candidate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from evaluator_runs import ROWS, evaluate, export, live_model, write_examples

from models.config import TaskConfig


@pytest.mark.slow
def test_the_live_models_own_evaluation_is_reused(single: dict[str, Any], tmp_path: Path) -> None:
    examples, model = single["examples"], export(tmp_path / "model", TaskConfig())
    config = {"slices": (), "thresholds": {"accuracy": {"min": 0.5}}}
    again = export(tmp_path / "again", TaskConfig())  # the same model from another training: different bytes
    live = live_model(again, 9)

    def run(number: int, live: Any, task: TaskConfig | None = None, **changes: Any) -> tuple[dict[str, Any], bool]:
        folder = tmp_path / "evaluation" / str(number)
        summary, blessing = evaluate(
            folder, task or TaskConfig(), examples, model, live, to=folder, **{**config, **changes}
        )
        assert blessing.get_int_custom_property("blessed") == 1
        return summary, (folder / "reused").exists()

    first, _ = run(1, single["live"])
    second, stood = run(2, live)
    assert stood
    note = "this model is live already, as version 9: its evaluation is reused"
    assert second == {**first, "notes": [note, *first["notes"]]}
    assert second["live_version"] == 17, "compared with the model that was live when it was judged"
    assert not run(3, single["live"])[1], "another model is live"
    other, stood = run(4, live, thresholds={"accuracy": {"min": 0.6}})
    assert not stood
    assert other["notes"] == ["this model is live already, as version 9: there is nothing to compare it with"]


def test_a_live_model_with_other_labels_is_compared_on_shared_labels(single: dict[str, Any], tmp_path: Path) -> None:
    live = live_model(export(tmp_path / "live", TaskConfig(), labels=("bad", "good", "mixed")), 3)
    thresholds = {"accuracy": {"max_loss_to_live": 0.3}, "recall/naïve": {"max_loss_to_live": 0.5}}
    summary, blessing = evaluate(
        tmp_path, TaskConfig(), single["examples"], single["model"], live, slices=("source",), thresholds=thresholds
    )
    known = single["targets"] < 2
    assert summary["comparison"]["rows"] == known.sum() < ROWS
    assert summary["comparison"]["labels"] == ["bad", "good"]
    predicted = single["probabilities"].argmax(1)
    right = (predicted == single["targets"])[known].mean()
    assert summary["comparison"]["candidate"]["accuracy"] == pytest.approx(right)
    accuracy, recall = summary["thresholds"][:2]
    assert accuracy["passed"]
    assert accuracy["interval"] is not None
    assert not recall["passed"]
    assert "it does not know the label 'naïve'" in summary["verdict"]
    assert "--set evaluation.replace_incomparable=true" in summary["verdict"]
    assert f"on the {known.sum()} of 150 test rows whose label both know (bad, good)" in summary["notes"][0]
    assert blessing.get_int_custom_property("blessed") == 0
    assert Path(blessing.uri, "NOT_BLESSED").exists()


@pytest.mark.slow_variants
@pytest.mark.parametrize("says_so", [False, True])
def test_a_live_model_that_cannot_be_compared_stays(single: dict[str, Any], tmp_path: Path, says_so: bool) -> None:
    live = live_model(export(tmp_path / "live", TaskConfig(), labels=("good", "mixed")), 3)
    summary, blessing = evaluate(
        tmp_path,
        TaskConfig(),
        single["examples"],
        single["model"],
        live,
        slices=(),
        thresholds={"accuracy": {"min": 0.3, "max_loss_to_live": 0.0}},
        replace_incomparable=says_so,
    )
    reason = "it has other labels (good, mixed; of the candidate's bad, good, naïve only 'good')"
    assert (summary["baseline"], summary["live_version"], summary["comparison"]["why_not"]) == (None, 3, reason)
    assert summary["notes"][0] == f"the live model (version 3) cannot be compared: {reason}"
    assert summary["blessed"] == says_so == bool(blessing.get_int_custom_property("blessed"))


@pytest.mark.slow
def test_a_live_model_that_predicts_nan_for_some_rows_is_not_compared(tmp_path: Path) -> None:
    task = TaskConfig(type="regression")
    # The live model subtracts the number from another: "inf" minus "inf" is NaN.
    rows = [{"text": f"{number} word", "label": float(index)} for index, number in enumerate([*range(30), "inf"])]
    examples = write_examples(tmp_path / "examples", {"test": rows[:30]})
    live = live_model(export(tmp_path / "live", task, labels=(), shift=float("nan")), 4)
    model, thresholds = export(tmp_path / "model", task, labels=()), {"mse": {"max_loss_to_live": 0.1}}
    summary, _ = evaluate(tmp_path, task, examples, model, live, thresholds=thresholds)
    assert summary["comparison"]["why_not"] == "it predicts NaN or infinity for 30 of 30 rows"
    assert not summary["blessed"]
    broken = write_examples(tmp_path / "broken", {"test": rows})
    summary, _ = evaluate(tmp_path / "again", task, broken, model)
    assert summary["metrics"]["mse"] is None
    assert "1 of the predictions on the 31 test rows are NaN or infinite" in summary["verdict"]


def test_unlabelled_rows_and_unknown_labels_are_counted(single: dict[str, Any], tmp_path: Path) -> None:
    rows = [*single["rows"], {"text": "0.1 0.8 0.1", "label": "new"}, {"text": "0.1 0.8 0.1"}]
    examples = write_examples(tmp_path / "examples", {"eval": rows})
    empty = live_model(tmp_path / "live", 0)
    summary, _ = evaluate(tmp_path, TaskConfig(), examples, single["model"], empty, min_slice_size=1)
    correct = (single["targets"] == single["probabilities"].argmax(1)).sum()
    assert summary["metrics"]["accuracy"] == pytest.approx(correct / (ROWS + 1))
    assert summary["metrics"]["unknown_label_count"] == summary["metrics"]["unlabelled_count"] == 1
    assert summary["confusion"]["counts"][3] == [0, 1, 0]
    assert summary["notes"] == [
        "there is no test split: measured on the eval rows, which also chose the best epoch",
        "nothing is live yet: this model is measured without a comparison",
        "evaluation.thresholds is empty: any model is blessed",
    ]
    assert summary["verdict"].startswith("blessed without a test of quality")
    assert {part["value"] for part in summary["small_slices"]} == {"(none)"}
