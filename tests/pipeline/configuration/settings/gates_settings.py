"""`gate`, `evaluation`, `serving`, `push`: findings, blessings, and the versions that are kept."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import tiny_exports
from edge_settings import project
from setting_effects import Setting, setting
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.types import standard_artifacts
from tiny_artifacts import artifact

from components.config import GateConfig
from components.data.gate import rules
from components.data.gate.anomalies import anomaly_findings
from components.data.gate.counts import SplitFacts
from components.data.gate.drift import find_drift
from components.data.gate.drift import summarize as summarize_data
from components.data.gate.findings import Finding
from components.data.row_batches import RowBatch
from components.data.rows import Record
from components.data.text_keys import TextReading
from components.evaluation.measurements import BaselineFacts, Comparison, LiveState, Measurements, Slice
from components.evaluation.summary import summarize
from components.evaluation.tfma_metric import build_eval_config
from components.evaluation.verdict import reach_verdict
from components.model_gates.replay_rows import choose_replay_rows, keras_predictions
from components.model_gates.serving_gate_report import judge_replay
from components.push import push
from components.steps.shipping.serving_gate import Executor
from models.config import TaskConfig
from models.saved.restore import restore
from models.saved.warmup_requests import WARMUP_FILE
from serving.check.replay import Replay
from serving.publish.version_folders import versions
from tflite.host.labels import LabelSpace

GOOD = [("one", "a"), ("two", "b"), *((f"{n}", "ab"[n % 2]) for n in range(40))]
# For each rule the rows of training and of eval in which it finds something.
_TABLES: dict[str, tuple[list[tuple[str, str]], list[tuple[str, str]]]] = {
    "empty_split": (GOOD, []),
    "empty_text": ([*GOOD, (" ", "a")], [("x", "a")]),
    "one_class": ([(str(n), "a") for n in range(40)], [("x", "a")]),
    "unseen_label": (GOOD, [("x", "c")]),
    "small_class": ([*GOOD, ("rare", "c")], [("x", "a")]),
    "label_spelling": ([*GOOD, *((f"new {n}", "A") for n in range(20))], [("x", "a")]),
    "split_overlap": (GOOD, [("one", "a")]),
    "conflicting_labels": ([*GOOD, ("one", "b")], [("x", "a")]),
}


def found(gate: GateConfig, train: list[tuple[str, str]], evaluation: list[tuple[str, str]]) -> list[Finding]:
    task, facts = TaskConfig(), {}
    for split, rows in (("train", train), ("eval", evaluation)):
        facts[split] = SplitFacts(split, task, TextReading())
        facts[split].add(RowBatch([text for text, _ in rows], None, [(label,) for _, label in rows], None, {}))
    return rules.apply(rules.Evidence(task, gate, facts))


for _rule in _TABLES:

    @setting(f"gate.{_rule}", "error" if _rule != "unseen_label" else "warn", "off", steps="DataGate")
    def _(a: Setting, b: Setting, rule: str = _rule) -> None:
        (finding,) = found(a.gate, *_TABLES[rule])
        assert (finding.rule, finding.severity) == (rule, getattr(a.gate, rule))
        assert found(b.gate, *_TABLES[rule]) == []


@setting("gate.small_class_rows", 2, 30, steps="DataGate")
def _(a: Setting, b: Setting) -> None:
    assert found(a.gate, GOOD, [("x", "a")]) == []
    (finding,) = found(b.gate, GOOD, [("x", "a")])
    assert "fewer than 30 training rows" in finding.message


@setting("gate.schema_anomaly", "error", "off", steps="DataGate")
def _(a: Setting, b: Setting) -> None:
    seen = anomalies_pb2.Anomalies()
    info = seen.anomaly_info["text"]
    info.path.step.append("text")
    info.reason.add(short_description="Column dropped", description="gone")
    given = [list(anomaly_findings(seen, "eval", task=TaskConfig(), gate=h.gate, curated=False)) for h in (a, b)]
    assert [finding.severity for finding in given[0]] == ["error"]
    assert given[1] == []


def changed(gate: GateConfig) -> list[Finding]:
    """The drift findings if every label has changed."""
    summaries = []
    for label in "ab":
        facts = SplitFacts("train", TaskConfig())
        rows = [Record("same", None, (label if number % 2 else "a",), None, {}) for number in range(50)]
        facts.add(RowBatch.of_records(rows, facts.task))
        summaries.append(facts)
    return list(find_drift(summarize_data(summaries[0]), summaries[1], gate))


@setting("gate.drift", "error", "warn", steps="DataGate")
def _(a: Setting, b: Setting) -> None:
    assert [[finding.severity for finding in changed(here.gate)] for here in (a, b)] == [["error"], ["warn"]]


@setting("gate.drift_threshold", 0.1, 0.9, steps="DataGate")
def _(a: Setting, b: Setting) -> None:
    assert [len(changed(here.gate)) for here in (a, b)] == [1, 0]


def part(column: str, value: str, rows: int, accuracy: float) -> Slice:
    figures = {"example_count": float(rows), "accuracy": accuracy}
    live = {"example_count": float(rows), "accuracy": 0.9}
    return Slice(column, value, figures, Comparison(figures, live))


MEASURED = Measurements(
    task="single_label",
    split="test",
    labels=("a", "b"),
    whole=part("", "", 200, 0.8),
    slices=(part("label", "a", 30, 0.5), part("place", "home", 90, 0.7)),
    live=LiveState(3),
)


def blessed(here: Setting) -> bool:
    return reach_verdict(MEASURED, here.evaluation).blessed


@setting("evaluation.slices", ["label"], ["place"], steps="Evaluator EdgeGate")
def _(a: Setting, b: Setting) -> None:
    for here, name in ((a, "label"), (b, "place")):
        assert {each["column"] for each in summarize(MEASURED, here.evaluation)["slices"]} == {name}
        specs = build_eval_config(here.models.task, here.evaluation, LabelSpace(("a", "b")), None).slicing_specs
        assert [list(spec.feature_keys) for spec in specs] == [[], [name]]


@setting(
    "evaluation.min_slice_size",
    20,
    50,
    base={"evaluation.thresholds": {"accuracy": {"min": 0.6, "slices": ["label"]}}},
    steps="Evaluator EdgeGate",
)
def _(a: Setting, b: Setting) -> None:
    assert [len(summarize(MEASURED, here.evaluation)["slices"]) for here in (a, b)] == [1, 0]
    assert [blessed(here) for here in (a, b)] == [False, True]


_ACCURACY = "evaluation.thresholds.accuracy"


@setting("evaluation.thresholds.*.min", 0.7, 0.85, at=f"{_ACCURACY}.min", steps="Evaluator")
def _(a: Setting, b: Setting) -> None:
    assert [blessed(here) for here in (a, b)] == [True, False]


@setting("evaluation.thresholds.*.max", 0.9, 0.75, at=f"{_ACCURACY}.max", steps="Evaluator")
def _(a: Setting, b: Setting) -> None:
    assert [blessed(here) for here in (a, b)] == [True, False]


@setting("evaluation.thresholds.*.max_loss_to_live", 0.5, 0.0, at=f"{_ACCURACY}.max_loss_to_live", steps="Evaluator")
def _(a: Setting, b: Setting) -> None:
    assert [blessed(here) for here in (a, b)] == [True, False]


def against_baselines(here: Setting) -> Measurements:
    """0.8, where the most frequent label has 0.85 and the linear model 0.7."""
    figures = {"majority": 0.85, "linear": 0.7}
    severities = here.evaluation.baselines
    measured = [name for name in figures if getattr(severities, name) != "off"]
    baselines = {
        name: Comparison(MEASURED.whole.metrics, {"example_count": 200.0, "accuracy": figures[name]})
        for name in measured
    }
    facts = BaselineFacts(dict.fromkeys(measured, ("accuracy",)), dict.fromkeys(measured, "an answer"))
    return replace(MEASURED, whole=replace(MEASURED.whole, baselines=baselines), baselines=facts)


@setting("evaluation.baselines.majority", "error", "warn", steps="Evaluator")
def _(a: Setting, b: Setting) -> None:
    judged = [reach_verdict(against_baselines(here), here.evaluation) for here in (a, b)]
    assert [verdict.blessed for verdict in judged] == [False, True]
    assert [verdict.baselines[0].warns for verdict in judged] == [False, True]


@setting(
    "evaluation.baselines.linear",
    "warn",
    "off",
    base={"evaluation.baselines.majority": "off"},
    steps="Baselines Evaluator",
)
def _(a: Setting, b: Setting) -> None:
    judged = [reach_verdict(against_baselines(here), here.evaluation) for here in (a, b)]
    assert [[one.name for one in verdict.baselines] for verdict in judged] == [["linear"], []]
    assert ["Baselines" in here.steps for here in (a, b)] == [True, False]


@setting(
    "evaluation.replace_incomparable",
    False,
    True,
    base={f"{_ACCURACY}.max_loss_to_live": 0.5},
    steps="Evaluator",
)
def _(a: Setting, b: Setting) -> None:
    apart = replace(MEASURED, live=LiveState(1, "its task.type is 'regression'"))
    assert [reach_verdict(apart, here.evaluation).blessed for here in (a, b)] == [False, True]


@setting(
    "evaluation.thresholds.*.slices",
    ["place"],
    ["label=a"],
    at=f"{_ACCURACY}.slices",
    base={f"{_ACCURACY}.min": 0.6},
    steps="Evaluator",
)
def _(a: Setting, b: Setting) -> None:
    assert [blessed(here) for here in (a, b)] == [True, False]


@setting("serving.gate", True, False, steps="ServingGate")
def _(a: Setting, b: Setting) -> None:
    exported, rows = project()
    folder = a.folder / "model" / "Format-Serving"
    shutil.copytree(exported, folder)
    (folder / "assets.extra" / WARMUP_FILE).unlink()  # which no server is started for
    given = {"model": [artifact(standard_artifacts.Model, folder.parent)], "examples": [rows]}
    for here, verdict in ((a, 0), (b, 1)):
        blessing = artifact(standard_artifacts.InfraBlessing, a.folder / f"blessing-{verdict}")
        Executor().Do(given, {"blessing": [blessing]}, here.steps["ServingGate"])
        assert blessing.get_int_custom_property("blessed") == verdict


@setting("serving.rows", 2, 5, steps="ServingGate")
def _(a: Setting, b: Setting) -> None:
    _, rows = project()
    task = tiny_exports.KINDS["single"][0]
    assert [len(choose_replay_rows(rows, "eval", task, here.serving.rows)) for here in (a, b)] == [2, 5]


@setting("serving.tolerance", 1e-6, 0.9, steps="ServingGate")
def _(a: Setting, b: Setting) -> None:
    exported, rows = project()
    model = restore(exported)
    chosen = choose_replay_rows(rows, "eval", model.task, 4)
    strict, lax = (keras_predictions(model, chosen, here.serving.tolerance) for here in (a, b))
    assert all(each.sure for each in strict)
    assert not any(each.sure for each in lax)


@setting("serving.latency_ms", None, 1.0, steps="ServingGate")
def _(a: Setting, b: Setting) -> None:
    slow = Replay(requests=4, latencies=[0.002] * 4)
    assert [judge_replay(slow, here.serving, 4)["blessed"] for here in (a, b)] == [True, False]


@setting("push.directory", None, "models", steps="LiveModel Pusher")
def _(a: Setting, b: Setting) -> None:
    assert b.paths.push == b.folder.resolve() / "models" != a.paths.push
    assert Path(b.steps["Pusher"]["directory"]) == Path(b.steps["LiveModel"]["directory"]) == b.paths.push


@setting("push.keep", 1, 3, steps="Pusher")
def _(a: Setting, b: Setting) -> None:
    counts = []
    for here, name in ((a, "few"), (b, "more")):
        for number in range(4):
            source = here.folder / "source"
            shutil.rmtree(source, ignore_errors=True)
            (source / "variables").mkdir(parents=True)
            (source / "saved_model.pb").write_text(f"{name} {number}")
            (source / "variables" / "variables.index").write_text("index")
            about = {
                "assets.extra/data_summary.json": b"{}"
            }  # which marks Transom's pushes: other models are not counted
            push(source, here.folder / name, here.steps["Pusher"]["keep"], about)
        counts.append(len(versions(here.folder / name)))
    assert counts == [1, 3]
