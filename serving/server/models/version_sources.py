"""Which versions of a model there should be: what is under its base path, and its version policy.

Source: tensorflow_serving/sources/storage_path/file_system_storage_path_source.cc.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from serving.errors import Code, StatusError

_MOST_NAMED = 10  # versions that are missing


def aspired_versions(config: Any) -> tuple[dict[int, Path], list[str]]:
    """The versions that a `ModelConfig` asks for, among those on the disk, to their folders; it touches the disk.

    Returns:
        The versions, and what an operator should hear about them.

    Raises:
        StatusError: the base path cannot be read; what is served then stays.
    """
    found = _on_disk(config)
    policy, notes = config.model_version_policy, []
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        aspired = found
    elif choice == "specific":
        wanted = set(policy.specific.versions)
        aspired = {version: path for version, path in found.items() if version in wanted}
        missing = sorted(wanted - aspired.keys())
        notes = [
            f"Version {version} of servable {config.name}, which was requested to be served as a 'specific' version "
            "in the servable's version policy, was not found in the file system"
            for version in missing[:_MOST_NAMED]
        ]
        if len(missing) > _MOST_NAMED:
            notes.append(f"{len(missing) - _MOST_NAMED} more versions of servable {config.name} were not found either")
    else:
        newest = sorted(found)[-max(policy.latest.num_versions, 1) :]
        aspired = {version: found[version] for version in newest}
    if not aspired:
        notes.append(
            f"No versions of servable {config.name} found under base path {config.base_path}. Did you forget to name "
            "your leaf directory as a number (eg. '/1/')?"
        )
    return aspired, notes


def _on_disk(config: Any) -> dict[int, Path]:
    try:
        with os.scandir(config.base_path) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise StatusError(
            Code.INVALID_ARGUMENT,
            f"Could not find base path {config.base_path} for servable {config.name} with error {reason}",
        ) from error
    # "007" and "7" are the same version; the last one counts, as in TF Serving.
    return {int(name): Path(config.base_path, name) for name in names if is_version(name)}


def is_version(name: str) -> bool:
    """Whether a folder of that name holds a version."""
    return name.isascii() and name.isdigit() and int(name) < 2**63
