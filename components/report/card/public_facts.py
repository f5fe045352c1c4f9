"""What of a run may be given away with its model.

No text of a row, no path, and no value of a column but the labels and those of the columns in `evaluation.slices`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from components.report.page_facts import Json, RunFacts
from models.presets.preset_names import is_path

_SECTIONS = ("name", "task", "tokenizer", "model", "train", "gate", "evaluation", "edge", "card")
"""Of the configuration; the others say where things are, and may hold credentials."""
_OF_A_FINDING = ("rule", "severity", "split", "column", "rows", "of")


def public_facts(facts: RunFacts) -> RunFacts:
    """The facts without the rest. A new fact is left out until it is listed here."""
    return RunFacts(
        project=facts.project,
        name=facts.name,
        status=facts.status,
        verdict=facts.verdict,
        config=dict(_config(facts.config)),
        data=_data(facts.data),
        findings=[{key: one[key] for key in _OF_A_FINDING if key in one} | {"message": ""} for one in facts.findings],
        training=facts.training,
        evaluation=_without_rows(facts.evaluation, "label_errors", "found"),
        rows=_without_rows(facts.rows, "wrong", "confused"),
        serving={key: value for key, value in facts.serving.items() if key != "failures"},
        edge=facts.edge,
        lineage=_lineage(facts.lineage),
    )


def _config(config: Json) -> Iterator[tuple[str, Any]]:
    for section in _SECTIONS:
        if section in config:
            yield section, config[section]
    model = config.get("model") or {}
    preset = str(model.get("preset") or "")
    if preset and is_path(preset):
        yield "model", {**model, "preset": PurePath(preset).name}
    if "edge" in config:
        yield "edge", {key: value for key, value in config["edge"].items() if key != "directory"}


def _data(data: Json) -> Json:
    drift = [{**one, "changes": []} for one in data.get("drift", [])]
    return {**data, "drift": drift} if drift else data


def _without_rows(part: Json, name: str, kept: str) -> Json:
    """A part of the facts in which one entry has lists of rows, and one list that has none."""
    if name not in part:
        return part
    return {**part, name: {kept: part[name][kept]} if kept in part[name] else {}}


def _lineage(lineage: Json) -> Json:
    """The code, the machine, and the tables by their names alone."""
    if not lineage:
        return {}
    sources = (lineage.get("data") or {}).get("sources", [])
    files = [{**file, "path": PurePath(file["path"]).name} for source in sources for file in source.get("files", [])]
    run = lineage.get("run") or {}
    return {
        "origin": lineage.get("origin") or {},
        "data": {"sources": [{"files": files}]},
        "run": {key: run[key] for key in ("name", "pushed_at") if run.get(key)},
    }
