"""Finds and reads the lineage of a model or a bundle, from its folder alone. No TensorFlow.

The folder may come from anyone: whatever is in its files is either read as described or answered with an error.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from components.lineage.lineage_facts import FORMAT, Lineage
from models.config import CONFIG_FILE, REPORT_FILE
from models.errors import ModelError, os_errors_as
from models.saved.model_locations import (
    EXTRA_FOLDER,
    LINEAGE_FILE,
    is_bundle,
    is_version,
    newest_bundle,
    newest_version,
)
from tflite.host import BUNDLE_FILE

# A file a hundred times as large as that of a model of a thousand tables.
_LARGEST_BYTES = 64 * 2**20
_DEEPEST = 32


@dataclass(frozen=True)
class FoundLineage:
    """The lineage of what is in a folder.

    Attributes:
        folder: of the version or the bundle.
        bundle: it is an edge bundle.
        complete: there is a `lineage.json`. If not, an earlier version of Transom made the model, and the lineage has
            only what its other files tell.
    """

    folder: Path
    bundle: bool
    lineage: Lineage
    complete: bool


def read_lineage(directory: Path) -> FoundLineage:
    """The lineage of a version, of the newest in a push folder or a run's output folder, or of a bundle.

    Raises:
        ModelError: there is no model and no bundle, or its lineage cannot be read.
    """
    folder, bundle = _find(directory)
    place = folder if bundle else folder / EXTRA_FOLDER
    with os_errors_as(ModelError, f"{place} cannot be read", fix="correct its permissions"):
        if (place / LINEAGE_FILE).exists():
            return FoundLineage(folder, bundle, _parse(place / LINEAGE_FILE), complete=True)
        lineage = _from_bundle(folder) if bundle else _from_model(place)
        return FoundLineage(folder, bundle, lineage, complete=False)


def printable(text: str) -> str:
    """A text of a file as one line for a terminal: no control characters, which could move its cursor."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _find(directory: Path) -> tuple[Path, bool]:
    if is_version(directory) or is_bundle(directory):
        return directory, not is_version(directory)
    try:
        return newest_version(directory), False
    except ModelError as error:
        try:
            return newest_bundle(directory), True
        except ModelError:
            raise error from None


def _parse(file: Path) -> Lineage:
    raw = _read_json(file)
    version = raw.get("format")
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= FORMAT:
        raise _unreadable(file, f"format {printable(str(version))[:50]}", f"format {FORMAT}")
    return _validated(file, raw)


def _from_model(extra: Path) -> Lineage:
    config = _read_json(extra / CONFIG_FILE)
    report = _read_json(extra / REPORT_FILE) if (extra / REPORT_FILE).is_file() else {}
    return _validated(
        extra / REPORT_FILE,
        {
            "model": {"name": config.get("name")},
            "config": config,
            "training": report,
            "origin": report.get("origin") or {},
        },
    )


def _from_bundle(bundle: Path) -> Lineage:
    manifest = _read_json(bundle / BUNDLE_FILE)
    return _validated(bundle / BUNDLE_FILE, {"model": {"name": manifest.get("name")}})


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise _unreadable(file, "no such file", "the file that was pushed with the model")
    with file.open("rb") as stream:
        content = stream.read(_LARGEST_BYTES + 1)
    if len(content) > _LARGEST_BYTES:
        raise _unreadable(file, f"more than {_LARGEST_BYTES // 2**20} MB", "a description of one model")
    try:
        raw = json.loads(content)
        if _is_deep(raw):
            raise RecursionError
    except RecursionError:
        raise _unreadable(file, "lists or groups nested too deeply", f"at most {_DEEPEST} in each other") from None
    except ValueError as error:  # also text that is not UTF-8, and numbers of thousands of digits
        raise _unreadable(file, printable(str(error))[:200], "JSON") from None
    if not isinstance(raw, dict):
        raise _unreadable(file, type(raw).__name__, "a JSON object")
    return raw


def _is_deep(value: Any) -> bool:
    """Whether groups or lists are nested deeper than any that Transom writes."""
    level = [value]
    for _ in range(_DEEPEST):
        groups = [one for one in level if isinstance(one, (dict, list))]
        level = [part for one in groups for part in (one.values() if isinstance(one, dict) else one)]
    return any(isinstance(one, (dict, list)) for one in level)


def _validated(file: Path, raw: dict[str, Any]) -> Lineage:
    try:
        return Lineage.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = printable(".".join(map(str, first["loc"])))[:100]
        raise _unreadable(file, f"{where}: {printable(first['msg'])[:100]}", "what Transom writes") from None


def _unreadable(file: Path, got: str, expected: str) -> ModelError:
    fix = "copy the whole version again; if a newer Transom made it, use that one"
    return ModelError(f"{file} cannot be read", got=got, expected=expected, fix=fix)
