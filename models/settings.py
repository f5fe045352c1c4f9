"""The base of every configuration model: frozen, closed to unknown keys. Imports no TensorFlow."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

# No file system has a NUL in a name; Python would raise a ValueError wherever such a path is used first.
FilePath = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]


def _each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = [value for value, count in Counter(values).items() if count > 1]
    if twice:
        raise ValueError(f"each of them once, and {', '.join(map(repr, twice))} is there more than once")
    return values


EachOnce = AfterValidator(_each_once)
"""For a list in which a value has no more meaning the second time: it is most likely a slip for another one."""
UNIQUE = Field(json_schema_extra={"uniqueItems": True})
"""The same for editors that check a file against the JSON Schema."""


class Settings(BaseModel):
    """A frozen part of the configuration: an unknown key or a wrong type is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Python takes `true` for 1: `freeze: true` would freeze one layer, and `epochs: true` train for one."""
        if isinstance(value, bool) and info.field_name is not None:
            kinds, words = _parts(cls.model_fields[info.field_name].annotation)
            if kinds & {int, float} and bool not in kinds:
                raise ValueError(" or ".join([*map(repr, words), "a number"]))
        return value


def no_truth(value: Any) -> Any:
    """The same for the numbers in lists and maps."""
    if isinstance(value, bool):
        raise ValueError("a number")
    return value


def _parts(annotation: Any) -> tuple[set[Any], list[str]]:
    """The plain types in an annotation, and the words of its literals."""
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
