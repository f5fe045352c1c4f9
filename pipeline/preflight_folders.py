"""What can be known to be wrong with the folders of a run: whether they can be written, and what is there already."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from components.data.formats.files import abbreviate
from models.errors import ConfigError
from models.saved.model_locations import MODEL_FILE
from pipeline.config import ProjectConfig
from pipeline.paths import Paths
from serving.errors import PublishError
from serving.publish.version_folders import versions
from tflite.host import BUNDLE_FILE

# What an output folder must have room for at the very least.
_ROOM_BYTES = 2**16


def check_output(paths: Paths) -> None:
    """Checks the folder that a run writes its record to: nothing can be kept of a run without it.

    Raises:
        ConfigError: it cannot be written.
    """
    _check_writable(paths.output, "output")


def check_folders(config: ProjectConfig, paths: Paths) -> None:
    """Checks the folders that a run writes to.

    Raises:
        ConfigError: one cannot be written, or holds what is not ours.
    """
    check_output(paths)
    _check_writable(paths.push, "push.directory")
    _refuse_foreign_folders(paths.push, "push.directory", (MODEL_FILE, "variables", "assets.extra"))
    if config.edge.variants:
        _check_edge_folder(paths.push, paths.edge)


def _check_edge_folder(push: Path, edge: Path) -> None:
    _check_writable(edge, "edge.directory")
    _refuse_foreign_folders(edge, "edge.directory", (BUNDLE_FILE,))
    if edge == push:
        raise ConfigError(
            "edge.directory",
            got=f"{edge}, which is push.directory too",
            expected="another folder: a server takes every numbered folder there for a SavedModel",
            fix="leave the key out, or name a folder of its own",
        )


def _refuse_foreign_folders(folder: Path, key: str, known_by: tuple[str, ...]) -> None:
    """Refuses a folder with numbered folders that are no models: each would be taken for one that is live."""
    try:
        strange = [
            folder / str(number)
            for number in versions(folder)
            if not any((folder / str(number) / name).exists() for name in known_by)
        ]
    except PublishError as error:
        raise ConfigError(f"{key}: {error.what}", got=error.got, fix=error.fix) from None
    if strange:
        raise ConfigError(
            f"{key}: {folder} holds numbered folders that are no models",
            got=abbreviate([str(path.name) for path in strange]),
            expected="an empty folder, or one of pushed versions",
            fix=f"set {key} to a folder of its own",
        )


def _check_writable(folder: Path, key: str) -> None:
    try:
        os.stat(folder)
    except (FileNotFoundError, NotADirectoryError):  # it will be made
        pass
    except OSError as error:
        raise ConfigError(
            f"{key}: {str(folder)[:200]} cannot be read",
            got=error.strerror or str(error),
            expected="a folder, or nothing",
            fix="name another folder, or change the permissions of those above it",
        ) from None
    existing = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if not existing.is_dir():
        raise ConfigError(f"{key}: {folder} cannot be a folder", got=f"{existing} is a file", fix="name another folder")
    try:
        # Permissions alone do not say it: a file system may be read-only, or full.
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(bytes(_ROOM_BYTES))
    except OSError as error:
        raise ConfigError(
            f"{key}: {folder} cannot be written",
            got=f"{error.strerror or error}, in {existing}",
            expected="a folder in which files can be made",
            fix="change its permissions, make room, or name another folder",
        ) from None
