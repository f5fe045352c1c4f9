"""The versions of a model that should be served, from its base path and version policy.

Source: tensorflow_serving/sources/storage_path/file_system_storage_path_source.cc.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from serving.errors import StatusError, invalid_argument
from serving.server.run.executor import internal_error

_MAX_NAMED = 10  # missing versions in a warning

Scan = tuple[dict[int, Path], list[str]] | StatusError
"""The selected versions and warnings, or why the base path cannot be read."""


def aspired_versions(config: Any) -> tuple[dict[int, Path], list[str]]:
    """The versions on disk that a `ModelConfig` selects. Reads the disk.

    Returns:
        Version to folder, and warnings for the operator.

    Raises:
        StatusError: the base path cannot be read.
    """
    on_disk = versions_on_disk(config)
    policy, notes = config.model_version_policy, []
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        aspired = on_disk
    elif choice == "specific":
        wanted = set(policy.specific.versions)
        aspired = {version: path for version, path in on_disk.items() if version in wanted}
        missing = sorted(wanted - aspired.keys())
        notes = [
            f"Version {version} of servable {config.name}, which was requested to be served as a 'specific' version "
            "in the servable's version policy, was not found in the file system"
            for version in missing[:_MAX_NAMED]
        ]
        if len(missing) > _MAX_NAMED:
            notes.append(f"{len(missing) - _MAX_NAMED} more versions of servable {config.name} were not found either")
    else:
        newest = sorted(on_disk)[-max(policy.latest.num_versions, 1) :]
        aspired = {version: on_disk[version] for version in newest}
    if not aspired:
        notes.append(
            f"No versions of servable {config.name} found under base path {config.base_path}. Did you forget to name "
            "your leaf directory as a number (eg. '/1/')?"
        )
    return aspired, notes


def versions_on_disk(config: Any) -> dict[int, Path]:
    """Version to folder of all versions under the base path of a `ModelConfig`. Reads the disk.

    Raises:
        StatusError: the base path cannot be read.
    """
    try:
        with os.scandir(config.base_path) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise invalid_argument(
            f"Could not find base path {config.base_path} for servable {config.name} with error {reason}"
        ) from error
    # "007" and "7" are the same version; the last one wins, as in TF Serving.
    return {int(name): Path(config.base_path, name) for name in names if is_version(name)}


def is_version(name: str) -> bool:
    """Whether a folder of this name holds a version."""
    return name.isascii() and name.isdigit() and int(name) < 2**63


def aspired_of_all(configs: list[Any]) -> list[Scan]:
    """`aspired_versions` of each config, or its error."""
    scans: list[Scan] = []
    for config in configs:
        try:
            scans.append(aspired_versions(config))
        except StatusError as error:
            scans.append(error)
        except Exception as error:  # noqa: BLE001  nothing on disk may end the server
            scans.append(internal_error(error))
    return scans
