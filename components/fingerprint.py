"""A fingerprint of what a step runs, so that TFX's cache forgets a step when its code changes, and only then.

TFX hashes a step's parameters and inputs, but no code behind a dotted path. The fingerprint of a module covers

- the module and every module of the four packages that it imports, directly or not, as Python understands it:
  comments, docstrings and layout do not count;
- the data files that lie beside those modules (templates, lists, protobuf descriptors);
- the installed versions of the libraries that those modules name.

So a change in the trainer re-runs the training and not the tokenizer, and one in the server re-runs neither. Libraries
that no module of ours names are left out: TensorFlow's own dependencies, say, would have every update of gRPC train
anew.
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
# They decide when a step runs, not what it makes: this module, and the clients that download what has a digest itself.
_LEFT_OUT = (__name__, "huggingface_hub", "kagglehub")


def fingerprint(*modules: str) -> str:
    """A digest of all that the modules run: the same in every process and installation, whatever the comments say.

    Args:
        modules: modules of the packages ("components.steps.trainer"), or libraries that no import of theirs names
            ("tensorflow_transform", which TFX runs for us).

    Returns:
        32 hexadecimal digits.

    Raises:
        ModuleNotFoundError: there is no such module or library.
    """
    ours = frozenset(name for name in modules if _is_ours(name))
    reached = [_parsed(name) for name in sorted(_reachable(ours))]
    libraries = set(modules).difference(ours).union(*(module.libraries for module in reached))
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
        imports: those of the packages' modules that it imports, anywhere in its source, and its own parents.
        libraries: the first names of all else that it imports, the standard library aside.
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
            todo += _parsed(name).imports
    return frozenset(seen)


@cache
def _parsed(name: str) -> _Module:
    file = _file(name)
    if file is None:
        raise ModuleNotFoundError(name)
    tree = _WithoutWords().visit(ast.parse(file.read_bytes()))
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    named = set(_imports(tree, package))
    ours = {module for module in named if _is_ours(module) and _file(module) is not None}
    # Importing a module runs its packages first.
    ours |= {parent for module in (name, *ours) for parent in _parents(module)}
    others = {module.partition(".")[0] for module in named if not _is_ours(module)}
    digest = hashlib.sha256(ast.dump(tree).encode("utf-8", "surrogatepass")).hexdigest()
    return _Module(
        name, file, frozenset(ours), frozenset(others.difference(sys.stdlib_module_names, _LEFT_OUT)), digest
    )


class _WithoutWords(ast.NodeTransformer):
    """Takes out what changes nothing: docstrings, other bare strings, and imports for type checkers alone."""

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
    """The modules that a module names; some of them may be a module's attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = ".".join(parents[: len(parents) + 1 - node.level]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            # `from models import labels` names a module, `from tflite.host.labels import LabelSpace` does not.
            yield from (module, *(f"{module}.{alias.name}" for alias in node.names))


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] in PACKAGES


def _parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts)))


@cache
def _file(name: str) -> Path | None:
    """The source of a module of the packages, found without importing it; None where there is no such module."""
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
    """Name and digest of each file beside the modules of a package, and in its folders that are no packages.

    Hidden files and what editors leave behind ("name~") are none of the package's.
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
    """ "name version" of the distributions that bring a library; nothing for one that is not installed."""
    if library == "google":  # a dozen distributions share this name; ours is protobuf's
        library = "protobuf"
    try:  # most are named alike, and asking for one is a hundred times faster than reading them all
        return (f"{library} {importlib.metadata.version(library)}",)
    except importlib.metadata.PackageNotFoundError:
        names = sorted(set(_distributions().get(library, ())))
        return tuple(f"{name} {importlib.metadata.version(name)}" for name in names)


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())
