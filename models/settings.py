"""The base of every configuration section: frozen, without unknown keys. Imports no TensorFlow."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

# File names cannot contain NUL; Python would raise a ValueError at the first use of such a path.
FilePath = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]


def _each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = [value for value, count in Counter(values).items() if count > 1]
    if twice:
        raise ValueError(f"each of them once, but {', '.join(map(repr, twice))} occurs more than once")
    return values


EachOnce = AfterValidator(_each_once)
"""For a list in which repeating a value has no meaning and is most likely a mistake."""
UNIQUE = Field(json_schema_extra={"uniqueItems": True})
"""The same, for editors that check a file against the JSON Schema."""


class ConfigSection(BaseModel):
    """A frozen section of the configuration; unknown keys and wrong types are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_boolean_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """In Python `true` equals 1: `freeze: true` would freeze one layer, and `epochs: true` train for one epoch."""
        if isinstance(value, bool) and info.field_name is not None:
            kinds, words = _parts(cls.model_fields[info.field_name].annotation)
            if kinds & {int, float} and bool not in kinds:
                raise ValueError(" or ".join([*map(repr, words), "a number"]))
        return value


def refuse_boolean(value: Any) -> Any:
    """The same for numbers in lists and maps."""
    if isinstance(value, bool):
        raise ValueError("a number")
    return value


def _parts(annotation: Any) -> tuple[set[Any], list[str]]:
    """The plain types in an annotation, and the values of its literals."""
    if get_origin(annotation) is Literal:
        return set(), list(get_args(annotation))
    if not get_args(annotation):
        return {annotation}, []
    kinds: set[Any] = set()
    words: list[str] = []
    for part in get_args(annotation):
        inner_kinds, inner_words = _parts(part)
        kinds, words = kinds | inner_kinds, words + inner_words
    return kinds, words
