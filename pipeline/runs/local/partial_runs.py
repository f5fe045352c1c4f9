"""Runs of some of the steps: --from and --to."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import constants
from tfx.orchestration import metadata
from tfx.orchestration.portable import partial_run_utils
from tfx.proto.orchestration import pipeline_pb2

from models.errors import ConfigError


def skip_steps(spec: pipeline_pb2.Pipeline, from_steps: Collection[str], to_steps: Collection[str]) -> None:
    """Marks the steps that are not to run.

    Raises:
        ConfigError: all of them are.
    """
    partial_run_utils.mark_pipeline(spec, from_nodes=from_steps or None, to_nodes=to_steps or None)
    if all(entry.pipeline_node.execution_options.HasField("skip") for entry in spec.nodes):
        raise ConfigError(
            "--from and --to",
            got=f"no step between {', '.join(from_steps)} and {', '.join(to_steps)}",
            expected="a step and one that depends on it",
            fix="leave one of them out",
        )


def use_newest_results(store: metadata.Metadata, spec: pipeline_pb2.Pipeline, from_steps: Collection[str]) -> None:
    """Adopts the newest results of the skipped steps for this run."""
    try:
        partial_run_utils.snapshot(store, spec)
    except LookupError as error:  # "node context NAME.STEP not found …", "No … found for node_id STEP in …"
        missing = re.search(r"(?:\.|node_id )([A-Z]\w+)", str(error))
        raise ConfigError(
            f"--from {', '.join(from_steps)}",
            got=f"{missing.group(1) if missing else 'an earlier step'} did not finish in the last run",
            expected="a last run in which all earlier steps finished: their results are used",
            fix="run without --from first",
        ) from error


def check_reused(store: metadata.Metadata, run_id: str, from_steps: Collection[str]) -> None:
    """Refuses results of earlier steps whose files are gone; see `pipeline.runs.store.metadata_check`."""
    context = store.store.get_context_by_type_and_name(constants.PIPELINE_RUN_CONTEXT_TYPE_NAME, run_id)
    artifacts = store.store.get_artifacts_by_context(context.id)
    gone = sorted({Path(one.uri).parts[-3] for one in artifacts if one.state != metadata_store_pb2.Artifact.LIVE})
    if gone:
        raise ConfigError(
            f"--from {', '.join(from_steps)}",
            got=f"the results of {', '.join(gone)} are gone, or were a temporary refusal",
            expected="the results of all earlier steps",
            fix="run without --from: these steps then run again",
        )
