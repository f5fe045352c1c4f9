"""Checks a `ModelServerConfig`, and its transition from the previous one.

Source: tensorflow_serving/model_servers/server_core.cc, with its messages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from serving.errors import Code, StatusError, invalid_argument

PLATFORM = "tensorflow"
_TENSORFLOW_TYPE = 1

Labels = Mapping[str, Mapping[str, int]]
"""Version by model and label."""


def check_config(old: Any, new: Any) -> None:
    """Checks that a server can go from one config (None at first) to another.

    Raises:
        StatusError: it cannot.
    """
    if new.WhichOneof("config") == "custom_model_config":
        if old is not None:
            raise StatusError(
                Code.FAILED_PRECONDITION,
                "Cannot transition to requested config. It is only legal to transition from one ModelConfigList to "
                "another.",
            )
        raise invalid_argument("Missing custom_model_config_loader in ServerCore Options")
    names = set()
    for config in new.model_config_list.config:
        if config.name in names:
            raise invalid_argument(f"Illegal to list model {config.name} multiple times in config list")
        names.add(config.name)
        if _is_relative(config.base_path):
            raise invalid_argument(
                f"Expected model {config.name} to have an absolute path or URI; got base_path()={config.base_path}"
            )
        if _platform(config) != PLATFORM:
            raise invalid_argument(f"Model {config.name} requests unsupported platform {_platform(config)}")


def _platform(config: Any) -> str:
    if config.model_type:
        if config.model_platform:
            raise invalid_argument(
                "Illegal setting both ModelServerConfig::model_type (deprecated) and "
                f"ModelServerConfig::model_platform, model name is {config.name}"
            )
        if config.model_type != _TENSORFLOW_TYPE:
            raise invalid_argument(f"ModelServerConfig::model_type choice {config.model_type} not supported.")
        return PLATFORM
    if not config.model_platform:
        raise invalid_argument(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {config.name}"
        )
    return str(config.model_platform)


def _is_relative(path: str) -> bool:
    return not path.startswith("/") and re.match(r"[a-zA-Z][0-9a-zA-Z.]*://", path) is None


def labels_of(new: Any, old: Labels, is_available: Callable[[str, int], bool], allow_unavailable: bool) -> Labels:
    """The labels that a config assigns; each must point to an available version.

    With `allow_unavailable`, a new label may also point to a version that is not available yet.

    Raises:
        StatusError: FAILED_PRECONDITION, a label points at a version that is not available.
    """
    labels: dict[str, dict[str, int]] = {}
    for config in new.model_config_list.config:
        for label, version in sorted(config.version_labels.items()):
            unmoved = old.get(config.name, {}).get(label, version) == version
            if not is_available(config.name, version) and not (allow_unavailable and unmoved):
                raise StatusError(
                    Code.FAILED_PRECONDITION,
                    f"Request to assign label to version {version} of model {config.name}, which is not currently "
                    "available for inference",
                )
            labels.setdefault(config.name, {})[label] = version
    return labels
