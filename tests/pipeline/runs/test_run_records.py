from __future__ import annotations

import io
import json
import math
import time
from pathlib import Path

import pytest

from pipeline.paths import Paths
from pipeline.reports.run_list import print_runs
from pipeline.reports.run_tables import print_summary
from pipeline.runs.run_lock import hold_lock
from pipeline.runs.run_records import RunRecord, StepRecord, all_runs, new_name
from tflite.config import EdgeConfig
from tflite.measure.cost import Cost, Latency
from tflite.measure.parity import Parity
from tflite.measure.variant_choice import Candidate, choose_variant


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(
        base=tmp_path, output=tmp_path / "out", push=tmp_path / "out" / "serving", edge=tmp_path / "out" / "edge"
    )


def _run(name: str, status: str) -> RunRecord:
    return RunRecord(
        name=name, status=status, started="2026-01-01 00:00:00", config={}, steps=[StepRecord("ExampleGen", "done")]
    )


def test_a_run_is_read_back_as_it_was_written(paths: Paths) -> None:
    run = _run("1", "pushed")
    run.evaluation = {"metrics": {"accuracy": 0.5}, "verdict": "blessed: é"}
    run.save(paths)
    assert all_runs(paths) == [run]


def test_a_run_that_nobody_holds_was_interrupted(paths: Paths) -> None:
    _run("1", "running").save(paths)
    _run("2", "running").save(paths)
    assert [run.status for run in all_runs(paths)] == ["interrupted", "interrupted"]
    with hold_lock(paths.lock, lambda: "2"):
        assert [run.status for run in all_runs(paths)] == ["interrupted", "running"]
        table = io.StringIO()
        print_runs(paths, table, as_json=False, verbose=True)
        assert "running, at ExampleGen" in table.getvalue()
        assert "at ExampleGen, started 2026-01-01 00:00:00" in table.getvalue()


def test_a_run_in_progress_tells_how_long_it_has_taken_so_far(paths: Paths) -> None:
    run = _run("1", "running")
    run.started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - 500))
    run.seconds = 60.0  # when its last step ended
    run.save(paths)
    with hold_lock(paths.lock, lambda: "1"):
        assert 499 < all_runs(paths)[0].seconds < 560


def test_a_killed_run_is_recorded_with_step_time_and_reason(paths: Paths) -> None:
    run = _run("1", "running")
    run.steps.append(StepRecord("Trainer", "running"))
    run.save(paths)
    (read,) = all_runs(paths)
    assert (read.status, read.step, read.steps[-1].status) == ("interrupted", "Trainer", "interrupted")
    assert "killed" in read.error
    assert read.ended.startswith("20")
    assert read.seconds > 0


def test_a_damaged_record_hides_no_other(paths: Paths) -> None:
    _run("1", "pushed").save(paths)
    for name, content in (("2", "{"), ("3", '{"name": "3"}'), ("4", "[]"), ("5", '{"new": 1, "steps": []}')):
        (paths.runs / name).mkdir()
        (paths.runs / name / "run.json").write_text(content)
    assert [run.status for run in all_runs(paths)] == ["pushed", *["unreadable"] * 4]
    table = io.StringIO()
    print_runs(paths, table, as_json=False, verbose=True)
    assert "cannot be read: JSONDecodeError" in table.getvalue()


@pytest.mark.parametrize(("fate", "status"), [("done", "already live"), ("cached", "unchanged")])
def test_an_earlier_record_had_one_word_for_both(paths: Paths, fate: str, status: str) -> None:
    run = _run("1", "unchanged")
    run.steps[0].status = fate
    run.save(paths)
    assert [one.status for one in all_runs(paths)] == [status]


def test_names_never_repeat(paths: Paths) -> None:
    names = []
    for _ in range(3):
        names.append(new_name(paths))
        _run(names[-1], "failed").save(paths)
    assert len(set(names)) == 3
    assert [run.name for run in all_runs(paths)] == sorted(names)


