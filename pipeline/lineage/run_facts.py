"""What only the program that starts a run knows of it. No TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.lineage.left_out import LEFT_OUT, without_credentials
from components.lineage.lineage_facts import FileFacts, RunFacts
from components.lineage.lineage_record import tell
from components.lineage.origin import checkout_facts, program_facts
from components.lineage.table_facts import file_facts
from pipeline.config import ProjectConfig


def tell_lineage(config: ProjectConfig, config_file: Path, name: str) -> None:
    """Tells this process, and the steps that are forked from it, about the run of this name.

    Raises:
        DataError: the curated schema cannot be read.
    """
    run, schema = describe_run(config, config_file, "local")
    tell(run.model_copy(update={"name": name}), config.model_dump(mode="json"), schema)


def tell_told(told: dict[str, Any], name: str | None) -> None:
    """The same in a container, with what `to_tell` gave where the pipeline was compiled."""
    schema = told["schema_file"]
    run = RunFacts.model_validate({**told["run"], "name": name})
    tell(run, told["config"], None if schema is None else FileFacts.model_validate(schema))


def to_tell(config: ProjectConfig, config_file: Path, folder: Path) -> dict[str, Any]:
    """What the container of the Pusher is to be told, as JSON values; `folder`: of the configuration there."""
    run, schema = describe_run(config, config_file, "kubeflow")
    return {
        "run": run.model_copy(update={"folder": str(folder)}).model_dump(mode="json"),
        "config": without_credentials(config.model_dump(mode="json", exclude=set(LEFT_OUT))),
        "schema_file": None if schema is None else schema.model_dump(mode="json"),
    }


def describe_run(config: ProjectConfig, config_file: Path, runner: str) -> tuple[RunFacts, FileFacts | None]:
    """The run's facts, without its name, and those of the curated schema."""
    file = config_file.resolve()
    project = checkout_facts(file.parent)
    run = RunFacts(
        runner=runner,
        config_file=file.name,
        folder=str(file.parent),
        code=program_facts(),
        project=project if project.commit else None,
    )
    path = config.data.schema_path
    return run, None if path is None else file_facts(file.parent / path, file.parent)
