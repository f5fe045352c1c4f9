"""Promotes a canary or rolls it back: in the servers' configuration file, and immediately on given servers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from serving.client import Client, ClientError, Tls
from serving.deploy import model_config
from serving.deploy.model_config import LabelMove
from serving.deploy.render import CONFIG_FOLDER, to_yaml
from serving.errors import DeployError

_NAME = "models.config"
_STEPS: dict[str, Callable[[Any, str], LabelMove]] = {
    "promote": model_config.promote,
    "rollback": model_config.rollback,
}


def release(step: str, model: str, config: Path, servers: Sequence[str] = (), tls: Tls | None = None) -> LabelMove:
    """Moves the labels of a model.

    Args:
        step: "promote" or "rollback"; see `serving.deploy.model_config`.
        model: its served name.
        config: `models.config`, a ConfigMap that holds it, or a folder that `transom deploy render` wrote.
        servers: gRPC addresses of servers to reconfigure immediately; the file changes only if all of them accept.

    Raises:
        DeployError: no label to move, a file that cannot be read or written, or a server that refused.
    """
    path = _find(config).resolve()  # keeps a link a link
    document, text = _read(path)
    changed = model_config.parse(text, str(path))
    move = _STEPS[step](changed, model)
    new_file = _write_new_file(path, document, model_config.to_text(changed))
    try:
        _reload_servers(servers, model, changed, path, tls)
        os.replace(new_file, path)  # a server that reads it now sees the old file or the new one
    finally:
        new_file.unlink(missing_ok=True)
    return move


def _reload_servers(servers: Sequence[str], model: str, config: Any, path: Path, tls: Tls | None) -> None:
    """Sends the configuration to the servers, one after the other."""
    reloaded: list[str] = []
    for server in servers:
        try:
            with Client(server, model, tls=tls) as client:
                client.reload_config(config)
        except ClientError as error:
            raise DeployError(
                f"the server {server} did not accept the configuration",
                got=str(error),
                expected="a TF Serving that serves these versions",
                fix=f"{path} is unchanged; "
                + (f"{', '.join(reloaded)} accepted it" if reloaded else "no server accepted it"),
            ) from error
        reloaded.append(server)


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
    """The YAML document that contains the configuration, None if there is none, and the configuration."""
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
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DeployError(
            f"{path}", got=f"no {_NAME} in it ({reason})", expected=f"one ConfigMap with data: {_NAME}"
        ) from None


def _write_new_file(path: Path, document: Any, text: str) -> Path:
    """Writes the new content next to the old file before any server is reconfigured: the last step must not fail."""
    if document is not None:
        document["data"][_NAME] = text
        text = to_yaml([document])
    new_file = path.with_name(f".{path.name}.new")
    try:
        new_file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DeployError(f"{path}", got=error.strerror or str(error), expected="a file in a writable folder") from None
    return new_file
