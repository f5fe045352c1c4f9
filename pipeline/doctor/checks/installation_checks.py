"""The installation: Python, the packages, the lock, damaged files, bytecode, variables (standard library only)."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import sys
import sysconfig
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.doctor.finding import Check, Finding
from pipeline.doctor.locked_packages import differences, find_lock, installed, read_lock

TREE = Path(__file__).resolve().parents[3]
"""The folder of the five packages: a checkout, or site-packages."""
_PACKAGES = ("models", "tflite", "serving", "components", "pipeline")
_MAKE = "`make` in the checkout makes the environment anew"
# What changes how Transom or its libraries work; the values of others may be secret.
_VARIABLES = re.compile(
    r"(TF|XLA|KERAS|JAX|TRANSOM|CUDA|NVIDIA|OMP|MKL|ONEDNN|DNNL|TPU|PYTHON)_?[A-Z0-9_]*"
    r"|(LD_LIBRARY_PATH|LD_PRELOAD|MALLOC_ARENA_MAX|LANG|LC_ALL|TZ|VIRTUAL_ENV|TMPDIR|HF_HUB_OFFLINE|XDG_CACHE_HOME)"
)
_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
_MOST_NAMED, _LONGEST_VALUE = 12, 80


def checks() -> list[Check]:
    return [
        Check("python", python),
        Check("packages", packages),
        Check("lock", lock),
        Check("files", files),
        Check("bytecode", bytecode),
        Check("versions", versions),
        Check("variables", variables),
    ]


def python(found: tuple[int, int, int] = sys.version_info[:3], wanted: str | None = None) -> Iterator[Finding]:
    """The version of Python, against what the installed Transom requires."""
    wanted = _requires_python() if wanted is None else wanted
    text = f"{'.'.join(map(str, found))} in {sys.prefix}"
    if _fits(found, wanted):
        yield Finding("python", "ok", text)
    else:
        yield Finding(
            "python", "error", f"{text}; Transom needs {wanted}", "make PYTHON=python3.11, or install with Python 3.11"
        )


def _requires_python() -> str:
    """What the installed Transom requires, or else the checkout."""
    try:
        return str(importlib.metadata.metadata("transom")["Requires-Python"] or "")
    except importlib.metadata.PackageNotFoundError:
        project = tomllib.loads((TREE / "pyproject.toml").read_text(encoding="utf-8"))
        return str(project["project"]["requires-python"])


def _fits(found: tuple[int, int, int], wanted: str) -> bool:
    """Whether a version fits bounds such as ">=3.11,<3.12"; those of other forms are not judged."""
    for sign, version in re.findall(r"(>=|<)\s*(\d+(?:\.\d+)*)", wanted):
        bound = tuple(map(int, version.split(".")))
        if (found < bound) if sign == ">=" else (found[: len(bound)] >= bound):
            return False
    return True


def packages() -> Iterator[Finding]:
    """Whether the five packages come from one tree: a folder "models" of the user's may hide one."""
    strange = []
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        place = None if spec is None else (spec.origin or next(iter(spec.submodule_search_locations or []), None))
        if place is None or TREE not in Path(place).resolve().parents:
            strange.append(f"{name} ({place or 'not found'})")
    if strange:
        text = f"not all in {TREE}: {', '.join(strange)}"
        remedy = "rename that folder or remove it from PYTHONPATH; or run `transom` from another folder"
        yield Finding("packages", "error", text, remedy)
    elif (version := installed().get("transom")) is None:
        text = f"transom is not installed in this environment, although its packages are found in {TREE}"
        yield Finding("packages", "error", text, f"`uv pip install --no-deps --editable .` there; {_MAKE}")
    else:
        yield Finding("packages", "ok", f"transom {version} in {TREE}")


