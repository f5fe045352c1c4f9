"""KerasHub's names of checkpoints, read from its tables without importing it (and TensorFlow)."""

from __future__ import annotations

import importlib.util
import runpy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from models.presets.families import FAMILIES, useless_family


@dataclass(frozen=True)
class RegisteredPreset:
    """A checkpoint in KerasHub's tables.

    Attributes:
        family: the folder of its table: a key of `FAMILIES`, or a family that cannot be used.
        handle: Kaggle's, with its version, without "kaggle://".
        parameters: number of weights, 0 if the table does not say.
    """

    name: str
    family: str
    handle: str
    parameters: int


@cache
def registered_presets() -> Mapping[str, RegisteredPreset]:
    """KerasHub's names of the families that can be used."""
    found = {}
    for family in FAMILIES:
        for table in _tables(family):
            for name, entry in runpy.run_path(str(table)).get("backbone_presets", {}).items():
                handle = str(entry["kaggle_handle"]).removeprefix("kaggle://")
                weights = int(entry.get("metadata", {}).get("params") or 0)
                found[name] = RegisteredPreset(name, family, handle, weights)
    return found


def useless_family_of(name: str) -> str:
    """The family, as in Hugging Face's `model_type`, that this names or is one of KerasHub's names of, and that cannot
    be used; "" if there is none."""
    if family := useless_family(name):
        return family
    for table in _tables("*"):
        family = table.parent.name.replace("_", "-")
        if table.parent.name in FAMILIES:
            continue
        known = f'"{name}"' in table.read_text(encoding="utf-8")
        if name.lower().replace("_", "-") == family:
            return family
        if known and name in runpy.run_path(str(table)).get("backbone_presets", {}):
            return family
    return ""


def _tables(family: str) -> list[Path]:
    spec = importlib.util.find_spec("keras_hub")
    if spec is None or spec.origin is None:
        return []
    return sorted(Path(spec.origin).parent.glob(f"src/models/{family}/*_presets.py"))
