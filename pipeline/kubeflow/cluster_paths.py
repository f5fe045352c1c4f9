"""Maps the folders of a configuration to paths in the cluster's containers. No TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from components.data.splits import sources
from models.errors import ConfigError
from models.presets.preset_names import PACKAGED, check_name
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
    preset = _preset_folder(config, base, container_base, require_mount)
    return Paths(base=base, output=output, push=push, edge=edge, container_base=container_base, preset=preset)


def _preset_folder(
    config: ProjectConfig, base: Path, container_base: Path, require_mount: Callable[[str, Path], Path]
) -> Path | None:
    """The path of the preset's folder in the containers; None for a name or a handle, which the steps look up.

    Raises:
        ConfigError: the folder is on no mount, or `kubeflow.preset` would have no effect.
        PresetError: no preset has the name.
    """
    if config.model.type != "preset":
        return None
    named, place = config.model.preset, config.kubeflow.preset
    if not (base / named).is_dir():
        check_name(named)
        if place is None:
            return None
        why = "the image has its package" if named in PACKAGED else "the steps download a preset themselves"
        raise ConfigError(
            "kubeflow.preset",
            got=f"{place}, and model.preset {named!r} is not a folder here",
            expected=f"nothing, because {why}; or a folder as model.preset",
            fix="remove it, or correct model.preset",
        )
    if place is not None:
        return Path(place)
    try:
        return require_mount("model.preset", _normal(container_base / named))
    except ConfigError as error:
        fix = f"{error.fix}; or set kubeflow.preset to its folder in the containers"
        raise ConfigError(error.what, got=error.got, expected=error.expected, fix=fix) from None


def _normal(path: Path) -> Path:
    """The path without "..", which could leave a mount."""
    return Path(os.path.normpath(path))


def _not_mounted(key: str, path: Path, mount_paths: list[str], target: str) -> ConfigError:
    expected = f"a folder below {' or '.join(mount_paths)}" if mount_paths else "a volume's folder, and there is none"
    fix = "name a path below /gcs/BUCKET" if target == "vertex" else "add its volume to kubeflow.mounts"
    return ConfigError(key, got=f"{path}, which is on no mount", expected=expected, fix=fix)
