"""Checks the folders of a run before it starts: whether they are writable, and what they contain."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from components.data.formats.files import abbreviate
from models.errors import ConfigError, os_errors_as
from models.saved.model_locations import EXTRA_FOLDER, MODEL_FILE
from pipeline.config import ProjectConfig
from pipeline.paths import Paths
from serving.errors import PublishError
from serving.publish.version_folders import versions
from tflite.host import BUNDLE_FILE

# The least room that an output folder must have.
_ROOM_BYTES = 2**16


def check_output(paths: Paths) -> None:
    """Checks the folder of the run's record, without which nothing of a run could be kept.

    Raises:
        ConfigError: it is not writable.
    """
    _check_writable(paths.output, "output")


def check_folders(config: ProjectConfig, paths: Paths) -> None:
    """Checks the folders that a run writes to.

    Raises:
        ConfigError: one is not writable, or holds files that Transom did not write.
    """
    check_output(paths)
    _check_writable(paths.push, "push.directory")
    _refuse_foreign_folders(paths.push, "push.directory", (MODEL_FILE, "variables", EXTRA_FOLDER))
    if config.edge.variants:
        _check_edge_folder(paths.push, paths.edge)


def _check_edge_folder(push: Path, edge: Path) -> None:
    _check_writable(edge, "edge.directory")
    _refuse_foreign_folders(edge, "edge.directory", (BUNDLE_FILE,))
    if edge == push:
        raise ConfigError(
            "edge.directory",
            got=f"{edge}, which is push.directory too",
            expected="another folder: a server loads every numbered folder there as a SavedModel",
            fix="remove the key, or name another folder",
        )


def _refuse_foreign_folders(folder: Path, key: str, known_by: tuple[str, ...]) -> None:
    """Refuses a folder with numbered folders that are not models: each would be taken for a live version."""
    try:
        foreign = [
            folder / str(number)
            for number in versions(folder)
            if not any((folder / str(number) / name).exists() for name in known_by)
        ]
    except PublishError as error:
        raise ConfigError(f"{key}: {error.what}", got=error.got, fix=error.fix) from None
    if foreign:
        raise ConfigError(
            f"{key}: {folder} holds numbered folders that are not models",
            got=abbreviate([str(path.name) for path in foreign]),
            expected="an empty folder, or one of pushed versions",
            fix=f"set {key} to another folder",
        )


def _check_writable(folder: Path, key: str) -> None:
    what, expected = f"{key}: {str(folder)[:200]} cannot be read", "a readable folder, or a new one"
    fix = "name another folder, or change the permissions of those above it"
    # A missing folder will be created.
    with os_errors_as(ConfigError, what, expected=expected, fix=fix), suppress(FileNotFoundError, NotADirectoryError):
        os.stat(folder)
    existing = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if not existing.is_dir():
        raise ConfigError(f"{key}: {folder} cannot be a folder", got=f"{existing} is a file", fix="name another folder")
    try:
        # Permissions alone do not tell: the file system may be read-only or full.
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(bytes(_ROOM_BYTES))
    except OSError as error:
        raise ConfigError(
            f"{key}: {folder} cannot be written",
            got=f"{error.strerror or error}, in {existing}",
            expected="a writable folder",
            fix="change its permissions, make room, or name another folder",
        ) from None
