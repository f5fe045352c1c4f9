"""The keys of the configuration, read off its models: which there are at a place, what they are by default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel

from models.config import EncoderConfig, PresetConfig, names_a_preset
from pipeline.config import ProjectConfig


def keys_below(location: Sequence[str], raw: Mapping[str, Any]) -> list[str]:
    """Names of the keys that the configuration knows at a place such as ["train"] or ["kubeflow", "mounts", "0"].

    Args:
        raw: the configuration as it was written, which says which of the two kinds of model is meant.
    """
    groups = {group for place in annotations_at(location) for group in _groups(place)}
    if {EncoderConfig, PresetConfig} <= groups:
        groups = {PresetConfig if names_a_preset(raw.get("model")) else EncoderConfig}
    return sorted({name for group in groups for name in group.model_fields})


def annotations_at(location: Sequence[str]) -> list[Any]:
    """The types that a key may have, one for each of the groups that it may be in; none where there is no such key."""
    places: list[Any] = [ProjectConfig]
    for part in location:
        places = [inner for place in places for inner in _inside(place, part)]
    return places


def value_of(config: BaseModel, key: str) -> Any:
    """The value of a key such as "train.epochs"."""
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def default_of(config: BaseModel, key: str) -> Any:
    """What a key is where the configuration does not give it."""
    group, _, name = key.rpartition(".")
    return type(value_of(config, group) if group else config).model_fields[name].get_default(call_default_factory=True)


def _groups(annotation: Any) -> Iterator[type[BaseModel]]:
    """The groups that a value may be, without those in the lists and maps that it may be."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) not in (tuple, dict, list):
        for choice in _choices(annotation):
            yield from _groups(choice)


def _inside(annotation: Any, part: str) -> Iterator[Any]:
    """The types of what stands at a key, a name or an index inside a value of this type."""
    for group in _groups(annotation):
        if part in group.model_fields:
            yield group.model_fields[part].annotation
    if get_origin(annotation) in (tuple, list):
        yield get_args(annotation)[0]
    elif get_origin(annotation) is dict:
        yield get_args(annotation)[1]
    else:
        for choice in _choices(annotation):
            if get_origin(choice) is not None:
                yield from _inside(choice, part)


def _choices(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Annotated:
        return get_args(annotation)[:1]
    return get_args(annotation)