def lock(tree: Path = TREE, found: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """The installed packages against the lock of the checkout, or without one against Transom's own requirements."""
    found = installed() if found is None else found
    file = find_lock(tree)
    if file is None:
        yield from _requirements(found)
        return
    try:
        locked = read_lock(file)
    except (OSError, ValueError) as error:
        yield Finding(
            "lock", "warn", f"{file} cannot be read: {error}", f"`git checkout -- {file.name}` in {file.parent}"
        )
        return
    missing, other, extra = differences(locked, found)
    install = f"uv pip install --require-hashes --no-deps -r {file}"
    if missing:
        yield Finding("lock", "error", f"not installed: {_named(missing)}", f"`{install}`, or {_MAKE}")
    if other:
        named = [f"{name} {found[name]} (locked: {locked[name].version})" for name in other]
        yield Finding("lock", "warn", f"other versions than were tested together: {_named(named)}", f"`{install}`")
    if extra:
        yield Finding("lock", "note", f"only for development or the demo, and not installed: {_named(extra)}")
    if not missing and not other:
        yield Finding("lock", "ok", f"all {len(locked) - len(extra)} packages of {file} are installed in its versions")


def _requirements(found: Mapping[str, str]) -> Iterator[Finding]:
    """Against the exact versions that Transom's distribution asks for: a wheel does not hold the lock."""
    wrong = []
    wanted = [one for one in importlib.metadata.requires("transom") or () if "extra ==" not in one]
    for one in wanted:
        name, _, version = one.partition(";")[0].strip().partition("==")
        name = re.split(r"[\s<>=!~\[(]", name)[0]
        have = found.get(re.sub(r"[-_.]+", "-", name).lower())
        if have is None or (version and have != version.strip()):
            wrong.append(f"{name} {have or '(not installed)'}" + (f", wanted {version.strip()}" if version else ""))
    remedy = "install the lock of this version of Transom, requirements.lock, with --no-deps"
    if wrong:
        yield Finding("lock", "error", f"other packages than Transom requires: {_named(wrong)}", remedy)
    else:
        text = f"no requirements.lock beside the packages; all {len(wanted)} direct requirements are installed"
        yield Finding("lock", "ok", text)


def files(folder: Path | None = None) -> Iterator[Finding]:
    """The installed packages' files: a full disk or an interrupted copy leaves some short or missing."""
    from models.training.elsewhere.installed_packages import damaged_files

    folder = Path(sysconfig.get_path("purelib")) if folder is None else folder
    damaged = damaged_files(folder)
    if damaged:
        text = f"missing, or not as long as when they were installed: {_named(damaged, 3)}"
        yield Finding("files", "error", text, f"install those packages again; {_MAKE}")
    else:
        yield Finding("files", "ok", f"all files of the packages in {folder} are there")


def bytecode(module: str = "tensorflow") -> Iterator[Finding]:
    """Whether the packages are compiled: without, each start takes half a minute (CPU time) longer."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return
    compiled = Path(importlib.util.cache_from_source(spec.origin))
    if compiled.is_file():
        yield Finding("bytecode", "ok", "the packages are compiled")
        return
    folder = Path(spec.origin).parent.parent
    kept = not sys.dont_write_bytecode and os.access(folder, os.W_OK)
    text = f"{module} is not compiled to bytecode, which makes a start some 20 s slower"
    if kept:
        yield Finding("bytecode", "note", f"{text}; the first run compiles it")
        return
    why = "PYTHONDONTWRITEBYTECODE is set" if sys.dont_write_bytecode else f"{folder} cannot be written"
    yield Finding(
        "bytecode", "warn", f"{text}, every time: {why}", f"`{sys.executable} -m compileall -q -j0 {folder}` once"
    )


def versions() -> Iterator[Finding]:
    """The versions that a bug report needs."""
    from pipeline.version import LIBRARIES

    found = installed()
    yield Finding("versions", "ok", ", ".join(f"{name} {found.get(name, '(not installed)')}" for name in LIBRARIES))


def variables(given: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """The environment's variables that change how things work."""
    given = os.environ if given is None else given
    names = sorted(name for name in given if _VARIABLES.fullmatch(name))
    shown = [f"{name}={'(hidden)' if _SECRET.search(name) else given[name][:_LONGEST_VALUE]}" for name in names]
    yield Finding("variables", "ok", ", ".join(shown) or "none that matters is set")


def _named(names: list[str], most: int = _MOST_NAMED) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
