"""The keys of the configuration, from its models: their names, types, values, defaults and problems."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from models.config import EncoderConfig, PresetConfig, names_a_preset
from pipeline.config import ProjectConfig


@dataclass(frozen=True)
class Problem:
    """The problem of one key; `message` replaces the other three if several keys of a group contradict each other."""

    key: str
    got: str = ""
    expected: str = ""
    fix: str = ""
    message: str = ""


def as_written(value: Any) -> str:
    """A value as in the file: YAML's `true` rather than Python's True."""
    return str(value).lower() if isinstance(value, bool) else repr(value)


def keys_below(location: Sequence[str], raw: Mapping[str, Any]) -> list[str]:
    """Names of the keys below a location such as ["train"] or ["kubeflow", "mounts", "0"].

    Args:
        raw: the content of the file, which determines the kind of model.
    """
    groups = {group for annotation in annotations_at(location) for group in _groups(annotation)}
    if {EncoderConfig, PresetConfig} <= groups:
        groups = {PresetConfig if names_a_preset(raw.get("model")) else EncoderConfig}
    return sorted({name for group in groups for name in group.model_fields})


def annotations_at(location: Sequence[str]) -> list[Any]:
    """The types of a key, one for each group that it may be in; none if there is no such key."""
    annotations: list[Any] = [ProjectConfig]
    for part in location:
        annotations = [inner for annotation in annotations for inner in _inside(annotation, part)]
    return annotations


def value_of(config: BaseModel, key: str) -> Any:
    """The value of a key such as "train.epochs"."""
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def default_of(config: BaseModel, key: str) -> Any:
    group, _, name = key.rpartition(".")
    return type(value_of(config, group) if group else config).model_fields[name].get_default(call_default_factory=True)


def _groups(annotation: Any) -> Iterator[type[BaseModel]]:
    """The groups that a value may be, but not those inside its lists and maps."""
    for choice in choices(annotation):
        if isinstance(choice, type) and issubclass(choice, BaseModel):
            yield choice


def _inside(annotation: Any, part: str) -> Iterator[Any]:
    """The types of a key, name or index inside a value of this type."""
    for group in _groups(annotation):
        if part in group.model_fields:
            yield group.model_fields[part].annotation
    for choice in choices(annotation):
        if get_origin(choice) in (tuple, list):
            yield get_args(choice)[0]
        elif get_origin(choice) is dict:
            yield get_args(choice)[1]


def choices(annotation: Any) -> Iterator[Any]:
    """The types that an annotation allows, without `Annotated` and unions."""
    if get_origin(annotation) is Annotated:
        yield from choices(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType):
        for choice in get_args(annotation):
            yield from choices(choice)
    else:
        yield annotation
