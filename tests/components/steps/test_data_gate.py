"""Ingestion, statistics, schema, validation and gate together, as TFX runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components import ExampleValidator, StatisticsGen
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.types import Channel, component_spec

from components.artifacts import LiveModelArtifact
from components.config import DataConfig, GateConfig
from components.data.gate import findings
from components.data.gate.drift import SUMMARY_FILE, save_summary
from components.data.gate.findings import Finding
from components.steps.data_gate import DataGate
from components.steps.example_gen import example_gen
from components.steps.schema_gen import SchemaGen
from models.config import TaskConfig
from models.errors import ConfigError, GateError


class _LiveSpec(component_spec.ComponentSpec):
    PARAMETERS = {"model": component_spec.ExecutionParameter(type=str)}
    INPUTS = {}
    OUTPUTS = {"model_out": component_spec.ChannelParameter(type=LiveModelArtifact)}


class _LiveExecutor(base_executor.BaseExecutor):
    def Do(self, input_dict: dict, output_dict: dict, exec_properties: dict) -> None:
        folder = Path(output_dict["model_out"][0].uri, "assets.extra")
        folder.mkdir(parents=True)
        save_summary(json.loads(exec_properties["model"]), folder)


class _Live(base_component.BaseComponent):
    """Replaces the LiveModel step: a folder with a summary of the live model's training data."""

    SPEC_CLASS = _LiveSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(_LiveExecutor)


