"""The one place where the folders of a configuration become those that the cluster's containers see. No TensorFlow."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from components.data.splits import sources
from models.errors import ConfigError
from models.saved.model_locations import BUNDLE_FOLDER, MODEL_FOLDER
from pipeline.config import ProjectConfig
from pipeline.paths import Paths

VERTEX_MOUNT = "/gcs/"


def paths_on_cluster(config: ProjectConfig, config_file: Path, target: str) -> Paths:
    """The folders of a project as its containers see them.

    Raises:
        ConfigError: the steps would need a folder that no mount brings, by its key.
    """
    told = config.kubeflow
    base = config_file.resolve().parent
    if told.base is None:
        raise ConfigError(
            "kubeflow.base",
            got="nothing",
            expected=f"where the containers see {base}",
            fix="copy the data to a volume, name it under kubeflow.mounts, and its folder as kubeflow.base",
        )
    container_base = Path(told.base)
    places = [VERTEX_MOUNT] if target == "vertex" else [f"{mount.path}/" for mount in told.mounts]

    def mounted(key: str, path: Path) -> Path:
        if not any(f"{path}/".startswith(place) for place in places):
            raise _not_mounted(key, path, places, target)
        return path

    for source in sources(config.data):
        for pattern in source.patterns:
            if "://" in pattern:
                raise ConfigError(
                    f"data.{source.key}",
                    got=pattern,
                    expected="a path: the readers read files",
                    fix="mount the bucket (a claim of a bucket's storage class; on Vertex AI it is /gcs/BUCKET)",
                )
            mounted(f"data.{source.key}", _normal(container_base / pattern))
    output_key = "kubeflow.output" if told.output else "output"
    output = mounted(output_key, _normal(container_base / (told.output or config.output or f"{config.name}-out")))
    push = output / MODEL_FOLDER / config.name
    if config.push.directory:
        push = mounted("push.directory", _normal(container_base / config.push.directory))
    edge = output / BUNDLE_FOLDER / config.name
    if config.edge.directory:
        edge = mounted("edge.directory", _normal(container_base / config.edge.directory))
    preset = Path(told.preset) if told.preset else None
    if preset is not None and config.model.type == "preset" and not (base / config.model.preset).is_dir():
        raise ConfigError(
            "kubeflow.preset",
            got=f"{preset}, and model.preset {config.model.preset!r} is no folder here",
            expected="nothing, because the steps fetch a hub's preset themselves; or a folder as model.preset",
            fix="remove it, or correct model.preset",
        )
    if config.model.type == "preset" and (base / config.model.preset).is_dir() and preset is None:
        try:
            preset = mounted("model.preset", _normal(container_base / config.model.preset))
        except ConfigError as error:
            fix = f"{error.fix}; or give kubeflow.preset, its folder in the containers"
            raise ConfigError(error.what, got=error.got, expected=error.expected, fix=fix) from None
    return Paths(base=base, output=output, push=push, edge=edge, container_base=container_base, preset=preset)


def _normal(path: Path) -> Path:
    """The path without "..", which could leave a mount."""
    parts: list[str] = []
    for part in PurePosixPath(path).parts:
        if part == ".." and len(parts) > 1:
            parts.pop()
        elif part != "..":
            parts.append(part)
    return Path(*parts)


def _not_mounted(key: str, path: Path, places: list[str], target: str) -> ConfigError:
    expected = f"a folder below {' or '.join(places)}" if places else "a folder of a volume, and there is none"
    fix = "name a path below /gcs/BUCKET" if target == "vertex" else "name its volume under kubeflow.mounts"
    return ConfigError(key, got=f"{path}, which no mount brings", expected=expected, fix=fix)
