"""The base of every configuration model: frozen, closed to unknown keys. Imports no TensorFlow."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# No file system has a NUL in a name; Python would raise a ValueError wherever such a path is used first.
FilePath = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]


class Settings(BaseModel):
    """A frozen part of the configuration: an unknown key or a wrong type is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
