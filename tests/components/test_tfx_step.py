from __future__ import annotations

from pathlib import Path

import pytest
from tfx.components import StatisticsGen
from tfx.dsl.components.base import base_beam_executor, executor_spec
from tfx.types import Channel, standard_artifacts
from tiny_artifacts import artifact

from components.fingerprint import fingerprint
from components.tfx_step import Step, StepExecutor, StepRun
from models.config import TaskConfig


class Executor(StepExecutor):
    def run(self, step: StepRun) -> None:
        text = step.config("task", TaskConfig).text
        (step.folder("model_run") / text).write_text(str(step.optional("schema")))


class BeamExecutor(StepExecutor, base_beam_executor.BaseBeamExecutor):
    pass


class Reader(Step, executor=Executor, code=("numpy",)):
    INPUTS = {"examples": standard_artifacts.Examples}
    OPTIONAL_INPUTS = {"schema": standard_artifacts.Schema}
    OUTPUTS = {"model_run": standard_artifacts.ModelRun}
    PARAMETERS = {"task": str, "rows": int}


class Counter(Step, executor=BeamExecutor, extends=StatisticsGen):
    PARAMETERS = {"rows": int}


def test_a_step_makes_its_outputs_and_knows_its_code() -> None:
    step = Reader(examples=Channel(standard_artifacts.Examples), schema=None, task="{}", rows=2)
    assert step.id == "Reader"
    assert set(step.inputs) == {"examples"}
    assert step.outputs["model_run"].type is standard_artifacts.ModelRun
    assert step.exec_properties == {"task": "{}", "rows": 2, "code": fingerprint(__name__, "numpy")}


def test_a_step_may_extend_one_of_tfx() -> None:
    step = Counter(examples=Channel(standard_artifacts.Examples), rows=2)
    assert set(step.outputs) == {"statistics"}
    assert set(step.exec_properties) >= {"rows", "code"}
    assert step.type_annotation is StatisticsGen.SPEC_CLASS.TYPE_ANNOTATION
    assert isinstance(step.executor_spec, executor_spec.BeamExecutorSpec)


def test_an_executor_gets_its_artifacts_and_parameters(tmp_path: Path) -> None:
    outputs = {"model_run": [artifact(standard_artifacts.ModelRun, tmp_path)]}
    Executor().Do({"schema": []}, outputs, {"task": '{"text": "review"}'})
    assert (tmp_path / "review").read_text() == "None"


def test_a_step_checks_what_it_is_given() -> None:
    examples = Channel(standard_artifacts.Examples)
    with pytest.raises(ValueError, match="Missing argument 'rows'"):
        Reader(examples=examples, task="{}")
    with pytest.raises(TypeError, match="rows"):
        Reader(examples=examples, task="{}", rows="2")
    with pytest.raises(TypeError, match="examples"):
        Reader(examples=Channel(standard_artifacts.Model), task="{}", rows=2)
