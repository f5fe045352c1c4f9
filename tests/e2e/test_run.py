"""One run, and the commands that use its result. The runs share one project: see `conftest.tiny`."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.runs import unchanged
from pipeline.runs.run_lock import hold_lock

Tiny = tuple[Any, dict[str, Any]]


def test_a_run_trains_measures_and_pushes(tiny: Tiny) -> None:
    project, result = tiny
    assert result["status"] == "pushed"
    assert result["evaluation"]["metrics"]["accuracy"] >= 0.8
    assert set(result["fates"].values()) == {"done"}
    assert Path(result["pushed"]).parent == project.output / "serving" / "tiny"
    extras = {path.name for path in Path(result["pushed"], "assets.extra").iterdir()}
    assert {"labels.json", "transom.json", "training.json", "data_summary.json", "tf_serving_warmup_requests"} <= extras


@pytest.mark.skipif(sys.platform != "linux", reason="steps are forked on Linux only")
def test_each_step_has_a_log_and_tells_what_it_took(tiny: Tiny) -> None:
    project, result = tiny
    assert all(step["peak_memory_bytes"] > 2**20 for step in result["steps"])
    assert sum(step["cpu_seconds"] for step in result["steps"]) > 1
    logs = project.output / "runs" / result["name"] / "logs"
    assert {file.stem for file in logs.iterdir()} == {step["name"] for step in result["steps"]}
    assert "epoch 1/6" in (logs / "Trainer.txt").read_text(encoding="utf-8")


def test_no_temporary_file_is_left(tiny: Tiny) -> None:
    project, _ = tiny
    assert list(project.temporary.iterdir()) == []


def test_the_model_was_served_before_it_was_pushed(tiny: Tiny) -> None:
    _, result = tiny
    assert result["serving"]["blessed"]
    assert result["serving"]["requests"] == 2 * (3 * 4 + 1)


def test_an_edge_bundle_is_pushed_with_the_model(tiny: Tiny) -> None:
    project, result = tiny
    assert Path(result["bundle"]) == project.output / "edge" / "tiny" / Path(result["pushed"]).name
    assert result["edge"]["blessed"]
    assert {row["variant"] for row in result["edge"]["variants"]} == {"dynamic_int8", "float16"}
    out = project.transom("edge", "run", str(project.output), "good lovely film", "bad ugly film", "--json")
    served = project.transom("predict", str(project.output), "good lovely film", "bad ugly film", "--json")
    edge, server = ([json.loads(line)["label"] for line in each.splitlines()] for each in (out, served))
    assert edge == server == ["pos", "neg"]
    measured = project.transom("edge", "bench", str(project.output), "--runs", "5")
    assert "classify_32" in measured


def test_slices_cover_labels_and_lengths_but_no_small_groups(tiny: Tiny) -> None:
    _, result = tiny
    names = {entry["slice"].partition("=")[0].partition(":")[0].strip() for entry in result["evaluation"]["slices"]}
    assert {"label", "text_length"} <= names
    assert all(entry["rows"] >= 5 for entry in result["evaluation"]["slices"])


def test_predict_queries_the_newest_version(tiny: Tiny, tmp_path: Path) -> None:
    project, _ = tiny
    texts = tmp_path / "texts.txt"
    texts.write_text("good lovely film\nbad ugly film\n", encoding="utf-8")
    out = project.transom("predict", str(project.output), "--file", str(texts), "--json")
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer["label"] for answer in answers] == ["pos", "neg"]
    assert all(abs(sum(answer["probabilities"].values()) - 1) < 1e-5 for answer in answers)


def test_a_run_ends_with_a_page_that_answers_every_question(tiny: Tiny) -> None:
    project, result = tiny
    page = project.output / "runs" / result["name"] / "report.html"
    text = page.read_text(encoding="utf-8")
    assert text.count("<section ") == 13
    assert "stopped before" not in text
    assert text.count("<svg ") >= 6
    for fact in ("95% interval", "text_length=", "McNemar", "milliseconds", "dynamic_int8"):
        assert fact in text, fact
    page.unlink()
    project.transom("report", result["name"], "--project", str(project.config), "--no-open")
    assert page.is_file()


def test_what_is_pushed_has_a_card(tiny: Tiny) -> None:
    project, result = tiny
    accuracy = f"| accuracy | {result['evaluation']['metrics']['accuracy']:.4f} |"
    places = Path(result["pushed"], "assets.extra", "README.md"), Path(result["bundle"], "README.md")
    for card in (project.transom("report", "--card", "--project", str(project.config)), *map(Path.read_text, places)):
        assert card.startswith("---\nlibrary_name: ")
        assert accuracy in card
        assert "stopped before" not in card


def test_the_wrong_rows_are_listed(tiny: Tiny) -> None:
    project, result = tiny
    out = project.transom("errors", str(project.output / "runs" / result["name"]), "--csv")
    rows = list(csv.DictReader(out.splitlines()))
    assert len(rows) == result["rows"]["outcomes"]["wrong"]
    assert all(row["given"] != row["answer"] and row["place"] in ("home", "cinema") for row in rows)


def test_runs_lists_the_run(tiny: Tiny) -> None:
    project, result = tiny
    assert result["name"] in project.transom("runs", str(project.config))


def test_a_copied_version_says_what_made_it(tiny: Tiny, tmp_path: Path) -> None:
    project, result = tiny
    copied = shutil.copytree(result["pushed"], tmp_path / "copied")
    lineage = json.loads(project.transom("lineage", str(copied), "--json"))
    assert lineage["run"]["name"] == result["name"]
    assert lineage["data"]["rows"] == result["tables"]["rows"]
    (file,) = lineage["data"]["sources"][0]["files"]
    table = (project.folder / "reviews.csv").read_bytes()
    assert (file["bytes"], file["sha256"]) == (len(table), hashlib.sha256(table).hexdigest())
    assert {**lineage["config"], "beam": None, "kubeflow": None} == {
        **result["config"],
        "beam": None,
        "kubeflow": None,
    }
    assert lineage["origin"] == result["training"]["origin"]
    assert lineage["origin"]["code"]["transom"]
    assert Path(result["bundle"], "lineage.json").read_bytes() == (copied / "assets.extra/lineage.json").read_bytes()
    assert f"rows: train {lineage['data']['rows']['train']}" in project.transom("lineage", result["bundle"])


@pytest.mark.slow
def test_a_copied_version_is_trained_again_with_the_same_bits(tiny: Tiny, tmp_path: Path) -> None:
    """This takes 20 s on two cores."""
    project, result = tiny
    copied = shutil.copytree(result["pushed"], tmp_path / "copied")
    before = {path: path.stat().st_mtime_ns for path in project.output.rglob("*")}
    out = project.transom("reproduce", str(copied), "--into", str(tmp_path / "again"), "--json")
    first, *_, last = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert (first["event"], first["differences"]) == ("reproducing", [])
    assert (last["event"], last["result"], last["different"]) == ("reproduced", "identical", [])
    assert last["digest"]["now"] == last["digest"]["lineage"]
    assert {path: path.stat().st_mtime_ns for path in project.output.rglob("*")} == before
    assert not list((tmp_path / "again").glob("**/serving")), "nothing is pushed"


@pytest.mark.slow
def test_a_cpu_is_divided_into_the_devices_that_are_asked_for(source: Any, project: Any) -> None:
    """In the process of the step, which has read its rows before it trains."""
    source.copy_to(project.folder)
    result = project.run("--set", "train.devices=2", "--to", "Trainer")
    assert (result["training"]["strategy"], len(result["training"]["devices"])) == ("mirrored", 2)


@pytest.fixture(scope="module")
def again(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same project, run a second time with nothing changed."""
    project, first = tiny
    return project, first, project.run()