class Project:
    """A folder with tables and the steps up to the gate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(
        self,
        data: DataConfig,
        task: TaskConfig | None = None,
        gate: GateConfig | None = None,
        schema: str = "",
        live: dict | None = None,
    ) -> list[Finding]:
        """Runs the steps and reads the findings."""
        task = task or TaskConfig()
        curated = self.folder / "curated.pbtxt" if schema else None
        if curated is not None:
            curated.write_text(schema, encoding="utf-8")
        examples = example_gen(data, task, self.folder)
        statistics = StatisticsGen(examples=examples.outputs["examples"])
        schemas = SchemaGen(statistics.outputs["statistics"], task, curated)
        validator = ExampleValidator(statistics=statistics.outputs["statistics"], schema=schemas.outputs["schema"])
        models = (
            []
            if live is None
            else [_Live(_LiveSpec(model=json.dumps(live), model_out=Channel(type=LiveModelArtifact)))]
        )
        blessing = DataGate(
            examples=examples.outputs["examples"],
            anomalies=validator.outputs["anomalies"],
            gate=gate or GateConfig(small_class_rows=1),
            task=task,
            live_model=models[0].outputs["model_out"] if models else None,
            curated=curated is not None,
        )
        LocalDagRunner().run(
            pipeline.Pipeline(
                "test",
                str(self.folder / "root"),
                components=[examples, statistics, schemas, validator, *models, blessing],
                enable_cache=True,
                metadata_connection_config=metadata.sqlite_metadata_connection_config(str(self.folder / "m.sqlite")),
            )
        )
        return findings.load(self.outputs("DataGate", "blessing")[-1])

    def outputs(self, component: str, name: str) -> list[Path]:
        """The folders that a component wrote, in order."""
        folder = self.folder / "root" / component / name
        return sorted(folder.iterdir(), key=lambda path: int(path.name)) if folder.is_dir() else []

    def schema(self) -> schema_pb2.Schema:
        """The newest schema."""
        text = (self.outputs("SchemaGen", "schema")[-1] / "schema.pbtxt").read_text(encoding="utf-8")
        return text_format.Parse(text, schema_pb2.Schema())


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def write(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def clean(name: str, count: int) -> list[dict]:
    return [
        {"text": f"{name} number {n}", "label": "ab"[n % 2], "source": "xyz"[n % 3], "id": f"{name}-{n}"}
        for n in range(count)
    ]


CURATED = """
feature { name: "text" type: BYTES }
feature { name: "label" type: BYTES domain: "answers" }
feature { name: "source" type: BYTES presence { min_fraction: 1.0 } }
string_domain { name: "answers" value: "a" value: "b" }
"""


def test_small_clean_data_pass(project: Project) -> None:
    """TFDV itself takes thirty texts for an enumeration, and every new text for an anomaly."""
    write(project.folder / "train.jsonl", clean("train", 30))
    write(project.folder / "dev.jsonl", clean("dev", 9))
    data = DataConfig(train="train.jsonl", eval="dev.jsonl")
    assert project.run(data) == []
    summary = json.loads((project.outputs("DataGate", "blessing")[-1] / SUMMARY_FILE).read_text(encoding="utf-8"))
    assert summary["rows"] == 30
    assert summary["columns"]["label"]["counts"] == {"a": 15, "b": 15}
    assert set(summary["columns"]) == {"text", "label", "source"}
    schema = project.schema()
    assert [feature.name for feature in schema.feature] == ["text", "label", "id", "source"]
    assert [domain.name for domain in schema.string_domain] == ["source"]
    assert [feature.shape.dim[0].size for feature in schema.feature if feature.HasField("shape")] == [1, 1]

    # differences in other columns are reported, and do not stop the run
    dev = clean("dev", 9)
    dev[0]["source"], dev[1]["more"] = "new", "m"
    write(project.folder / "dev.jsonl", [{k: v for k, v in row.items() if k != "id"} for row in dev])
    found = project.run(data)
    assert {(finding.rule, finding.severity, finding.split) for finding in found} == {
        ("schema_anomaly", "warn", "eval")
    }
    assert [finding.column for finding in found] == ["id", "more", "source"]
    assert "new (~11%)" in found[2].message


def test_a_stopped_run_names_all_errors_and_leaves_no_blessing(project: Project) -> None:
    train = [{"text": f"text {n}", "label": "a"} for n in range(12)]
    write(project.folder / "train.jsonl", [*train, {"text": " ", "label": "a"}])
    write(project.folder / "dev.jsonl", [{"text": "text 3", "label": "never"}])
    (project.folder / "test.jsonl").write_text("\n")
    data = DataConfig(train="train.jsonl", eval="dev.jsonl", test="test.jsonl")
    with pytest.raises(GateError) as caught:
        project.run(data, gate=GateConfig(split_overlap="error"))
    text = caught.value.render()
    for expected in (
        "error empty_split in test",
        "error one_class in train, column 'label': all 13 rows have the same label: 'a'",
        "error unseen_label in eval, column 'label': 1 label not found in training: never (1)",
        "error split_overlap in eval, column 'text': 1 of 1 rows",
        '"text 3" -> never',
    ):
        assert expected in text
    assert "empty_text" not in text
    assert not any(folder.is_dir() for folder in project.outputs("DataGate", "blessing"))


def test_curated_schema(project: Project) -> None:
    write(project.folder / "train.jsonl", [{k: v for k, v in row.items() if k != "id"} for row in clean("train", 12)])
    write(project.folder / "dev.jsonl", [{"text": "x", "label": "b", "source": "x"}, {"text": "y", "label": "a"}])
    data = DataConfig(train="train.jsonl", eval="dev.jsonl")
    with pytest.raises(GateError) as caught:
        project.run(data, schema=CURATED)
    assert "error schema_anomaly in eval, column 'source'" in caught.value.got
    found = project.run(data, gate=GateConfig(schema_anomaly="warn", small_class_rows=1), schema=CURATED)
    assert [(finding.severity, finding.column) for finding in found] == [("warn", "source")]
    assert project.run(data, schema=CURATED.replace("presence { min_fraction: 1.0 }", "")) == []


@pytest.mark.parametrize(
    ("schema", "got"),
    [
        ('feature { name: "text" type: BYTES }', "no feature 'label'"),
        (CURATED.replace('"label" type: BYTES', '"label" type: FLOAT'), "'label' of type FLOAT"),
        ("feature { nome: 1 }", "nome"),
    ],
)
def test_curated_schemas_that_do_not_fit(project: Project, schema: str, got: str) -> None:
    with pytest.raises(ConfigError) as caught:
        project.run(DataConfig(train="train.jsonl"), schema=schema)
    assert got in caught.value.got


def test_drift_from_the_live_model(project: Project) -> None:
    write(project.folder / "train.jsonl", clean("train", 30))
    write(project.folder / "dev.jsonl", clean("dev", 9))
    live = {"rows": 100, "columns": {"label": {"kind": "value", "counts": {"a": 100}}}}
    data = DataConfig(train="train.jsonl", eval="dev.jsonl")
    (finding,) = project.run(data, live=live)
    assert (finding.rule, finding.severity, finding.column) == ("drift", "warn", "label")
    assert "divergence 0.311, threshold 0.2" in finding.message
    assert project.run(data, gate=GateConfig(drift="off", small_class_rows=1), live=live) == []
    with pytest.raises(GateError, match="error drift"):
        project.run(data, gate=GateConfig(drift="error"), live=live)


@pytest.mark.slow_variants
@pytest.mark.parametrize("kind", ["multi_label", "regression"])
def test_other_tasks(project: Project, kind: str) -> None:
    labels = [[], ["a"], ["b", "a"]] if kind == "multi_label" else [0.5, 1, -2]
    rows = [{"text": f"text {n}", "second": f"second {n % 4}", "label": labels[n % 3]} for n in range(60)]
    write(project.folder / "t.jsonl", rows)
    task = TaskConfig(type=kind, text_pair="second")
    assert project.run(DataConfig(path="t.jsonl"), task) == []
    features = {feature.name: feature for feature in project.schema().feature}
    assert list(features) == ["text", "second", "label"]
    assert features["label"].type == (schema_pb2.BYTES if kind == "multi_label" else schema_pb2.FLOAT)
    assert features["label"].HasField("shape") == (kind == "regression")
