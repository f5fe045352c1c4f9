"""The YAML of a compiled pipeline: the PipelineSpec, and for Kubernetes a second document or file. No TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from models.errors import ConfigError

SCHEMA_VERSION = "2.1.0"


@dataclass(frozen=True)
class Compiled:
    """The content of a file: `spec`, and `platform` ({} if there is none)."""

    spec: dict[str, Any]
    platform: dict[str, Any]


def dump(*documents: dict[str, Any]) -> str:
    """YAML with a document for each dictionary that is not empty."""
    return yaml.safe_dump_all([one for one in documents if one], sort_keys=True, allow_unicode=True, width=120)


def read(path: Path, platform: Path | None = None) -> Compiled:
    """Reads a file that `transom compile` wrote.

    Args:
        platform: the file of the second document, if it is a separate one.

    Raises:
        ConfigError: it cannot be read, or is not a compiled pipeline.
    """
    documents = _documents(path) + (_documents(platform) if platform else [])
    specs = [one for one in documents if "pipelineInfo" in one]
    platforms = [one for one in documents if "platforms" in one]
    if len(specs) != 1 or len(platforms) > 1 or specs[0].get("schemaVersion") != SCHEMA_VERSION:
        found = specs[0].get("schemaVersion") if len(specs) == 1 else f"{len(specs)} pipeline specs"
        raise ConfigError(
            f"the compiled pipeline {path}",
            got=f"{found}, {len(platforms)} platform documents",
            expected=f"one PipelineSpec of schema {SCHEMA_VERSION}, and at most one platform document",
            fix="`transom compile transom.yaml --out pipeline.yaml` writes one",
        )
    return Compiled(specs[0], platforms[0] if platforms else {})


def is_replaceable(path: Path) -> bool:
    """Whether a compiled pipeline may be written there: the path is free, or has an earlier one."""
    try:
        if not path.is_file():  # /dev/stdout is neither file nor folder
            return not path.is_dir()
        return not path.stat().st_size or all({"pipelineInfo", "platforms"} & set(one) for one in _documents(path))
    except (ConfigError, OSError):
        return False


def _documents(path: Path) -> list[dict[str, Any]]:
    fix = "`transom compile transom.yaml --out pipeline.yaml` writes one"
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        got = " ".join((getattr(error, "strerror", None) or str(error)).split())
        raise ConfigError(f"the compiled pipeline {path}", got=got, expected="a YAML file", fix=fix) from None
    if not documents or not all(isinstance(one, dict) for one in documents):
        raise ConfigError(f"the compiled pipeline {path}", got="no mapping", expected="a pipeline's YAML", fix=fix)
    return documents