def test_labels_are_shown_as_they_are(paths: Paths) -> None:
    run = _run("1", "pushed")
    labels = ("[bold]no[/bold]", "[/x]", ":smile:", "a=[b]")
    run.evaluation = {
        "metrics": {"accuracy": 0.5},
        "per_label": {label: {"recall": 0.5} for label in labels},
        "slices": [{"column": "c", "slice": f"c={label}", "rows": 9, "metrics": {}} for label in labels],
    }
    run.verdict, run.pushed = "not blessed: recall/[/x]", "/a folder/1"
    run.config = {"task": {"text_pair": "other"}}
    stream = io.StringIO()
    print_summary(run, paths, stream, as_json=False)
    output = stream.getvalue()
    assert all(f"c={label}" in output and f"\n{label} " in output for label in labels)
    assert "recall/[/x]" in output
    assert """transom predict '/a folder/1' "your text" --pair""" in output


def test_the_summary_shows_the_loss_to_the_live_model_and_how_sure_it_is(paths: Paths) -> None:
    run = _run("1", "pushed")
    compared = {"rows": 60, "candidate": {"accuracy": 0.8}, "live": {"accuracy": 0.9}, "interval": 0.8}
    run.evaluation = {
        "rows": 90,
        "metrics": {"accuracy": 0.7, "auc": None, "not_finite_count": 0.0},
        "comparison": {**compared, "losses": {"accuracy": [0.02, 0.18]}},
    }
    stream = io.StringIO()
    print_summary(run, paths, stream, as_json=False)
    lines = [" ".join(line.split()) for line in stream.getvalue().splitlines()]
    assert "metric (test rows) model on the 60 compared live model loss (80% interval)" in lines
    assert "accuracy 0.7000 0.8000 0.9000 +0.0200 to +0.1800" in lines
    assert "auc - - -" in lines
    run.evaluation["comparison"] = {"version": 3, "why_not": "it has other labels"}
    stream = io.StringIO()
    print_summary(run, paths, stream, as_json=False)
    assert "live model" not in stream.getvalue()


def test_the_summary_shows_the_baselines_and_warns_last(paths: Paths) -> None:
    run = _run("1", "pushed")
    shared = {"metric": "accuracy", "interval_share": 0.8, "all_train_rows": 900, "sentence": "not better than words"}
    shared["passed"] = True
    trivial = {"name": "majority", "answer": "always 'ham'", "train_rows": 900, "rows": 90, "warns": False}
    trivial["sentence"] = "may be chance"
    linear = {"name": "linear", "answer": "words", "train_rows": 300, "rows": 60, "warns": True}
    figures = {"gain": -0.1, "interval": [-0.2, 0.05], "metrics": {"accuracy": 0.8}}
    run.evaluation = {
        "rows": 90,
        "metrics": {"accuracy": 0.7, "auc": 0.6, "unknown_label_count": 3.0},
        "baselines": {
            "majority": {**shared, **trivial, "gain": None, "interval": None, "metrics": {"accuracy": 0.5}},
            "linear": {**shared, **linear, **figures},
        },
    }
    run.verdict = "blessed: it is"
    stream = io.StringIO()
    print_summary(run, paths, stream, as_json=False)
    lines = [" ".join(line.split()) for line in stream.getvalue().splitlines()]
    assert {"metric (test rows) model trivial linear on 60", "accuracy 0.7000 0.5000 0.8000"} <= set(lines)
    assert "auc 0.6000 - -" in lines
    assert "3 rows have labels that the training rows do not have: no answer is right there" in lines
    assert "trivial: always 'ham'" in lines
    assert (
        "linear: words, fitted to a sample of 300 of 900 training rows; the model's gain in accuracy: -0.1000 "
        "(80% interval -0.2000 to +0.0500)"
    ) in lines
    last = lines.index("verdict: blessed: it is")
    assert lines[last + 1 : last + 3] == ["note: may be chance", "warning: not better than words"]
    assert stream.getvalue().count("warning") == 1


def test_the_summary_counts_likely_label_errors_if_there_are_any(paths: Paths) -> None:
    run, stream = _run("1", "pushed"), io.StringIO()
    run.evaluation = {"label_errors": {"found": {"train": 2, "eval": 0, "test": 1}, "rows": []}}
    print_summary(run, paths, stream, as_json=False)
    counted = "labels:  3 rows have labels that may be wrong (2 in train, 1 in test): see the report"
    assert counted in stream.getvalue()
    run.evaluation = {"label_errors": {"found": {"train": 0}, "rows": []}}
    stream = io.StringIO()
    print_summary(run, paths, stream, as_json=False)
    assert "labels:" not in stream.getvalue()


