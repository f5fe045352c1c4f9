"""Runs one step in a container of the compiled pipeline: `python -m pipeline.kubeflow.entrypoint`.

The launcher calls it with the step's ExecutorInput, after it has copied input artifacts from their bucket into local
folders; it copies output folders back. This module restores the artifact types, which the backend drops, replaces URIs
by those folders, resolves an ExampleGen's span, and runs the executor. An error is one last line and an exit code.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import Interrupted, TransomError
from models.runtime import prepare
from pipeline.kubeflow.attempts import FailureNote
from pipeline.runs.error_causes import known_error
from pipeline.runs.interruption import INTERRUPTED
from pipeline.terminal.console import View
from pipeline.terminal.user_messages import shown_messages

if TYPE_CHECKING:
    from kfp.pipeline_spec import pipeline_spec_pb2

# As the launcher maps them (`LocalPathForURI`); Vertex AI mounts buckets at /gcs.
FOLDERS = {"gs://": "gcs", "minio://": "minio", "s3://": "s3"}


def local_path(uri: str, storage: Path) -> Path:
    """The local folder of an artifact in a bucket, or its mounted path.

    Raises:
        TransomError: the launcher does not support the scheme.
    """
    for scheme, folder in FOLDERS.items():
        if uri.startswith(scheme):
            return storage / folder / uri.removeprefix(scheme)
    if "://" in uri:
        raise TransomError(f"the artifact {uri}", expected=f"one of {', '.join(FOLDERS)}, or a mounted path")
    return Path(uri)


def main(arguments: Sequence[str] | None = None) -> int:
    options, beam_arguments = _parser().parse_known_args(arguments)
    # TFX passes sys.argv to absl's flags, which do not know Transom's arguments.
    sys.argv = sys.argv[:1]
    note = FailureNote.for_task(
        options.attempts, options.retries, options.step, options.json_serialized_invocation_args
    )
    earlier = note.read()
    if earlier is not None:
        print(f"{earlier[0]} (an earlier attempt failed like this; not tried again)", file=sys.stderr, flush=True)
        return earlier[1]
    try:
        prepare(options.onednn)
        lineage = json.loads(options.lineage) if options.lineage else None
        # A progress line a minute, because a container with a silent log seems to hang.
        with shown_messages(View(sys.stdout)) as view, view.step(options.step):
            _run(options, beam_arguments, lineage)
        return 0
    except Interrupted as stopped:  # the node is being removed: a retry continues from what is kept
        print(f"transom: {options.step}: {'; '.join(stopped.render().splitlines())}", file=sys.stderr, flush=True)
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 (the last resort: any error becomes the last line of the log)
        transom_error = known_error(error)
        if transom_error is None:
            traceback.print_exc()
        line = last_line(options.step, error if transom_error is None else transom_error)
        if transom_error is not None:
            note.write(transom_error, line)
        print(line, file=sys.stderr, flush=True)
        return 1 if transom_error is None else transom_error.exit_code


def last_line(step: str, error: Exception) -> str:
    """An error on one line, with its four parts."""
    if not isinstance(error, TransomError):
        message = " ".join(str(error).split())[:1000]
        return f"transom: {step}: {type(error).__name__}: {message}"
    parts = (("got", error.got), ("expected", error.expected), ("to fix", error.fix))
    texts = [error.what, *(f"{name}: {value}" for name, value in parts if value)]
    return f"transom: {step}: " + "; ".join(" ".join(part.split()) for part in texts)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pipeline.kubeflow.entrypoint", allow_abbrev=False)
    parser.add_argument("--executor_class_path", required=True)
    parser.add_argument("--json_serialized_invocation_args", required=True, help="the ExecutorInput")
    parser.add_argument("--json_serialized_inputs_spec_args", help="the component's inputs, for parameter types")
    parser.add_argument("--step", required=True, help="for messages")
    parser.add_argument("--artifact_types", required=True, help="JSON: artifact names to class names")
    parser.add_argument("--driver_class_path", help="an ExampleGen's driver")
    parser.add_argument("--onednn", default="auto")
    parser.add_argument("--lineage", help="JSON: what the Pusher stores about the run")
    parser.add_argument("--attempts", type=Path, help="a mounted folder for notes between attempts")
    parser.add_argument("--retries", type=int, default=0, help="number of retries of the step")
    parser.add_argument("--storage", type=Path, default=Path("/"), help="parent of the buckets' folders")
    return parser


def run_name(uri: str, step: str) -> str | None:
    """The backend's name for the run: the folder above the step's in the URI of an artifact; None if it has none."""
    above, found, _ = uri.partition(f"/{step}/")
    return above.rpartition("/")[2] or None if found else None


def _run(options: argparse.Namespace, beam_arguments: list[str], lineage: dict[str, Any] | None) -> None:
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2
    from tfx.dsl.components.base import base_beam_executor, base_executor
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils as utils
    from tfx.orchestration.portable import outputs_utils
    from tfx.utils import import_utils

    executor_input = json_format.Parse(
        options.json_serialized_invocation_args, pipeline_spec_pb2.ExecutorInput(), ignore_unknown_fields=True
    )
    spec = json_format.Parse(
        options.json_serialized_inputs_spec_args or "{}",
        pipeline_spec_pb2.ComponentInputsSpec(),
        ignore_unknown_fields=True,
    )
    types = json.loads(options.artifact_types)
    uris = _localize(executor_input, types, options.storage)
    names: dict[int, str] = {}
    inputs = utils.parse_raw_artifact_dict(executor_input.inputs.artifacts, names)
    outputs = utils.parse_raw_artifact_dict(executor_input.outputs.artifacts, names)
    properties = utils.parse_execution_properties(
        executor_input.inputs.parameter_values, executor_input.inputs.parameters, spec
    )
    if options.driver_class_path:
        _resolve_span(options.driver_class_path, properties, outputs)
    executor = import_utils.import_class_by_path(options.executor_class_path)
    if lineage is not None:
        from pipeline.lineage.run_facts import tell_told

        tell_told(lineage, next((name for uri in uris.values() if (name := run_name(uri, options.step))), None))
    output_file = local_path(executor_input.outputs.output_file, options.storage)
    about = {"unique_id": options.step, "tmp_dir": str(output_file.parent / ".temp")}
    if issubclass(executor, base_beam_executor.BaseBeamExecutor):
        context = base_beam_executor.BaseBeamExecutor.Context(beam_pipeline_args=beam_arguments, **about)
    else:
        context = base_executor.BaseExecutor.Context(extra_flags=beam_arguments, **about)
    executor(context).Do(inputs, outputs, properties)
    outputs_utils.tag_output_artifacts_with_version(outputs)
    _publish_files(outputs)

    result = pipeline_spec_pb2.ExecutorOutput()
    for name, artifacts in utils.translate_executor_output(outputs, names).items():
        artifacts.artifacts[0].uri = uris[name]  # the launcher uploads this URI's folder and records the URI
        result.artifacts[name].CopyFrom(artifacts)
    output_file.parent.mkdir(parents=True, exist_ok=True)
    output_file.write_text(json_format.MessageToJson(result), encoding="utf-8")


def _localize(executor_input: pipeline_spec_pb2.ExecutorInput, types: dict[str, str], storage: Path) -> dict[str, str]:
    """Sets the artifacts' types and local folders; returns the outputs' URIs.

    Creates the folders of artifacts without files, because buckets have no folders.
    """
    for unknown in [name for name in executor_input.outputs.artifacts if name not in types]:
        del executor_input.outputs.artifacts[unknown]  # the backend's own, such as executor-logs
    uris = {name: listed.artifacts[0].uri for name, listed in executor_input.outputs.artifacts.items()}
    for artifacts in (executor_input.inputs.artifacts, executor_input.outputs.artifacts):
        for name, listed in artifacts.items():
            for artifact in listed.artifacts:
                artifact.type.schema_title = types[name]
                artifact.uri = str(local_path(artifact.uri, storage))
                os.makedirs(artifact.uri, exist_ok=True)
    return uris


def _publish_files(outputs: dict[str, list[Any]]) -> None:
    """Puts the one file of an artifact that a viewer shows in the place of its folder: the viewer reads a file."""
    for artifacts in outputs.values():
        for artifact in artifacts:
            name, folder = getattr(artifact, "FILE", ""), Path(artifact.uri)
            if name and (folder / name).is_file():
                beside = folder.with_name(f".{folder.name}.{name}")
                (folder / name).rename(beside)
                shutil.rmtree(folder)
                beside.rename(folder)


def _resolve_span(driver_class: str, properties: dict[str, Any], outputs: dict[str, list[Any]]) -> None:
    """Resolves the newest span and its files, as TFX's driver does in a local run."""
    from tfx.components.example_gen import driver
    from tfx.orchestration import data_types
    from tfx.types import standard_component_specs as specs
    from tfx.utils import import_utils

    info = data_types.PipelineInfo("", "")
    driver_instance = import_utils.import_class_by_path(driver_class)(None)
    driver_instance.resolve_exec_properties(properties, info, data_types.ComponentInfo("", "", info))
    driver.update_output_artifact(properties, outputs[specs.EXAMPLES_KEY][0].mlmd_artifact)


if __name__ == "__main__":
    sys.exit(main())
