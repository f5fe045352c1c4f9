"""Which steps run side by side, which error counts, and that nothing runs on after an interruption."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from recording_listener import RecordingListener
from tfx import types
from tfx.orchestration import metadata
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

from components.tfx_step import Step, StepExecutor, StepRun
from models.errors import DataError, Interrupted
from pipeline.runs.local import local_runner
from pipeline.steps import BEGINS_EARLY, MEASURES_TIME

pytestmark = [
    pytest.mark.filterwarnings("ignore:label:DeprecationWarning"),
    pytest.mark.skipif(sys.platform != "linux", reason="steps run side by side on Linux only"),
]


class Executor(StepExecutor):
    """Sleeps, and then fails if its settings say so."""

    def run(self, step: StepRun) -> None:
        settings = json.loads(step.parameters["settings"])
        begin = time.time()
        try:
            time.sleep(settings["seconds"])
        except KeyboardInterrupt:
            raise Interrupted("asleep", kept=settings["name"]) from None
        if settings["fails"]:
            raise DataError(f"{settings['name']} failed")
        (step.folder("model") / "times.json").write_text(json.dumps([begin, time.time()]))


class Sleeper(Step, executor=Executor):
    OPTIONAL_INPUTS = {"before": standard_artifacts.Model}
    OUTPUTS = {"model": standard_artifacts.Model}
    PARAMETERS = {"settings": str}


class Graph:
    """Steps that sleep."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._steps, self.listener = folder, [], RecordingListener()
        self.outputs: local_runner.Outputs = {}
        monkeypatch.setattr(local_runner, "can_fork", lambda: True)  # these steps do not use TensorFlow
        monkeypatch.setattr(local_runner, "usable_cores", lambda: 3)

    def add(
        self,
        name: str,
        seconds: float = 0.0,
        *,
        fails: bool = False,
        data: Step | None = None,
        after: Step | None = None,
    ) -> Step:
        settings = json.dumps({"name": name, "seconds": seconds, "fails": fails})
        before: types.BaseChannel | None = None if data is None else data.outputs["model"]
        step = Sleeper(before=before, settings=settings).with_id(name)
        if after is not None:
            step.add_upstream_node(after)
        self._steps.append(step)
        return step

    def run(self) -> None:
        connection = metadata.sqlite_metadata_connection_config(str(self._folder / "metadata.sqlite"))
        pipeline = Pipeline(
            pipeline_name="p",
            pipeline_root=str(self._folder / "artifacts"),
            components=self._steps,
            enable_cache=True,
            metadata_connection_config=connection,
        )
        local_runner.run(pipeline, self.listener, self.outputs, logs=self._folder / "logs")

    def times(self, name: str) -> tuple[float, float]:
        begin, end = json.loads(Path(self.outputs[name]["model"].uri, "times.json").read_text())
        return begin, end

    def overlap(self, one: str, other: str) -> bool:
        (first, end), (second, other_end) = self.times(one), self.times(other)
        return first < other_end and second < end


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    return Graph(tmp_path, monkeypatch)


def test_steps_that_do_not_need_each_other_run_side_by_side(graph: Graph, tmp_path: Path) -> None:
    first = graph.add("First", 0.5)
    graph.add("Second", 0.5)
    graph.add("Third", 0.1, data=first)
    graph.run()
    assert graph.overlap("First", "Second")
    assert not graph.overlap("First", "Third")
    assert sorted(graph.listener.lines)[::2] == ["First done", "Second done", "Third done"]
    assert graph.listener.plan == ["First", "Second", "Third"]
    assert all(used["peak_memory_bytes"] > 2**20 for used in graph.listener.used.values())
    assert {file.name for file in tmp_path.glob("logs/*")} == {"First.txt", "Second.txt", "Third.txt"}
    graph.listener.lines.clear()
    graph.run()
    assert {line for line in graph.listener.lines if "started" not in line} == {
        "First cached",
        "Second cached",
        "Third cached",
    }


def test_a_step_that_may_begin_early_does_and_a_measurement_is_alone(graph: Graph) -> None:
    early, alone = min(BEGINS_EARLY - MEASURES_TIME), min(MEASURES_TIME)
    gate = graph.add("Gate", 0.6)
    graph.add(early, 0.6, after=gate)
    graph.add(alone, 0.3)
    graph.add("Late", 0.3)
    graph.run()
    assert graph.overlap("Gate", early)
    assert not any(graph.overlap(alone, other) for other in ("Gate", early, "Late"))


def test_the_error_is_that_of_the_first_step_whichever_fails_first(graph: Graph) -> None:
    gate = graph.add("Gate", 0.5, fails=True)
    graph.add(min(BEGINS_EARLY - MEASURES_TIME), 0.0, fails=True, after=gate)
    graph.add("Never", data=gate)
    with pytest.raises(DataError, match="Gate failed"):
        graph.run()
    assert not any("Never" in line for line in graph.listener.lines)


def test_what_comes_after_a_failed_step_is_stopped(graph: Graph) -> None:
    graph.add("First", 0.2, fails=True)
    graph.add("Second", 60)
    begin = time.monotonic()
    with pytest.raises(DataError, match="First failed"):
        graph.run()
    assert time.monotonic() - begin < 20
    assert graph.listener.lines[-1] == "Second interrupted"


def test_an_interruption_stops_every_step_and_names_the_one_that_tells(graph: Graph) -> None:
    graph.add("First", 60)
    graph.add("Second", 60)

    await_, raised = local_runner._Schedule._await, []

    def interrupted(self: local_runner._Schedule) -> None:
        if len(self._running) == 2 and not raised:
            raised.append(True)
            time.sleep(0.3)
            raise KeyboardInterrupt
        await_(self)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(local_runner._Schedule, "_await", interrupted)
        with pytest.raises(Interrupted) as caught:
            graph.run()
    assert caught.value.step == caught.value.kept
    assert sorted(line for line in graph.listener.lines if "started" not in line) == [
        "First interrupted",
        "Second interrupted",
    ]
