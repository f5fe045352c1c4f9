"""Finds pushed SavedModels and edge bundles (standard library only: used before TensorFlow is loaded)."""

from __future__ import annotations

import contextlib
from pathlib import Path

from models.errors import ModelError
from tflite.host import BUNDLE_FILE

MODEL_FOLDER, BUNDLE_FOLDER = "serving", "edge"
"""Default folders in a run's output folder; each contains NAME/VERSION."""
MODEL_FILE = "saved_model.pb"
"""The file that marks a SavedModel."""
EXTRA_FOLDER = "assets.extra"
"""A SavedModel's folder of further files, which TF Serving ignores but for warm-up requests."""
LINEAGE_FILE, CARD_FILE = "lineage.json", "README.md"
"""There, and in an edge bundle: what made the model, see `components.lineage.lineage_facts`, and its model card."""
CHECKPOINT, VALUE = "variables/variables", "{}/.ATTRIBUTES/VARIABLE_VALUE"
"""Where a SavedModel has the values of its variables, and the key of each by its name in the exported module."""
WEIGHT, FITTED = "weights/{}", "fitted/{}"
"""Those names: of the Keras model's weights by index, and of what else was fitted (`models.saved.postprocessing`)."""
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
"""The key, beside those of the variables, of how the objects of the SavedModel are connected."""


def newest_version(directory: Path) -> Path:
    """The SavedModel's folder that `directory` means.

    Args:
        directory: a version (a SavedModel's folder), a folder of numbered versions, or the output folder of a run
            that pushed one model.

    Raises:
        ModelError: there is no model, or there are several.
    """
    expected = "a pushed SavedModel, a folder of versions, or the output folder of a run that pushed"
    fix = "`transom runs` shows which runs pushed a model, and why the others did not"
    return _newest_or_error(directory, MODEL_FOLDER, MODEL_FILE, "model", expected, fix)


def newest_bundle(directory: Path) -> Path:
    """The edge bundle's folder that `directory` means: a bundle, a folder of versions, or a run's output folder.

    Raises:
        ModelError: there is no bundle, or there are several.
    """
    expected = "a bundle, a folder of versions, or the output folder of a run that pushed one"
    fix = "`transom runs` shows which runs pushed a bundle; `transom edge export` makes one from any pushed model"
    return _newest_or_error(directory, BUNDLE_FOLDER, BUNDLE_FILE, "edge bundle", expected, fix)


def is_version(folder: Path) -> bool:
    """Whether the folder itself is a SavedModel."""
    return (folder / MODEL_FILE).is_file()


def is_bundle(folder: Path) -> bool:
    """Whether the folder itself is an edge bundle."""
    return (folder / BUNDLE_FILE).is_file()


def _newest_or_error(directory: Path, kind: str, file: str, what: str, expected: str, fix: str) -> Path:
    version = _newest(directory, kind, file)
    if version is not None:
        return version
    got = f"neither {file} nor a numbered folder with one" if directory.is_dir() else "no such folder"
    fix = _suggestion(directory, kind, file) or fix
    raise ModelError(f"no {what} in {directory}", got=got, expected=expected, fix=fix)


def _suggestion(directory: Path, kind: str, file: str) -> str:
    """Suggests an output folder in `directory` (a project's folder) or above it (a run's); "" if there is none."""
    for near in (*sorted(_folders(directory)), *list(directory.absolute().parents)[:2]):
        # Folders of other users may be unreadable, and with several models there is nothing to suggest.
        with contextlib.suppress(OSError, ModelError):
            if _newest(near, kind, file) is not None:
                return f"did you mean {near}?"
    return ""


def _newest(directory: Path, kind: str, file: str) -> Path | None:
    """The newest version that has `file`."""
    for folder in (directory, *_pushed(directory / kind)):
        if (folder / file).is_file():
            return folder
        versions = [version for version in _folders(folder) if version.name.isdecimal() and (version / file).is_file()]
        if versions:
            return max(versions, key=lambda version: int(version.name))
    return None


def _pushed(directory: Path) -> list[Path]:
    """The only folder of versions in one of a run's folders, or none."""
    names = [name for name in _folders(directory) if _folders(name)]
    if len(names) > 1:
        raise ModelError(
            f"several models in {directory}",
            got=", ".join(sorted(name.name for name in names)),
            expected="one",
            fix="name the folder of one of them",
        )
    return names


def _folders(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if path.is_dir()] if directory.is_dir() else []
