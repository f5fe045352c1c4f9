"""A fingerprint of the code that a step runs, so that TFX's cache forgets a step when its code changes.

TFX hashes a step's parameters and inputs, but no code behind a dotted path. The fingerprint covers the
module and every module of the five packages that it imports, directly or not: a change in the trainer
re-runs the training and not the tokenizer.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from functools import cache
from pathlib import Path

PACKAGES = ("models", "components", "serving", "tflite")


def fingerprint(*modules: str) -> str:
    """Hexadecimal SHA-256 over the sources that the modules ("components.trainer") reach within the packages."""
    digest = hashlib.sha256()
    for name in sorted(_reachable(frozenset(modules))):
        digest.update(name.encode())
        digest.update(_source(name).read_bytes())
    return digest.hexdigest()[:32]


@cache
def _reachable(roots: frozenset[str]) -> frozenset[str]:
    seen: set[str] = set()
    todo = list(roots)
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        todo += _imports(name)
    return frozenset(seen)


def _imports(name: str) -> list[str]:
    """Modules of the packages that one module imports, anywhere in its source."""
    found = []
    for node in ast.walk(ast.parse(_source(name).read_bytes())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from models import labels` names a module, `from models.labels import LabelSpace` does not.
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [module for module in found if module.partition(".")[0] in PACKAGES and _exists(module)]


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the parent is a module, so the name is one of its attributes
        return False


def _source(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(name)
    return Path(spec.origin)
