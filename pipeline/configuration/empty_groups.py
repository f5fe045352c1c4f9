"""A group of `transom.yaml` whose keys are all comments: `train:` with nothing below it."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel


def without_empty_groups(raw: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """The configuration without groups that are empty and have defaults, at any depth; what is not valid stays.

    Args:
        raw: the values as read.
        model: their section.
    """
    kept = {}
    for key, value in raw.items():
        field = model.model_fields.get(key) if isinstance(key, str) else None
        if field is not None and value is None and not field.is_required() and _groups(field.annotation):
            continue
        section = None if field is None else field.annotation
        nested = isinstance(value, dict) and isinstance(section, type) and issubclass(section, BaseModel)
        kept[key] = without_empty_groups(value, section) if nested else value  # type: ignore[arg-type]
    return kept


def _groups(annotation: Any) -> list[type[BaseModel]]:
    """The sections that an annotation names: one, those of a union, or of a list's or a map's values."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [group for part in get_args(annotation) for group in _groups(part)]
