"""Versions with a lineage, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.lineage.lineage_facts import Lineage
from components.lineage.table_facts import file_facts
from pipeline.config import ProjectConfig
from tflite.host.json_text import to_json

DIGEST = "5" * 64


def facts(folder: Path, *tables: str, **config: Any) -> dict[str, Any]:
    """The facts of a model of a project in `folder`, whose tables are made if they are not there."""
    names = tables or ("t.csv",)
    for name in names:
        if not (folder / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"text,label\nof {name},a\n")
    patterns = config.pop("patterns", list(names))
    given = {"name": "reviews", "data": {"path": patterns}, **config}
    return {
        "format": 1,
        "model": {"name": "reviews", "digest": DIGEST},
        "run": {"name": "20260101-120000", "runner": "local", "pushed_at": "2026-01-01T12:00:05Z"}
        | {"config_file": "transom.yaml", "folder": str(folder), "previous_version": 0}
        | {"code": {"transom": "1.0", "commit": "c" * 40, "uncommitted": False}},
        "config": ProjectConfig.model_validate(given).model_dump(mode="json", exclude={"beam", "kubeflow"}),
        "data": {
            "folder": str(folder),
            "sources": [
                {
                    "key": "path",
                    "patterns": patterns,
                    "files": [file_facts(folder / name, folder).model_dump() for name in names],
                }
            ],
            "rows": {"train": 8, "eval": 1, "test": 1},
        },
        "training": {"framework": "tensorflow 2.0", "devices": ["/device:CPU:0"], "strategy": "none", "seed": 3}
        | {"precision": "float32", "xla": True, "onednn": "on", "steps": 9, "epochs": 2, "best_epoch": 1},
        "origin": {
            "at": "2026-01-01T12:00:01Z",
            "code": {"transom": "1.0", "commit": "c" * 40, "uncommitted": False, "steps": {"Trainer": "f" * 32}},
            "environment": {"python": "3.11.0", "platform": "Linux-1", "cpu": "A CPU", "cores": 4, "threads": 4}
            | {"features": ["avx2"], "lock": "1" * 64, "packages": {"tensorflow": "2.0"}},
        },
    }


def lineage(folder: Path, *tables: str, **config: Any) -> Lineage:
    return Lineage.model_validate(facts(folder, *tables, **config))


def version(folder: Path, content: dict[str, Any] | bytes | None) -> Path:
    """A folder that looks like a pushed version; `content` of its lineage.json: None for no file."""
    extra = folder / "assets.extra"
    extra.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"")
    if content is not None:
        raw = content if isinstance(content, bytes) else to_json(content).encode()
        (extra / "lineage.json").write_bytes(raw)
    return folder
