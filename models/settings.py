"""The base of every configuration model: frozen, closed to unknown keys. Imports no TensorFlow."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A frozen part of the configuration: an unknown key or a wrong type is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
