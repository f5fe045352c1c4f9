"""Where pushed SavedModels lie (standard library only: it is asked before TensorFlow is loaded)."""

from __future__ import annotations

from pathlib import Path

from models.errors import ModelError

_MODEL_FILE, _PUSHED_FOLDER = "saved_model.pb", "serving"


def newest_version(directory: Path) -> Path:
    """The SavedModel's folder that `directory` means.

    Args:
        directory: a version (a SavedModel's folder), a folder of numbered versions, or the output folder of a run
            that pushed one model.

    Raises:
        ModelError: there is no model, or there are several.
    """
    for folder in (directory, *_pushed(directory)):
        if is_version(folder):
            return folder
        versions = [version for version in _folders(folder) if version.name.isdecimal() and is_version(version)]
        if versions:
            return max(versions, key=lambda version: int(version.name))
    raise ModelError(
        f"no model in {directory}",
        got="no such folder" if not directory.is_dir() else "neither saved_model.pb nor a numbered folder with one",
        expected="a pushed SavedModel, a folder of versions, or the output folder of a run that pushed",
        fix="`transom runs` tells which runs pushed a model, and why the others did not",
    )


def is_version(folder: Path) -> bool:
    """Whether the folder is a SavedModel itself."""
    return (folder / _MODEL_FILE).is_file()


def _pushed(directory: Path) -> list[Path]:
    """The folder of versions in a run's output folder: none, or the only one."""
    names = [name for name in _folders(directory / _PUSHED_FOLDER) if _folders(name)]
    if len(names) > 1:
        raise ModelError(
            f"several models in {directory / _PUSHED_FOLDER}",
            got=", ".join(sorted(name.name for name in names)),
            expected="one",
            fix="name the folder of one of them",
        )
    return names


def _folders(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if path.is_dir()] if directory.is_dir() else []