def test_a_second_run_trains_nothing_and_pushes_nothing(again: Any) -> None:
    _, first, second = again
    cached = (
        "ExampleGen",
        "StatisticsGen",
        "SchemaGen",
        "ExampleValidator",
        "Baselines",
        "TokenizerTrainer",
        "Transform",
        "Trainer",
        "Evaluator",
        "ServingGate",
        "EdgeExporter",
        "EdgeGate",
    )
    assert {step: second["fates"][step] for step in cached} == dict.fromkeys(cached, "cached")
    assert second["status"] == "unchanged"
    assert second["pushed"] == first["pushed"]
    assert second["evaluation"]["metrics"] == first["evaluation"]["metrics"]
    assert "live already" in second["evaluation"]["notes"][0]
    lineage = json.loads(Path(second["pushed"], "assets.extra", "lineage.json").read_text())
    assert lineage["run"]["name"] == first["name"], "it keeps that of the run that pushed it"


@pytest.fixture(scope="module")
def asked(again: Any) -> Any:
    """The same project, run twice more without its memory of the last run, so that TFX's cache is asked."""
    project, first, second = again
    runs = []
    for _ in range(2):
        (project.output / unchanged.FILE_NAME).unlink()
        runs.append(project.run())
    return project, first, second, *runs


@pytest.mark.slow
def test_a_run_that_is_recognized_has_the_result_of_one_that_asks_tfx(asked: Any) -> None:
    _, first, second, third, fourth = asked
    assert {step for step, fate in third["fates"].items() if fate == "done"} == {"LiveModel", "DataGate", "Pusher"}
    assert set(second["fates"].values()) == set(fourth["fates"].values()) == {"cached"}
    assert second["fates"].keys() == fourth["fates"].keys() == first["fates"].keys()
    results = [{key: run[key] for key in second if key not in _OF_EACH_RUN} for run in (second, third, fourth)]
    for result in results:
        result["rows"] = {key: value for key, value in result["rows"].items() if key != "folder"}
        result["data"] = result["data"]["splits"]  # without the drift since what is live, which the first run was not
    assert results[0] == results[1] == results[2]
    assert [run["status"] for run in (first, second, third, fourth)] == [
        "pushed",
        "unchanged",
        "already live",
        "unchanged",
    ]
    assert second["pushed"] == first["pushed"]


