"""The effects of `beam`."""

from __future__ import annotations

from setting_effects import Setting, setting
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec

from components.gathered import Gatherer, use_workers
from pipeline import graph
from pipeline.steps import BEAM_STEPS

FLINK = {"beam.runner": "FlinkRunner"}


def arguments(here: Setting) -> dict[str, list[str]]:
    """The arguments for Beam in the compiled graph, by step."""
    pipeline = graph.build(here.config, here.paths)
    specs = {node.id: node.executor_spec for node in pipeline.components}
    return {
        step: list(spec.encode().beam_pipeline_args)
        for step, spec in specs.items()
        if isinstance(spec, BeamExecutorSpec)
    }


@setting("beam.runner", None, "FlinkRunner", steps=None)
def _(a: Setting, b: Setting) -> None:
    assert arguments(a) == {step: [] for step in BEAM_STEPS}
    assert arguments(b) == {step: ["--runner=FlinkRunner"] for step in BEAM_STEPS}


@setting(
    "beam.options",
    {},
    {"flink_master": "host:8081", "streaming": True, "experiments": ["a", "b"]},
    base=FLINK,
    steps=None,
)
def _(a: Setting, b: Setting) -> None:
    more = ["--flink_master=host:8081", "--streaming", "--experiments=a", "--experiments=b"]
    for step in BEAM_STEPS:
        assert sorted(arguments(b)[step]) == sorted(arguments(a)[step] + more)  # a YAML file is sorted


@setting("beam.workers", "auto", 3, steps=None)
def _(a: Setting, b: Setting) -> None:
    assert (a.config.beam.workers, b.config.beam.workers) == ("auto", 3)
    use_workers(b.config.beam.workers)
    try:
        assert Gatherer(str(b.folder)).process_count(2) == 2
        assert Gatherer(str(b.folder)).process_count(9) == 3
    finally:
        use_workers(None)
    assert arguments(a) == arguments(b)


@setting(
    "beam.steps.*.runner",
    {"Transform": {"options": {"region": "x"}}},
    {"Transform": {"runner": "SparkRunner", "options": {"region": "x"}}},
    at="beam.steps",
    base=FLINK,
    steps=None,
)
def _(a: Setting, b: Setting) -> None:
    assert arguments(a)["Transform"] == ["--runner=FlinkRunner", "--region=x"]
    assert arguments(b)["Transform"] == ["--runner=SparkRunner", "--region=x"]
    assert arguments(b)["DataGate"] == ["--runner=FlinkRunner"]


@setting(
    "beam.steps.*.options",
    {"Transform": {}},
    {"Transform": {"options": {"region": "x"}}},
    at="beam.steps",
    base={**FLINK, "beam.options": {"region": "y"}},
    steps=None,
)
def _(a: Setting, b: Setting) -> None:
    assert arguments(a)["Transform"][-1] == "--region=y"
    assert arguments(b)["Transform"][-1] == "--region=x"
