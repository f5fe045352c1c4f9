"""The scripts of docs/site as modules."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from documents import REPOSITORY


def site_script(name: str) -> ModuleType:
    """A script, without its main part."""
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "docs" / "site" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module