_OF_EACH_RUN = {
    "name",
    "status",
    "repeats",
    "started",
    "ended",
    "seconds",
    "steps",
    "fates",
    "notes",
    "peak_memory_bytes",
    "folder",
    "out",
    "event",
}


@pytest.mark.slow
def test_a_changed_setting_repeats_exactly_the_affected_steps(asked: Any) -> None:
    project = asked[0]
    third = project.run("--set", "gate.small_class_rows=2", "--set", "push.keep=3")
    assert [step for step, fate in third["fates"].items() if fate == "done"] == ["DataGate", "Pusher"]
    edge = project.run("--set", "edge.min_agreement=0.9")
    assert [step for step, fate in edge["fates"].items() if fate == "done"] == ["EdgeGate", "Pusher"]
    assert edge["bundle"]
    fourth = project.run("--set", "train.epochs=1", "--to", "Trainer")
    assert [step for step, fate in fourth["fates"].items() if fate == "done"] == ["Trainer"]
    assert fourth["status"] == "finished"


@pytest.mark.slow
def test_a_model_that_is_not_good_enough_is_not_pushed(again: Any) -> None:
    project, first, _ = again
    result = project.run("--set", "evaluation.thresholds.log_loss={max: 1.5e-12}", code=8)
    assert result["status"] == "not blessed"
    assert "log_loss" in result["verdict"]
    assert "1.5e-12" in result["verdict"]
    assert [path.name for path in Path(first["pushed"]).parent.iterdir()] == [Path(first["pushed"]).name]


def test_a_second_run_on_the_same_project_names_the_running_one(tiny: Tiny) -> None:
    project, _ = tiny
    with hold_lock(project.output / "lock", lambda: "the first"):
        out = project.transom("run", str(project.config), code=10)
    assert "run the first" in out
    assert "--wait" in out


def test_bad_data_stop_the_run_with_one_screen(tiny: Tiny, tmp_path: Path) -> None:
    project, _ = tiny
    other = project.copy_to(tmp_path)
    rows = project.folder.joinpath("reviews.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "reviews.csv").write_text("\n".join([rows[0], *(row.replace(",neg,", ",pos,") for row in rows[1:])]))
    out = other.transom("run", str(other.config), code=4)
    assert "one_class" in out
    assert "Traceback" not in out
    assert not (other.output / "serving").exists()
    assert "failed at DataGate" in other.transom("runs", str(other.folder))
