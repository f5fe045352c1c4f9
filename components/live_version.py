"""The live version under the push folder: number, digest and copy, for the steps LiveModel and Pusher."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path

from models.errors import PushError
from models.saved.model_locations import CARD_FILE, EXTRA_FOLDER
from serving.errors import PublishError
from serving.publish.version_folders import newest, versions


def copy_live_version(directory: Path, target: Path, version: int) -> int:
    """Copies `version`, or the newest version if it is gone, into `target`, which is emptied first.

    Returns:
        The version that was copied; 0 if there is none.

    Raises:
        PushError: the push folder cannot be read.
    """
    try:
        while True:
            present = versions(directory)
            chosen = version if version in present else max(present, default=0)
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            if not chosen:
                return 0
            shutil.copytree(directory / str(chosen), target, dirs_exist_ok=True, copy_function=shutil.copyfile)
            if chosen in versions(directory):
                return chosen
    except PublishError as error:
        raise PushError(error.what, got=error.got, expected=error.expected, fix=error.fix) from error
    except (OSError, shutil.Error) as error:
        raise PushError(
            f"the live model in {directory}", got=str(error), expected="a folder that can be read"
        ) from error


def live_version(directory: str) -> int:
    """The newest version under the push folder, 0 if there is none.

    Raises:
        PushError: the folder cannot be read.
    """
    try:
        return newest(Path(directory)) or 0
    except PublishError as error:
        raise PushError(error.what, got=error.got, expected=error.expected, fix=error.fix) from error


def version_digest(folder: Path) -> str:
    """A digest of a version's files, because the number does not identify them; "" if it has been removed.

    The model card is left out: it changes when somebody says more about the model, which is no reason to measure again.

    Raises:
        PushError: a file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for path in sorted(path for path in folder.rglob("*") if not _is_card(folder, path) and path.is_file()):
            digest.update(os.fsencode(path.relative_to(folder)) + b"\0")
            with path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    except FileNotFoundError:  # pruned meanwhile: look again
        return ""
    except OSError as error:
        raise PushError(
            f"the live model in {folder}", got=error.strerror or str(error), expected="a folder that can be read"
        ) from error
    return digest.hexdigest()[:32] if folder.is_dir() else ""


def _is_card(folder: Path, path: Path) -> bool:
    """Whether a file is the card of a version or a bundle, or what a process that was killed has left of writing it."""
    return path.parent in (folder, folder / EXTRA_FOLDER) and path.name.lstrip(".").startswith(CARD_FILE)


def card_digest(folder: Path) -> str:
    """A digest of the model card of a version or a bundle; "" if it has none, or none that can be read."""
    for file in (folder / EXTRA_FOLDER / CARD_FILE, folder / CARD_FILE):
        with contextlib.suppress(OSError):
            return hashlib.sha256(file.read_bytes()).hexdigest()[:32]
    return ""
