"""Promotes a canary or rolls it back: in the file that the servers read, and at once in those that are named."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from serving.client import Client, ClientError, Tls
from serving.deploy import model_config
from serving.deploy.model_config import Move
from serving.deploy.render import CONFIG_FOLDER, to_yaml
from serving.errors import DeployError

_NAME = "models.config"
STEPS: dict[str, Callable[[Any, str], Move]] = {"promote": model_config.promote, "rollback": model_config.rollback}


def release(step: str, model: str, config: Path, servers: Sequence[str] = (), tls: Tls | None = None) -> Move:
    """Moves the labels of a model.

    Args:
        step: "promote" or "rollback"; see `serving.deploy.model_config`.
        model: its served name.
        config: `models.config`, a ConfigMap that holds it, or a folder that `transom deploy render` wrote.
        servers: gRPC addresses of servers that are told at once; the file is changed only when all of them agreed.

    Raises:
        DeployError: nothing to move, a file that cannot be read or written, or a server that refused.
    """
    path = _find(config).resolve()  # a link stays one
    document, text = _read(path)
    changed = model_config.parse(text, str(path))
    move = STEPS[step](changed, model)
    beside = _write_beside(path, document, model_config.to_text(changed))
    try:
        _tell(servers, model, changed, path, tls)
        os.replace(beside, path)  # a server that reads it meanwhile sees the old file or the new one
    finally:
        beside.unlink(missing_ok=True)
    return move


def _tell(servers: Sequence[str], model: str, config: Any, path: Path, tls: Tls | None) -> None:
    """Gives the servers the configuration, one after the other."""
    told: list[str] = []
    for server in servers:
        try:
            with Client(server, model, tls=tls) as client:
                client.reload_config(config)
        except ClientError as error:
            raise DeployError(
                f"the server {server} did not take the configuration",
                got=str(error),
                expected="a TF Serving that serves these versions",
                fix=f"{path} is unchanged; " + (f"{', '.join(told)} took it already" if told else "no server took it"),
            ) from error
        told.append(server)


def _find(config: Path) -> Path:
    if not config.is_dir():
        return config
    for name in (_NAME, f"{CONFIG_FOLDER}/{_NAME}", "configmap.yaml"):
        if (config / name).is_file():
            return config / name
    raise DeployError(
        f"the folder {config}",
        got=f"neither {_NAME} nor configmap.yaml",
        expected="a folder that `transom deploy render` wrote",
        fix="name the file with --config",
    )


def _read(path: Path) -> tuple[Any, str]:
    """The YAML document around the configuration, None where there is none, and the configuration."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DeployError(f"{path}", got=str(error), expected=f"{_NAME} or a ConfigMap that holds it") from None
    if path.suffix not in (".yaml", ".yml"):
        return None, text
    try:
        document = yaml.safe_load(text)
        return document, document["data"][_NAME]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DeployError(
            f"{path}", got=f"no {_NAME} in it ({told})", expected=f"one ConfigMap with data: {_NAME}"
        ) from None


def _write_beside(path: Path, document: Any, text: str) -> Path:
    """The new content in a file beside the old, before any server is told: the last step must not fail."""
    if document is not None:
        document["data"][_NAME] = text
        text = to_yaml([document])
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DeployError(
            f"{path}", got=error.strerror or str(error), expected="a file in a folder that can be written to"
        ) from None
    return beside