def test_the_summary_says_on_how_many_rows_each_figure_stands(paths: Paths) -> None:
    run = _run("1", "pushed")
    run.evaluation = {
        "metrics": {"accuracy": 0.7},
        "per_label": {"spam": {"recall": 0.5}, "ham": {"recall": 0.75}, "rare": {"recall": None}},
        "slices": [
            {"column": "label", "slice": "label=ham", "value": "ham", "rows": 60, "metrics": {}},
            {"column": "source", "slice": "source=web", "value": "web", "rows": 55, "metrics": {"accuracy": 0.6}},
        ],
        "small_slices": [
            {"column": "label", "slice": "label=spam", "value": "spam", "rows": 14},
            {"column": "source", "slice": "source=shop", "value": "shop", "rows": 19},
        ],
        "min_slice_size": 20,
    }
    stream = io.StringIO()
    print_summary(run, paths, stream, as_json=False)
    lines = [" ".join(line.split()) for line in stream.getvalue().splitlines()]
    assert {"label rows recall", "spam 14 0.5000", "ham 60 0.7500", "rare 0 -"} <= set(lines)
    assert "too few rows to report (evaluation.min_slice_size is 20): source=shop" in lines
    run.evaluation |= {"slices": [], "small_slices": []}  # `evaluation.slices` is empty
    stream = io.StringIO()
    print_summary(run, paths, stream, as_json=False)
    assert "spam 0.5000" in [" ".join(line.split()) for line in stream.getvalue().splitlines()]
    assert "too few rows" not in stream.getvalue()


def test_a_record_is_json_whatever_was_measured(paths: Paths) -> None:
    run = _run("1", "pushed")
    run.evaluation, run.training = {"metrics": {"mse": math.inf}}, {"best_value": math.nan}
    run.save(paths)
    summary, runs = io.StringIO(), io.StringIO()
    print_summary(run, paths, summary, as_json=True)
    print_runs(paths, runs, as_json=True)
    for text in (summary.getvalue(), runs.getvalue(), (paths.runs / "1" / "run.json").read_text(encoding="utf-8")):
        output = json.loads(text, parse_constant=pytest.fail)
        assert output["evaluation"]["metrics"]["mse"] is output["training"]["best_value"] is None


def test_the_summary_says_why_each_other_edge_variant_lost(paths: Paths) -> None:
    cost = Cost(1_000_000, 5.0, 3_000_000, 1, (Latency("classify_8", 1.0, 1.1),))
    parity = Parity(9, 0, 0, 0.1, 0.02, 8 / 9, ())
    candidates = [Candidate("dynamic_int8", parity, cost), Candidate("int8", broken="cannot be made: no rows")]
    run = _run("1", "pushed")
    run.edge = choose_variant(candidates, cost, EdgeConfig())
    run.pushed = "/out/serving/x/1"
    stream = io.StringIO()
    print_summary(run, paths, stream, as_json=False)
    output = stream.getvalue()
    assert "dynamic_int8  1.00        88.8%      0.0200  1.00 x float32" in output
    assert "not chosen: dynamic_int8 (agreement 0.8889 is below edge.min_agreement 0.99)" in output
    assert "not chosen: int8 (cannot be made: no rows)" in output
    assert "no edge bundle: " in output
    assert "bundle:  " not in output
    run.bundle = "/out/edge/x/1"
    print_summary(run, paths, stream, as_json=False)
    assert "bundle:  /out/edge/x/1" in stream.getvalue()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("already live", "the same model was live already"),
        ("unchanged", "nothing has changed since run 20260101-000000, so no step"),
    ],
)
def test_a_run_that_pushed_nothing_says_why_nothing_is_new(paths: Paths, status: str, words: str) -> None:
    run, stream = _run("1", status), io.StringIO()
    run.repeats = "20260101-000000"
    run.pushed = "reviews-out/serving/reviews/7"
    print_summary(run, paths, stream, as_json=False)
    assert f"nothing new: {words}" in stream.getvalue()
    assert "live:    reviews-out/serving/reviews/7" in stream.getvalue()
    assert "pushed:" not in stream.getvalue()
