"""The Evaluator end to end on real, tiny SavedModels, against scikit-learn on the same rows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from scipy import stats
from sklearn import metrics as sk
from tfx import types
from tfx.types import artifact_utils, standard_artifacts

from components.artifacts import LiveModelArtifact
from components.config import EvaluationConfig
from components.evaluation.comparability import baseline_of
from components.evaluation.summary import load_summary
from components.steps.evaluator import Evaluator, Executor
from models.config import TaskConfig
from models.errors import ConfigError, DataError, ModelError
from tflite.host.labels import LabelSpace

LABELS = ("bad", "good", "naïve")
ROWS = 150


class NumbersInText(tf.Module):
    """A model whose answer stands in the text: "0.2 0.7 0.1 some words" has the probabilities 0.2, 0.7, 0.1."""

    def __init__(self, outputs: int, shift: float, order: list[int]) -> None:
        super().__init__()
        self.outputs, self.shift = outputs, tf.Variable(shift)
        self.order = tf.constant(order)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def tf_example(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(examples, {"text": tf.io.FixedLenFeature([], tf.string)})
        words = tf.strings.split(parsed["text"]).to_tensor()[:, : self.outputs]
        numbers = tf.strings.to_number(tf.ensure_shape(words, [None, self.outputs])) + self.shift
        if self.outputs == 1:
            return {"score": numbers[:, 0]}
        return {"probabilities": tf.gather(numbers, self.order, axis=1), "score": tf.reduce_max(numbers, axis=1)}


def export(folder: Path, task: TaskConfig, *, labels: tuple[str, ...] = LABELS, shift: float = 0.0) -> Path:
    """A SavedModel as the Trainer leaves it: signature `tf_example`, labels and configuration beside it."""
    serving = folder / "Format-Serving"
    order = [LABELS.index(label) if label in LABELS else 0 for label in labels] or [0]
    model = NumbersInText(len(labels) or 1, shift, order)
    tf.saved_model.save(model, str(serving), signatures={"tf_example": model.tf_example})
    extra = serving / "assets.extra"
    extra.mkdir()
    LabelSpace(labels=labels).save(extra)
    (extra / "transom.json").write_text(json.dumps({"task": task.model_dump(mode="json")}))
    return folder


def artifact(kind: type[types.Artifact], folder: Path) -> Any:
    made = kind()
    made.uri = str(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return made


def write_examples(folder: Path, rows: dict[str, list[dict[str, Any]]]) -> Any:
    """Rows as ExampleGen writes them: split to rows, a row column to value (bytes, list of bytes or number)."""
    examples = artifact(standard_artifacts.Examples, folder)
    examples.split_names = artifact_utils.encode_split_names(list(rows))
    for split, content in rows.items():
        (folder / f"Split-{split}").mkdir()
        path = folder / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz"
        with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions("GZIP")) as writer:
            for row in content:
                writer.write(example(row))
    return examples


def example(row: dict[str, Any]) -> bytes:
    feature = {}
    for name, value in row.items():
        if isinstance(value, float):
            feature[name] = tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
        else:
            values = value if isinstance(value, list) else [value]
            feature[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[item.encode() for item in values]))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def evaluate(
    folder: Path,
    task: TaskConfig,
    examples: Any,
    model: Path,
    live: Any = None,
    *,
    to: Path | None = None,
    **config: Any,
) -> tuple[dict[str, Any], Any]:
    """Runs the executor; returns the summary and the blessing. `to`: the evaluation's folder."""
    evaluation = artifact(standard_artifacts.ModelEvaluation, to or folder / "evaluation")
    blessing = artifact(standard_artifacts.ModelBlessing, folder / "blessing")
    inputs = {"examples": [examples], "model": [artifact(standard_artifacts.Model, model)]}
    if live is not None:
        inputs["live_model"] = [live]
    properties = {
        "task": task.model_dump_json(),
        "config": EvaluationConfig.model_validate(config).model_dump_json(),
        "code": "",
    }
    Executor().Do(inputs, {"evaluation": [evaluation], "blessing": [blessing]}, properties)
    if evaluation.has_custom_property("reused"):
        Path(evaluation.uri, "reused").touch()
    return load_summary(evaluation.uri), blessing


def live_model(folder: Path, version: int) -> Any:
    live = artifact(LiveModelArtifact, folder / "Format-Serving")
    live.version = version
    return live


def text_of(numbers: np.ndarray, words: int) -> str:
    return " ".join([*(f"{number:.6f}" for number in numbers), *["word"] * words])


