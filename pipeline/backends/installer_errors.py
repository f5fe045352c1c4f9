"""What uv or pip prints when it fails, as an error that says what to do."""

from __future__ import annotations

import re
from pathlib import Path

from models.errors import TrainingError
from models.training.elsewhere.environments import FOLDER_VARIABLE, python_variable

_LONGEST = 800
_ERROR = re.compile(r"^(?:error|ERROR|\w*Error)\b", re.MULTILINE)

_FULL = ("No space left on device", "Disk quota exceeded", "os error 28", "os error 122")
_CHANGED = ("Hash mismatch", "DO NOT MATCH THE HASHES")
_OFFLINE = (
    "Failed to fetch",
    "error sending request",
    "dns error",
    "Connection refused",
    "Failed to establish a new connection",
    "connection broken by",
    "Network connectivity is disabled",
    "timed out",
)
_FORBIDDEN = ("Permission denied", "Read-only file system", "os error 13", "os error 30")


def installer_error(framework: str, folder: Path, output: str) -> TrainingError:
    """The error of an installer that failed.

    Args:
        folder: of the environment.
        output: all that it printed.
    """

    def says(signs: tuple[str, ...]) -> bool:
        return any(sign in output for sign in signs)

    if says(_FULL):
        expected = f"room in {folder.parent} and in the installer's cache"
        fix = f"make room, or set {FOLDER_VARIABLE} to a folder on another disk"
    elif says(_CHANGED):
        expected = "packages with the hashes of Transom's lock"
        fix = "do not use these packages: ask who runs the package index or the proxy why they differ from PyPI's"
    elif says(_OFFLINE):
        expected = "a package index that answers"
        fix = (
            "check the network, or name your own index as usual for uv or pip; without a network, set "
            f"{FOLDER_VARIABLE} to a copy of the folder from another machine with the same Python"
        )
    elif says(_FORBIDDEN):
        expected = "a writable folder"
        fix = f"change its permissions, or set {FOLDER_VARIABLE} to another folder"
    else:
        expected = ""
        fix = (
            f"--verbose prints more; {python_variable(framework)} may name an interpreter that has {framework} instead"
        )
    return TrainingError(
        f"{framework} could not be installed in {folder}", got=_reason(output), expected=expected, fix=fix
    )


def _reason(output: str) -> str:
    """The part of the output that says what went wrong, in one line."""
    errors = list(_ERROR.finditer(output))
    lines = output[errors[-1].start() :] if errors else "\n".join(output.strip().splitlines()[-3:])
    text = " ".join(lines.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
