"""A fingerprint of the code that a step runs, so that TFX's cache is invalid when that code changes, and only then.

TFX hashes a step's parameters and inputs, but no code behind a dotted path. The fingerprint of a module covers

- the module and every module of Transom's packages that it imports, directly or not; comments, docstrings and layout
  are ignored;
- the data files next to those modules (templates, lists, protobuf descriptors);
- the installed versions of the libraries that those modules import.

So a change in the trainer runs the training again but not the tokenizer, and a change in the server runs neither.
Libraries that no module of Transom imports are left out: with TensorFlow's own dependencies, for example, every update
of gRPC would cause a new training.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGES = ("models", "components", "serving", "tflite")
_CODE = (".py", ".pyc", ".pyi")
# These decide when a step runs, or tell where its result comes from, and not the result: this module, the facts of a
# model's lineage, and the clients that download files with their own digest.
_LINEAGE = tuple(f"components.lineage.{module}" for module in ("lineage_facts", "lineage_record", "origin"))
_LEFT_OUT = (__name__, *_LINEAGE, "huggingface_hub", "kagglehub")


def fingerprint(*modules: str) -> str:
    """A digest of all the code that the modules run. It is the same in every process and installation.

    Args:
        modules: modules of the packages ("components.steps.trainer"), or libraries that these do not import
            ("tensorflow_transform", which TFX runs).

    Returns:
        32 hexadecimal digits.

    Raises:
        ModuleNotFoundError: there is no such module or library.
    """
    own = frozenset(name for name in modules if _is_own(name))
    reached = [_parse(name) for name in sorted(_reachable(own))]
    libraries = set(modules).difference(own).union(*(module.libraries for module in reached))
    folders = {module.file.parent for module in reached}
    parts = [f"{module.name} {module.digest}" for module in reached]
    parts += sorted(f"{folder.name} {line}" for folder in folders for line in _data_files(folder))
    parts += sorted({line for name in libraries for line in _versions(name)})
    parts.append(f"python {sys.version_info.major}.{sys.version_info.minor}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class _Module:
    """One module of the packages.

    Attributes:
        imports: the packages' modules that it imports anywhere in its source, and its own parent packages.
        libraries: the top-level names of its other imports, except the standard library.
        digest: of its syntax tree.
    """

    name: str
    file: Path
    imports: frozenset[str]
    libraries: frozenset[str]
    digest: str


@cache
def _reachable(roots: frozenset[str]) -> frozenset[str]:
    seen: set[str] = set()
    todo = list(roots)
    while todo:
        name = todo.pop()
        if name not in seen and name not in _LEFT_OUT:
            seen.add(name)
            todo += _parse(name).imports
    return frozenset(seen)


@cache
def _parse(name: str) -> _Module:
    file = _file(name)
    if file is None:
        raise ModuleNotFoundError(name)
    tree = _WithoutDocstrings().visit(ast.parse(file.read_bytes()))
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    named = set(_imports(tree, package))
    own = {module for module in named if _is_own(module) and _file(module) is not None}
    # Importing a module runs its parent packages first.
    own |= {parent for module in (name, *own) for parent in _parents(module)}
    others = {module.partition(".")[0] for module in named if not _is_own(module)}
    digest = hashlib.sha256(ast.dump(tree).encode("utf-8", "surrogatepass")).hexdigest()
    return _Module(name, file, frozenset(own), frozenset(others.difference(sys.stdlib_module_names, _LEFT_OUT)), digest)


class _WithoutDocstrings(ast.NodeTransformer):
    """Removes nodes without effect: docstrings, other bare strings, and imports for type checkers only."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | None:
        test = node.test
        if getattr(test, "id", getattr(test, "attr", None)) == "TYPE_CHECKING" and not node.orelse:
            return None
        return self.generic_visit(node)


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """The modules that a module imports; some of the names may be attributes of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = ".".join(parents[: len(parents) + 1 - node.level]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            # `from models import runtime` imports a module, `from tflite.host.labels import LabelSpace` does not.
            yield from (module, *(f"{module}.{alias.name}" for alias in node.names))


def _is_own(name: str) -> bool:
    return name.partition(".")[0] in PACKAGES


def _parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts)))


@cache
def _file(name: str) -> Path | None:
    """The source of a module of the packages, found without importing it; None if there is no such module."""
    top, *rest = name.split(".")
    spec = importlib.util.find_spec(top)
    for root in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(root, *rest)
        for file in (path / "__init__.py", path.with_suffix(".py")):
            if file.is_file():
                return file
    return None


@cache
def _data_files(folder: Path) -> tuple[str, ...]:
    """Name and digest of each file next to the modules of a package, and in its folders that are not packages.

    Hidden files and editors' backups ("name~") are ignored.
    """
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "__pycache__")) or path.name.endswith("~"):
            continue
        if path.is_dir() and not (path / "__init__.py").is_file():
            found += [f"{path.name}/{line}" for line in _data_files(path)]
        elif path.is_file() and path.suffix not in _CODE:
            found.append(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}")
    return tuple(found)


@cache
def _versions(library: str) -> tuple[str, ...]:
    """ "name version" of the distributions that provide a library; empty if it is not installed."""
    if library == "google":  # a dozen distributions share this name; Transom uses protobuf's
        library = "protobuf"
    try:  # most have the library's name, and looking up one is a hundred times faster than reading them all
        return (f"{library} {importlib.metadata.version(library)}",)
    except importlib.metadata.PackageNotFoundError:
        names = sorted(set(_distributions().get(library, ())))
        return tuple(f"{name} {importlib.metadata.version(name)}" for name in names)


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())