def single_label_rows(seed: int = 0) -> tuple[list[dict[str, Any]], np.ndarray, np.ndarray]:
    """Rows with three labels, their answers and the probabilities in their texts."""
    rng = np.random.default_rng(seed)
    answers = rng.choice(3, ROWS, p=[0.55, 0.4, 0.05])
    probabilities = rng.dirichlet([1.0, 1.0, 1.0], ROWS)
    probabilities[np.arange(ROWS), answers] += 0.5
    probabilities = np.round(probabilities / probabilities.sum(1, keepdims=True), 6)
    rows = []
    for index, answer in enumerate(answers):
        row = {"text": text_of(probabilities[index], index % 40), "label": LABELS[answer]}
        if index % 3:
            row["source"] = f"site {index % 2}"
        row["a=b"] = f"{'yes' if index % 2 else 'no'}=c"
        rows.append(row)
    return rows, answers, probabilities


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A candidate, a worse live model with its outputs in another order, and one run over both."""
    folder, task = tmp_path_factory.mktemp("single"), TaskConfig()
    rows, answers, probabilities = single_label_rows()
    examples = write_examples(folder / "examples", {"train": rows[:3], "eval": rows[:3], "test": rows})
    model = export(folder / "model", task)
    live = live_model(export(folder / "live", task, labels=("naïve", "good", "bad")), 17)
    summary, blessing = evaluate(
        folder,
        task,
        examples,
        model,
        live,
        slices=("label", "text_length", "source"),
        thresholds={
            "accuracy": {"min": 0.5, "max_loss_to_live": 0.0, "slices": ("label", "source=site 1", "a=b=yes=c")}
        },
    )
    return {
        "folder": folder,
        "examples": examples,
        "model": model,
        "live": live,
        "answers": answers,
        "probabilities": probabilities,
        "rows": rows,
        "summary": summary,
        "blessing": blessing,
    }


def test_every_figure_is_that_of_scikit_learn_on_all_rows(single: dict[str, Any]) -> None:
    answers, probabilities = single["answers"], single["probabilities"]
    predicted = probabilities.argmax(1)
    metrics = single["summary"]["metrics"]
    assert metrics["example_count"] == ROWS
    assert metrics["accuracy"] == pytest.approx(sk.accuracy_score(answers, predicted))
    assert metrics["macro_f1"] == pytest.approx(sk.f1_score(answers, predicted, average="macro"))
    assert metrics["auc"] == pytest.approx(sk.roc_auc_score(answers, probabilities, multi_class="ovr"), abs=1e-6)
    assert single["summary"]["per_label"]["naïve"]["recall"] == pytest.approx(
        sk.recall_score(answers, predicted, average=None)[2]
    )
    assert (
        np.array(single["summary"]["confusion"]["counts"])[:3].tolist()
        == sk.confusion_matrix(answers, predicted).tolist()
    )
    assert single["summary"]["labels"] == list(LABELS)
    assert single["summary"]["split"] == "test"


def test_the_live_model_is_measured_on_the_same_rows_whatever_the_order_of_its_outputs(single: dict[str, Any]) -> None:
    assert single["summary"]["live_version"] == 17
    assert single["summary"]["baseline"] == pytest.approx(single["summary"]["metrics"], abs=1e-9)
    losses = [entry for entry in single["summary"]["thresholds"] if entry["bound"] == "max_loss_to_live"]
    # All rows, two labels of which there are enough, and a value each of two columns, one with a "=" in its name.
    assert [entry["slice"] for entry in losses] == ["", "label=bad", "label=good", "source=site 1", "a=b=yes=c"]
    assert all(entry["passed"] and entry["live"] == entry["value"] for entry in losses)


def test_slices_are_those_of_the_rows_and_small_ones_are_named_apart(single: dict[str, Any]) -> None:
    answers, predicted = single["answers"], single["probabilities"].argmax(1)
    slices = {(part["column"], part["value"]): part for part in single["summary"]["slices"]}
    for index, label in enumerate(LABELS[:2]):
        part = slices["label", label]
        assert part["rows"] == (answers == index).sum()
        assert part["metrics"]["accuracy"] == pytest.approx((predicted == answers)[answers == index].mean())
    assert ("label", "naïve") not in slices
    small = {(part["column"], part["value"]): part["rows"] for part in single["summary"]["small_slices"]}
    assert small["label", "naïve"] == (answers == 2).sum()
    lengths = [len(row["text"]) for row in single["rows"]]
    assert slices["text_length", "128-255 characters"]["rows"] == sum(128 <= length < 256 for length in lengths)
    assert slices["source", "(missing)"]["rows"] == sum("source" not in row for row in single["rows"])
    names = [part["value"] for part in single["summary"]["slices"] if part["column"] == "text_length"]
    assert names == sorted(names, key=lambda name: int(name.split("-")[0]))
    assert any("slice label=naïve" in note for note in single["summary"]["notes"])


def test_a_blessing_is_marked_as_tfx_marks_it(single: dict[str, Any]) -> None:
    blessing = single["blessing"]
    assert blessing.get_int_custom_property("blessed") == 1
    assert Path(blessing.uri, "BLESSED").exists()
    assert single["summary"]["verdict"].startswith("blessed: all 10 thresholds are met on the 150 test rows")
    assert blessing.get_string_custom_property("verdict") == single["summary"]["verdict"]


def test_tfma_can_read_the_evaluation(single: dict[str, Any]) -> None:
    folder = str(single["folder"] / "evaluation")
    result = tfma.load_eval_result(folder, model_name=tfma.CANDIDATE_KEY)
    overall = dict(result.slicing_metrics)[()][""][""]
    assert overall["accuracy"]["doubleValue"] == single["summary"]["metrics"]["accuracy"]


def _without_config(folder: Path) -> None:
    (folder / "assets.extra/transom.json").unlink()


def _other_column(folder: Path) -> None:
    task = TaskConfig(text="review").model_dump(mode="json")
    (folder / "assets.extra/transom.json").write_text(json.dumps({"task": task}))


def _broken_labels(folder: Path) -> None:
    (folder / "assets.extra/labels.json").write_text('{"labels": ["bad", ')


def _broken_variables(folder: Path) -> None:
    shutil.rmtree(folder / "variables")


def _broken_graph(folder: Path) -> None:
    (folder / "saved_model.pb").write_bytes(b"\x0a\xff\xff no graph")


def _no_model(folder: Path) -> None:
    (folder / "saved_model.pb").unlink()


def _other_signature(folder: Path) -> None:
    model = NumbersInText(1, 0.0, [0])
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.tf_example})


def _other_output(folder: Path) -> None:
    model = NumbersInText(1, 0.0, [0])
    tf.saved_model.save(model, str(folder), signatures={"tf_example": model.tf_example})


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_without_config, "its assets.extra/transom.json is missing or broken"),
        (_other_column, "its task.text is 'review', the candidate's is 'text'"),
        (_broken_labels, "its assets.extra/labels.json is missing or broken"),
        (_broken_variables, "it cannot be loaded or asked ("),
        (_broken_graph, "it cannot be loaded or asked ("),
        (_no_model, "it cannot be loaded or asked ("),
        (_other_signature, "it has no signature 'tf_example'"),
        (_other_output, "its signature 'tf_example' has no output 'probabilities'"),
    ],
)
def test_why_a_live_model_cannot_be_compared(
    single: dict[str, Any], tmp_path: Path, harm: Callable[[Path], None], said: str
) -> None:
    folder = tmp_path / "live"
    shutil.copytree(single["live"].uri, folder)
    row = example(single["rows"][0])
    baseline, reason = baseline_of(folder, TaskConfig(), LABELS, row)
    assert (baseline.labels, baseline.threshold, reason) == (("naïve", "good", "bad"), 0.5, "")
    harm(folder)
    baseline, reason = baseline_of(folder, TaskConfig(), LABELS, row)
    assert baseline is None
    assert said in reason


def test_what_was_measured_of_the_live_model_itself_stands(single: dict[str, Any], tmp_path: Path) -> None:
    examples, model = single["examples"], export(tmp_path / "model", TaskConfig())
    config = {"slices": (), "thresholds": {"accuracy": {"min": 0.5}}}
    again = export(tmp_path / "again", TaskConfig())  # the same model of another training: other bytes
    live = live_model(again, 9)

    def run(number: int, beside: Any, task: TaskConfig | None = None, **changes: Any) -> tuple[dict[str, Any], bool]:
        folder = tmp_path / "evaluation" / str(number)
        summary, blessing = evaluate(
            folder, task or TaskConfig(), examples, model, beside, to=folder, **{**config, **changes}
        )
        assert blessing.get_int_custom_property("blessed") == 1
        return summary, (folder / "reused").exists()

    first, _ = run(1, single["live"])
    second, stood = run(2, live)
    assert stood
    note = "this very model is live already, as version 9: its evaluation stands"
    assert second == {**first, "notes": [note, *first["notes"]]}
    assert second["live_version"] == 17, "beside what was live when it was judged"
    assert not run(3, single["live"])[1], "another model is live"
    other, stood = run(4, live, thresholds={"accuracy": {"min": 0.6}})
    assert not stood
    assert other["notes"] == ["this very model is live already, as version 9: there is nothing to compare it with"]


def test_a_live_model_with_other_labels_is_compared_on_what_both_know(single: dict[str, Any], tmp_path: Path) -> None:
    live = live_model(export(tmp_path / "live", TaskConfig(), labels=("bad", "good", "mixed")), 3)
    thresholds = {"accuracy": {"max_loss_to_live": 0.3}, "recall/naïve": {"max_loss_to_live": 0.5}}
    summary, blessing = evaluate(
        tmp_path, TaskConfig(), single["examples"], single["model"], live, slices=("source",), thresholds=thresholds
    )
    known = single["answers"] < 2
    assert summary["comparison"]["rows"] == known.sum() < ROWS
    assert summary["comparison"]["labels"] == ["bad", "good"]
    predicted = single["probabilities"].argmax(1)
    right = (predicted == single["answers"])[known].mean()
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


def test_a_live_model_that_answers_some_rows_with_nan_is_not_compared(tmp_path: Path) -> None:
    task = TaskConfig(type="regression")
    # The live model takes the number away from another: "inf" less "inf" is none.
    rows = [{"text": f"{number} word", "label": float(index)} for index, number in enumerate([*range(30), "inf"])]
    examples = write_examples(tmp_path / "examples", {"test": rows[:30]})
    live = live_model(export(tmp_path / "live", task, labels=(), shift=float("nan")), 4)
    model, thresholds = export(tmp_path / "model", task, labels=()), {"mse": {"max_loss_to_live": 0.1}}
    summary, _ = evaluate(tmp_path, task, examples, model, live, thresholds=thresholds)
    assert summary["comparison"]["why_not"] == "it answers 30 of 30 rows with NaN or infinity"
    assert not summary["blessed"]
    broken = write_examples(tmp_path / "broken", {"test": rows})
    summary, _ = evaluate(tmp_path / "again", task, broken, model)
    assert summary["metrics"]["mse"] is None
    assert "1 of the answers on the 31 test rows are NaN or infinite" in summary["verdict"]


def test_rows_without_an_answer_and_unknown_labels_are_counted(single: dict[str, Any], tmp_path: Path) -> None:
    rows = [*single["rows"], {"text": "0.1 0.8 0.1", "label": "new"}, {"text": "0.1 0.8 0.1"}]
    examples = write_examples(tmp_path / "examples", {"eval": rows})
    empty = live_model(tmp_path / "live", 0)
    summary, _ = evaluate(tmp_path, TaskConfig(), examples, single["model"], empty, min_slice_size=1)
    correct = (single["answers"] == single["probabilities"].argmax(1)).sum()
    assert summary["metrics"]["accuracy"] == pytest.approx(correct / (ROWS + 1))
    assert summary["metrics"]["unknown_label_count"] == summary["metrics"]["unlabelled_count"] == 1
    assert summary["confusion"]["counts"][3] == [0, 1, 0]
    assert summary["notes"] == [
        "there is no test split: measured on the eval rows, which also chose the best epoch",
        "nothing is live yet: this model is measured without comparison",
        "evaluation.thresholds is empty: any model is blessed",
    ]
    assert summary["verdict"].startswith("blessed without a test of quality")
    assert {part["value"] for part in summary["small_slices"]} == {"(none)"}


def test_many_labels_a_row(tmp_path: Path) -> None:
    task = TaskConfig(type="multi_label", threshold=0.4)
    rng = np.random.default_rng(1)
    probabilities = np.round(rng.random((ROWS, 3)), 6)
    answers = (probabilities + rng.normal(0, 0.4, (ROWS, 3))) > 0.5
    rows = [
        {"text": text_of(row, 3), "label": [LABELS[i] for i in np.flatnonzero(answer)]}
        for row, answer in zip(probabilities, answers, strict=True)
    ]
    examples = write_examples(tmp_path / "examples", {"test": rows})
    summary, _ = evaluate(tmp_path, task, examples, export(tmp_path / "model", task))
    predicted, metrics = probabilities.astype(np.float32) >= np.float32(0.4), summary["metrics"]
    assert metrics["micro_f1"] == pytest.approx(sk.f1_score(answers, predicted, average="micro"))
    assert metrics["macro_f1"] == pytest.approx(sk.f1_score(answers, predicted, average="macro"))
    assert metrics["subset_accuracy"] == pytest.approx(sk.accuracy_score(answers, predicted))
    assert metrics["mean_average_precision"] == pytest.approx(
        sk.average_precision_score(answers, probabilities, average="macro")
    )
    assert (
        np.array(summary["confusion"]["counts"]).tolist() == sk.multilabel_confusion_matrix(answers, predicted).tolist()
    )
    by_label = {part["value"]: part["rows"] for part in summary["slices"] if part["column"] == "label"}
    assert by_label == {
        **{label: answers[:, index].sum() for index, label in enumerate(LABELS)},
        "(none)": (~answers.any(1)).sum(),
    }


def test_regression_beside_a_worse_live_model(tmp_path: Path) -> None:
    task = TaskConfig(type="regression")
    rng = np.random.default_rng(2)
    predictions = np.round(rng.normal(2.0, 1.0, ROWS), 6)
    answers = predictions + rng.normal(0, 0.5, ROWS)
    rows = [{"text": text_of(p[None], 2), "label": float(a)} for p, a in zip(predictions, answers, strict=True)]
    examples = write_examples(tmp_path / "examples", {"test": rows})
    live = live_model(export(tmp_path / "live", task, labels=(), shift=-0.3), 4)
    model = export(tmp_path / "model", task, labels=(), shift=0.6)
    thresholds = {"mse": {"max_loss_to_live": 0.1}}
    summary, _ = evaluate(tmp_path, task, examples, model, live, thresholds=thresholds)
    mse, live_mse = (predictions + shift - answers for shift in (0.6, -0.3))
    assert summary["metrics"]["mse"] == pytest.approx((mse**2).mean(), rel=1e-5)
    assert summary["baseline"]["mse"] == pytest.approx((live_mse**2).mean(), rel=1e-5)
    assert summary["metrics"]["spearman"] == pytest.approx(stats.spearmanr(predictions, answers).statistic, rel=1e-5)
    assert {part["column"] for part in summary["slices"]} == {"text_length"}
    assert not summary["blessed"]
    assert "worse than the" in summary["verdict"]
    assert "live model (version 4), where 0.10 is allowed" in summary["verdict"]


def test_a_slice_that_no_row_has_is_refused(single: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'langauge', and no row of the test split has such a column"):
        evaluate(tmp_path, TaskConfig(), single["examples"], single["model"], slices=("langauge",))


def test_a_threshold_for_a_label_that_the_model_lacks_is_refused(single: dict[str, Any], tmp_path: Path) -> None:
    thresholds = {"recall/awful": {"min": 0.5}}
    with pytest.raises(ConfigError, match="label 'awful'"):
        evaluate(tmp_path, TaskConfig(), single["examples"], single["model"], thresholds=thresholds)


def test_a_split_without_rows_is_refused(single: dict[str, Any], tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "examples", {"test": []})
    with pytest.raises(DataError, match="the test split"):
        evaluate(tmp_path, TaskConfig(), examples, single["model"])


def test_a_model_without_labels_is_refused(single: dict[str, Any], tmp_path: Path) -> None:
    shutil.copytree(single["model"], tmp_path / "model")
    (tmp_path / "model/Format-Serving/assets.extra/labels.json").unlink()
    with pytest.raises(ModelError, match=r"labels\.json"):
        evaluate(tmp_path, TaskConfig(), single["examples"], tmp_path / "model")


def test_the_component_fits_between_its_neighbours() -> None:
    examples, model, live = (
        types.Channel(type=kind) for kind in (standard_artifacts.Examples, standard_artifacts.Model, LiveModelArtifact)
    )
    evaluation = EvaluationConfig(thresholds={"accuracy": {"min": 0.8}})
    component = Evaluator(examples, model, live, task=TaskConfig(), evaluation=evaluation)
    assert EvaluationConfig.model_validate_json(component.exec_properties["config"]) == evaluation
    assert set(component.outputs) == {"evaluation", "blessing"}
    assert component.exec_properties["code"] != ""
    assert "live_model" not in Evaluator(examples, model, task=TaskConfig(), evaluation=evaluation).inputs
