"""Writes `lineage.json`: the Pusher knows the model and the push, and is told the rest.

What a run is called and how it is configured must be in no step's parameters, because those are its cache key. So it
is told to the process: on this machine before the steps are forked from it, on a cluster by the container's command.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.lineage.left_out import LEFT_OUT, without_credentials
from components.lineage.lineage_facts import (
    FORMAT,
    DataFacts,
    FileFacts,
    Lineage,
    ModelFacts,
    Origin,
    RunFacts,
    TrainingFacts,
)
from components.lineage.origin import utc_now
from components.lineage.table_facts import TABLES_FILE
from models.config import CONFIG_FILE, REPORT_FILE
from models.saved.model_identity import model_digest
from models.saved.model_locations import EXTRA_FOLDER
from tflite.host.json_text import to_json

_told: dict[str, Any] = {}


def tell(run: RunFacts, config: Mapping[str, Any], schema_file: FileFacts | None) -> None:
    """Tells this process, and those forked from it, about the run.

    Args:
        config: the whole resolved configuration, as JSON values.
        schema_file: the curated schema, if there is one.
    """
    _told.clear()
    _told.update(run=run, config=config, schema_file=schema_file)


def write_lineage(model: Path, blessing: Path, previous_version: int) -> bytes:
    """The content of `lineage.json`.

    Args:
        model: the SavedModel, with the configuration and the report of its training.
        blessing: the data gate's folder.
        previous_version: that is live until the push; 0: none.
    """
    extra = model / EXTRA_FOLDER
    trained, report = _read(extra / CONFIG_FILE), _read(extra / REPORT_FILE)
    config = dict(_told.get("config") or trained)
    data = DataFacts.model_validate(_read(blessing / TABLES_FILE))
    run: RunFacts = _told.get("run") or RunFacts()
    lineage = Lineage(
        format=FORMAT,
        model=ModelFacts(name=trained.get("name"), digest=model_digest(model)),
        run=run.model_copy(update={"pushed_at": utc_now(), "previous_version": previous_version}),
        config={key: value for key, value in config.items() if key not in LEFT_OUT},
        left_out=list(LEFT_OUT),
        data=data.model_copy(update={"schema_file": _told.get("schema_file")}),
        training=TrainingFacts.model_validate(report),
        origin=Origin.model_validate(report.get("origin") or {}),
    )
    return (to_json(without_credentials(lineage.model_dump(mode="json")), indent=1) + "\n").encode()


def _read(file: Path) -> dict[str, Any]:
    """A JSON file of this run; empty if there is none: a model that something else has trained."""
    if not file.is_file():
        return {}
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found
