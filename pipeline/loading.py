"""Reading `transom.yaml`: YAML and `--set` overrides into the typed configuration, with errors that teach."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from components.config import SplitsConfig, ThresholdConfig
from models.config import EncoderConfig, PresetConfig
from models.errors import ConfigError
from pipeline.config import ProjectConfig


def load(path: Path, overrides: Iterable[str] = ()) -> ProjectConfig:
    """The configuration in `path`, with overrides such as "train.epochs=3" applied in their order.

    Relative paths in it stay as written: `pipeline.paths` resolves them against the file's folder.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or does not describe a project.
    """
    raw = _parse(path)
    for override in overrides:
        _apply(raw, override)
    try:
        return ProjectConfig.model_validate(raw)
    except ValidationError as error:
        raise _teach(path, raw, error) from None


def _parse(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"configuration {path}",
            got="no such file",
            expected="a YAML file",
            fix="`transom init YOUR_TABLE` writes one",
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"configuration {path}", got=f"a byte that is not UTF-8 at offset {error.start}", expected="UTF-8 text"
        ) from None
    except OSError as error:
        raise ConfigError(f"configuration {path}", got=error.strerror or str(error), expected="a file") from None
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"configuration {path}", got=f"not YAML: {error}", expected="YAML") from None
    if not isinstance(raw, dict):
        raise ConfigError(
            f"configuration {path}",
            got="nothing" if raw is None else f"a {type(raw).__name__}",
            expected="keys such as `data:` and `task:`",
            fix="`transom schema` prints every key; `transom init YOUR_TABLE` writes a file to start from",
        )
    return raw


def _apply(raw: dict[str, Any], override: str) -> None:
    """Sets one "key.path=value" in `raw`; the value is read as YAML."""
    key, separator, value = override.partition("=")
    if not separator or not key.strip():
        raise ConfigError("--set", got=repr(override), expected="KEY=VALUE, such as train.epochs=3")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(f"--set {key}", got=repr(value), expected="a YAML value; quote what is a text") from None
    *parents, last = key.strip().split(".")
    place = raw
    for name in parents:
        if place.get(name) is None:
            place[name] = {}
        place = place[name]
        if not isinstance(place, dict):
            raise ConfigError(f"--set {key}", got=f"{name} is not a group of keys", expected="the path of a key")
    place[last] = parsed


def _teach(path: Path, raw: dict[str, Any], error: ValidationError) -> ConfigError:
    """All problems of a configuration in one error, each with the key's path, the value got and what was expected."""
    problems = [_problem(raw, detail) for detail in error.errors(include_url=False)]
    if len(problems) == 1:
        what, got, expected, fix = problems[0]
        return ConfigError(f"{path}: {what}", got=got, expected=expected, fix=fix)
    lines = [
        f"{what}: got {got}" + (f"; expected {expected}" if expected else "") + (f"; {fix}" if fix else "")
        for what, got, expected, fix in problems
    ]
    return ConfigError(f"{path}: {len(lines)} keys are wrong\n" + "\n".join(f"  - {line}" for line in lines))


def _problem(raw: dict[str, Any], detail: ErrorDetails) -> tuple[str, str, str, str]:
    # The tag of the `model` union ("preset", "encoder") is a part of pydantic's location, not of the file.
    location = [str(part) for part in detail["loc"]]
    if location[:1] == ["model"] and location[1:2] in (["preset"], ["encoder"]):
        location = ["model", *location[2:]]
    key = ".".join(location) or "the configuration"
    kind, message = detail["type"], detail["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        known = keys_below(location[:-1], raw)
        close = difflib.get_close_matches(location[-1], known, n=1)
        fix = f"did you mean `{close[0]}`?" if close else ""
        return key, "a key that Transom does not know", "one of " + ", ".join(known), fix
    if kind == "missing":
        return key, "no such key", "this key", "`transom schema` says what it holds"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return f"{key}.type", repr((raw.get("model") or {}).get("type")), "encoder or preset", ""
    value = "" if kind == "value_error" and isinstance(detail["input"], dict) else repr(detail["input"])
    return key, value[:200] or message, message if value else "", ""


def keys_below(location: list[str], raw: dict[str, Any]) -> list[str]:
    """Names of the keys that the configuration knows at a place such as ["train"]."""
    chosen = raw.get("model")
    preset = isinstance(chosen, dict) and (chosen.get("type") == "preset" or "preset" in chosen)
    places: dict[str, type[BaseModel]] = {
        name: field.annotation
        for name, field in ProjectConfig.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    places |= {"": ProjectConfig, "model": PresetConfig if preset else EncoderConfig, "data.splits": SplitsConfig}
    path = ".".join(location)
    found = ThresholdConfig if path.startswith("evaluation.thresholds.") else places[path]
    return sorted(found.model_fields)
