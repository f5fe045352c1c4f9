"""The checkpoints that are on this machine: in packages, and in the caches of the hubs' clients. No TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.errors import PresetError
from models.presets.names.keras_hub_names import registered_presets
from models.presets.preset import PresetInfo, describe_preset
from models.presets.preset_names import PACKAGED


@dataclass(frozen=True)
class FoundPreset:
    """A checkpoint on this machine.

    Attributes:
        preset: what to write as `model.preset`.
        place: where it is, for people.
        folder: of its files.
        info: its description; None if it cannot be used.
        problem: why not; empty if it can.
    """

    preset: str
    place: str
    folder: Path
    info: PresetInfo | None
    problem: str = ""

    @property
    def size(self) -> int:
        """Bytes of the weights; 0 if it cannot be used."""
        return 0 if self.info is None else sum(file.stat().st_size for file in self.info.weights)


def find_presets() -> list[FoundPreset]:
    """All of them, those of packages first. Nothing is downloaded."""
    return list(_packaged()) + sorted((*_hugging_face(), *_kaggle()), key=lambda one: one.preset)


def _packaged() -> Iterator[FoundPreset]:
    for name, packaged in PACKAGED.items():
        folder = packaged.folder
        if folder is not None:
            yield _describe(name, f"package {packaged.package.partition('==')[0]}", folder)


def _hugging_face() -> Iterator[FoundPreset]:
    from huggingface_hub import constants

    for folder in _folders(Path(constants.HF_HUB_CACHE), "models--*"):
        revision = folder / "refs" / "main"  # the revision that a run without a network would use
        snapshot = folder / "snapshots" / revision.read_text(encoding="utf-8").strip() if revision.is_file() else folder
        if snapshot != folder and snapshot.is_dir():
            handle = folder.name.removeprefix("models--").replace("--", "/")
            yield _describe(f"hf://{handle}", "Hugging Face's cache", snapshot)


def _kaggle() -> Iterator[FoundPreset]:
    import kagglehub.config

    models = Path(kagglehub.config.get_cache_folder()) / "models"
    names = {registered.handle: name for name, registered in registered_presets().items()}
    for folder in _folders(models, "*/*/*/*/*"):
        handle = folder.relative_to(models).as_posix()
        yield _describe(names.get(handle, f"kaggle://{handle}"), "Kaggle's cache", folder)


def _folders(root: Path, pattern: str) -> list[Path]:
    try:
        return sorted(path for path in root.glob(pattern) if path.is_dir())
    except OSError:  # a cache that may not be read has nothing to offer
        return []


def _describe(preset: str, place: str, folder: Path) -> FoundPreset:
    try:
        return FoundPreset(preset, place, folder, describe_preset(str(folder)))
    except PresetError as error:
        return FoundPreset(preset, place, folder, None, error.what.replace(str(folder), preset))
