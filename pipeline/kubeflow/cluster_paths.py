"""Maps the folders of a configuration to paths in the cluster's containers. No TensorFlow."""

from __future__ import annotations

import os
from pathlib import Path

from components.data.splits import sources
from models.errors import ConfigError
from models.saved.model_locations import BUNDLE_FOLDER, MODEL_FOLDER
from pipeline.config import ProjectConfig
from pipeline.paths import Paths

VERTEX_MOUNT = "/gcs/"


def paths_on_cluster(config: ProjectConfig, config_file: Path, target: str) -> Paths:
    """The folders of a project, as paths in the containers.

    Raises:
        ConfigError: the key of a folder that is on no mount.
    """
    kubeflow = config.kubeflow
    base = config_file.resolve().parent
    if kubeflow.base is None:
        raise ConfigError(
            "kubeflow.base",
            got="nothing",
            expected=f"the path of {base} in the containers",
            fix="copy the data to a volume, add it to kubeflow.mounts, and set kubeflow.base to the data's folder",
        )
    container_base = Path(kubeflow.base)
    mount_paths = [VERTEX_MOUNT] if target == "vertex" else [f"{mount.path}/" for mount in kubeflow.mounts]

    def require_mount(key: str, path: Path) -> Path:
        if not any(f"{path}/".startswith(mount_path) for mount_path in mount_paths):
            raise _not_mounted(key, path, mount_paths, target)
        return path

    for source in sources(config.data):
        for pattern in source.patterns:
            if "://" in pattern:
                raise ConfigError(
                    f"data.{source.key}",
                    got=pattern,
                    expected="a path: only files can be read",
                    fix="mount the bucket (a claim of a bucket's storage class; on Vertex AI it is /gcs/BUCKET)",
                )
            require_mount(f"data.{source.key}", _normal(container_base / pattern))
    output_key = "kubeflow.output" if kubeflow.output else "output"
    output = require_mount(
        output_key, _normal(container_base / (kubeflow.output or config.output or f"{config.name}-out"))
    )
    push = output / MODEL_FOLDER / config.name
    if config.push.directory:
        push = require_mount("push.directory", _normal(container_base / config.push.directory))
    edge = output / BUNDLE_FOLDER / config.name
    if config.edge.directory:
        edge = require_mount("edge.directory", _normal(container_base / config.edge.directory))
    preset = Path(kubeflow.preset) if kubeflow.preset else None
    if preset is not None and config.model.type == "preset" and not (base / config.model.preset).is_dir():
        raise ConfigError(
            "kubeflow.preset",
            got=f"{preset}, and model.preset {config.model.preset!r} is not a folder here",
            expected="nothing, because the steps download a preset themselves; or a folder as model.preset",
            fix="remove it, or correct model.preset",
        )
    if config.model.type == "preset" and (base / config.model.preset).is_dir() and preset is None:
        try:
            preset = require_mount("model.preset", _normal(container_base / config.model.preset))
        except ConfigError as error:
            fix = f"{error.fix}; or set kubeflow.preset to its folder in the containers"
            raise ConfigError(error.what, got=error.got, expected=error.expected, fix=fix) from None
    return Paths(base=base, output=output, push=push, edge=edge, container_base=container_base, preset=preset)


def _normal(path: Path) -> Path:
    """The path without "..", which could leave a mount."""
    return Path(os.path.normpath(path))


def _not_mounted(key: str, path: Path, mount_paths: list[str], target: str) -> ConfigError:
    expected = f"a folder below {' or '.join(mount_paths)}" if mount_paths else "a volume's folder, and there is none"
    fix = "name a path below /gcs/BUCKET" if target == "vertex" else "add its volume to kubeflow.mounts"
    return ConfigError(key, got=f"{path}, which is on no mount", expected=expected, fix=fix)
