"""`--set KEY=VALUE`: sets a key to the value after the "=".

A text key takes VALUE exactly as written, without comments, quotes or lists. Any other key (a number, true or false, a
list, a group) takes VALUE as it would be in the file. A key that may be either takes a list or a group if VALUE begins
and ends with its brackets, otherwise a text. `null` or an empty VALUE resets an optional key to its default.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from models.errors import ConfigError
from pipeline.configuration.setting_keys import annotations_at, choices
from pipeline.configuration.yaml_text import YamlError, read_value


def apply_override(raw: dict[str, Any], override: str) -> None:
    """Sets one "key.path=value" in the content of a file.

    Raises:
        ConfigError: it names no key, or its value is not valid for the key.
    """
    key, separator, value = override.partition("=")
    key = key.strip()
    if not separator or not all(key.split(".")):
        raise ConfigError("--set", got=_shown(override), expected="KEY=VALUE, such as train.epochs=3")
    *parents, last = key.split(".")
    group = raw
    for name in parents:
        if group.get(name) is None:
            group[name] = {}
        group = group[name]
        if not isinstance(group, dict):
            raise ConfigError(f"--set {key}", got=f"{name} is not a group of keys", expected="the path of a key")
    group[last] = _value(key, value)


def _value(key: str, value: str) -> Any:
    kinds = {kind for annotation in annotations_at(key.split(".")) for kind in _kinds(annotation)}
    if value in ("", "null") and (type(None) in kinds or not kinds):
        return None
    others = kinds - {str, type(None)}
    if kinds and (str not in kinds or (bool in kinds and value.strip() in ("true", "false"))):
        return _read(key, value)
    # A text that only begins like a list is still a text: "[old] reviews.csv".
    if others and value.strip()[:1] + value.strip()[-1:] in ("[]", "{}"):
        with contextlib.suppress(YamlError):
            return read_value(value)
    return value  # also for an unknown key, which is reported later


def _read(key: str, value: str) -> Any:
    try:
        return read_value(value)
    except YamlError as error:
        raise ConfigError(
            f"--set {key}",
            got=f"{_shown(value)}: {error}",
            expected="a value as in the file: 3, true, [a, b], {a: 1}",
            fix='put a text in a list or a group into double quotes: ["a: b", "#1"]',
        ) from None


def _kinds(annotation: Any) -> Iterator[type]:
    """The basic types that an annotation allows: str, NoneType, dict (a group), list, or another type."""
    for choice in choices(annotation):
        origin = get_origin(choice)
        if origin is Literal:
            yield from {type(value) for value in get_args(choice)}
        elif origin in (tuple, list):
            yield list
        elif origin is dict:
            yield dict
        elif isinstance(choice, type):
            yield dict if issubclass(choice, BaseModel) else choice


def _shown(value: str) -> str:
    return repr(value if len(value) <= 100 else f"{value[:100]}…")
