"""The container's entrypoint: URIs, types, spans, and the last line of a failure."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tfx.types.artifact import CUSTOM_PROPERTIES_PREFIX

from components.config import DataConfig
from components.steps.example_gen import Executor, example_gen
from models.config import TaskConfig
from models.errors import (
    BusyError,
    ConfigError,
    DataError,
    GateError,
    ModelError,
    NotBlessedError,
    PresetError,
    PushError,
    TrainingError,
    TransomError,
)
from pipeline.kubeflow.attempts import FailureNote, is_final
from pipeline.kubeflow.entrypoint import last_line, local_path, main

ROWS = "text,label\n" + "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(40))


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("gs://bucket/a/b", "/x/gcs/bucket/a/b"),
        ("s3://bucket/a", "/x/s3/bucket/a"),
        ("minio://mlpipeline/v2", "/x/minio/mlpipeline/v2"),
        ("/mnt/data/a", "/mnt/data/a"),
    ],
)
def test_uris_become_the_launchers_folders(uri: str, path: str) -> None:
    assert local_path(uri, Path("/x")) == Path(path)


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(TransomError, match="oci://a/b"):
        local_path("oci://a/b", Path("/"))


def test_an_error_is_one_line_with_its_four_parts() -> None:
    error = DataError("data.path", got="nothing\nat all", expected="a file", fix="put it there")
    line = last_line("ExampleGen", error)
    assert line == "transom: ExampleGen: data.path; got: nothing at all; expected: a file; to fix: put it there"
    assert last_line("Trainer", ValueError("a\nb")) == "transom: Trainer: ValueError: a b"


def arguments(base: Path, work: Path) -> list[str]:
    """The launcher's arguments for ExampleGen, including the backend's own log artifact."""
    node = example_gen(DataConfig(path="{SPAN}/t.csv"), TaskConfig(), base)
    parameters = {name: value for name, value in node.exec_properties.items() if value is not None}
    executor_input = {
        "inputs": {"parameterValues": parameters},
        "outputs": {
            "artifacts": {
                "examples": {
                    "artifacts": [{"uri": "s3://bucket/examples", "type": {"schemaTitle": "system.Artifact"}}]
                },
                "executor-logs": {"artifacts": [{"uri": "s3://bucket/executor-logs"}]},
            },
            "outputFile": str(work / "out.json"),
        },
    }
    kinds = {name: "NUMBER_INTEGER" if isinstance(value, int) else "STRING" for name, value in parameters.items()}
    spec = {"parameters": {name: {"parameterType": kind} for name, kind in kinds.items()}}
    return [
        *("--executor_class_path", f"{Executor.__module__}.Executor"),
        *("--json_serialized_invocation_args", json.dumps(executor_input)),
        *("--json_serialized_inputs_spec_args", json.dumps(spec)),
        *("--artifact_types", json.dumps({"examples": "tfx.types.standard_artifacts.Examples"})),
        *("--driver_class_path", "components.steps.example_gen.Driver"),
        *("--step", "ExampleGen", "--storage", str(work)),
    ]


def test_example_gen_takes_the_newest_span_and_reports_the_buckets_uri(tmp_path: Path) -> None:
    for span in ("1", "3"):
        (tmp_path / "data" / span).mkdir(parents=True)
        (tmp_path / "data" / span / "t.csv").write_text(ROWS)
    assert main(arguments(tmp_path / "data", tmp_path)) == 0
    outputs: dict[str, Any] = json.loads((tmp_path / "out.json").read_text())["artifacts"]
    assert set(outputs) == {"examples"}
    made = outputs["examples"]["artifacts"][0]
    assert made["uri"] == "s3://bucket/examples"
    # TFX marks a custom property that has the name of a declared one.
    assert made["metadata"][f"{CUSTOM_PROPERTIES_PREFIX}span"] == 3
    assert json.loads(made["metadata"]["split_names"]) == ["train", "eval", "test"]
    assert (tmp_path / "s3" / "bucket" / "examples" / "Split-train").is_dir()


def test_an_error_of_ours_ends_the_log_with_its_code(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(tmp_path, tmp_path)) == DataError.exit_code
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("transom: ExampleGen: data: no span matches {SPAN}/t.csv; got: ")


@pytest.fixture
def tried(tmp_path: Path) -> list[str]:
    """The arguments of a step with two retries, on a table without a span."""
    return [*arguments(tmp_path / "data", tmp_path), "--attempts", str(tmp_path / "attempts"), "--retries", "2"]


def last_error_line(capfd: pytest.CaptureFixture[str]) -> str:
    return capfd.readouterr().err.strip().splitlines()[-1]


def test_a_failure_that_would_fail_again_is_not_tried_again(
    tried: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    assert main(tried) == DataError.exit_code
    first = last_error_line(capfd)
    (tmp_path / "data" / "1").mkdir()  # the data are there now, but the later attempts still do not run
    (tmp_path / "data" / "1" / "t.csv").write_text(ROWS)
    for _ in range(2):
        assert main(tried) == DataError.exit_code
        assert last_error_line(capfd).startswith(f"{first} (an earlier attempt failed like this")
    assert list((tmp_path / "attempts").iterdir()) == []
    assert main(tried) == 0  # a person has restarted the run


def test_another_run_is_not_stopped_by_the_note_of_an_earlier_one(tried: list[str], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert main(tried) == DataError.exit_code
    (tmp_path / "data" / "1").mkdir()
    (tmp_path / "data" / "1" / "t.csv").write_text(ROWS)
    assert main([part.replace("s3://bucket/examples", "s3://bucket/run-2/examples") for part in tried]) == 0


def test_old_and_broken_notes_stop_nothing(tmp_path: Path) -> None:
    note = FailureNote.for_task(tmp_path, 3, "Trainer", "{}")
    assert note.path is not None
    for content in ("", "[]", "{", '{"line": "x"}', '{"line": "x", "code": 3, "left": 2, "time": 0}'):
        note.path.write_text(content)
        assert note.read() is None
    note.write(ConfigError("data.path"), "line")
    os.utime(note.path, (0, 0))
    (tmp_path / "mine.json").touch()
    os.utime(tmp_path / "mine.json", (0, 0))
    other = FailureNote.for_task(tmp_path, 1, "Trainer", "other")
    other.write(ConfigError("data.path"), "line")
    assert {path.name for path in tmp_path.iterdir()} == {"mine.json", other.path.name if other.path else ""}
    FailureNote.for_task(tmp_path / "mine.json", 1, "Trainer", "").write(ConfigError("x"), "line")  # no folder: no note


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (ConfigError("x"), True),
        (DataError("x"), True),
        (GateError("x"), True),
        (ModelError("x"), True),
        (NotBlessedError("x"), True),
        (PresetError("x"), False),  # a download
        (TrainingError("x"), False),  # it resumes from its checkpoint
        (PushError("x"), False),
        (BusyError("x"), False),
        (TransomError("x"), False),
        (MemoryError(), False),
        (OSError(errno.EIO, "x"), False),
    ],
)
def test_which_failures_are_worth_another_attempt(error: Exception, final: bool) -> None:
    assert is_final(error) is final


@pytest.mark.parametrize(
    ("number", "final"),
    [(errno.ENOENT, True), (errno.EACCES, True), (errno.EIO, False), (errno.ESTALE, False), (errno.ENOSPC, False)],
)
def test_a_volume_that_fails_for_a_moment_is_worth_one(number: int, final: bool) -> None:
    def read() -> None:
        try:
            raise OSError(number, "x")
        except OSError:
            raise DataError("t.csv cannot be read") from None

    with pytest.raises(DataError) as caught:
        read()
    assert is_final(caught.value) is final
