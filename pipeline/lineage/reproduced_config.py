"""The configuration with which a model is trained again, from its lineage. No TensorFlow."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from components.lineage.lineage_facts import Lineage
from models.config import ModelsConfig
from models.errors import ConfigError, ModelError, PresetError
from models.presets.preset import describe_preset
from pipeline.configuration.overrides import apply_override
from pipeline.lineage.data_check import find_data
from pipeline.lineage.lineage_reading import FoundLineage

_TABLES = ("path", "train", "eval", "test")
_MAY_BE_SET = (*(f"data.{key}" for key in _TABLES), "model.preset", "beam.")
# Where the model's own project writes.
_FOLDERS = (("output",), ("push", "directory"), ("edge", "directory"))


def check_reproducible(found: FoundLineage) -> None:
    """Refuses what cannot be trained again.

    Raises:
        ModelError: a bundle, or a model whose lineage is not known.
    """
    if found.bundle:
        raise ModelError(
            f"{found.folder} is an edge bundle",
            got="weights that were converted",
            expected="the SavedModel that it was made from",
            fix="name a version in the push folder of the project",
        )
    config = found.lineage.config
    whole = all(isinstance(config.get(section), dict) for section in ModelsConfig.model_fields.keys() | {"data"})
    if not found.complete or not found.lineage.data.sources or not whole:
        raise ModelError(
            f"{found.folder} does not say how it was made",
            got="no lineage.json with configuration and tables" if found.complete else "no lineage.json",
            expected="a version that this version of Transom, or a later one, has pushed",
            fix="`transom lineage` prints what is known; a new run pushes a model whose lineage is complete",
        )


def reproduced_config(lineage: Lineage, base: Path, overrides: Iterable[str]) -> str:
    """The text of a configuration file that trains the same model, in any folder.

    Args:
        base: the folder that takes the place of the original configuration's.
        overrides: "data.path=FILE" and others that say where the inputs are now.

    Raises:
        ConfigError: an override sets something else.
        DataError, PresetError: an input is not there, or is another.
    """
    raw: dict[str, Any] = copy.deepcopy(lineage.config)
    overrides = list(overrides)
    for override in overrides:
        _check_override(override)
        apply_override(raw, override)
    given = {key: raw["data"][key] for key in _TABLES if any(_key(one) == f"data.{key}" for one in overrides)}
    raw["data"] = {**raw["data"], **find_data(lineage.data, base, given)}
    if raw["data"].get("schema_path") is not None:
        # It decides no weights: it has let these rows pass, and its file may be gone.
        raw["data"]["schema_path"] = None
        raw.setdefault("gate", {})["schema_anomaly"] = "off"
    for *groups, last in _FOLDERS:
        group = raw.get(groups[0]) if groups else raw
        if isinstance(group, dict):
            group.pop(last, None)
    _find_preset(raw["model"], lineage, base)
    text: str = yaml.safe_dump(raw, allow_unicode=True, sort_keys=False)
    return text


def _key(override: str) -> str:
    return override.partition("=")[0].strip()


def _check_override(override: str) -> None:
    key = _key(override)
    if not any(key == one or (one.endswith(".") and key.startswith(one)) for one in _MAY_BE_SET):
        raise ConfigError(
            "--set",
            got=key[:100],
            expected=f"where an input is now ({', '.join(_MAY_BE_SET[:-1])}), or a key of beam",
            fix="leave it out: the other settings are those of the model",
        )


def _find_preset(model: dict[str, Any], lineage: Lineage, base: Path) -> None:
    """Names the preset's folder by its absolute path, and checks that its files are the same."""
    if "preset" not in model:
        return
    folder = base / Path(model["preset"]).expanduser()
    if folder.is_dir():
        model["preset"] = str(folder)
    if lineage.origin.preset is None:
        return
    digest = describe_preset(model["preset"]).digest()
    if digest != lineage.origin.preset.digest:
        raise PresetError(
            f"the files of preset {model['preset']!r} are not those that the model was trained with",
            got=f"digest {digest}",
            expected=lineage.origin.preset.digest,
            fix="name the folder that has them with --set model.preset=FOLDER",
        )
