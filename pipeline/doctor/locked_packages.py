"""requirements.lock against what is installed (standard library only)."""

from __future__ import annotations

import contextlib
import importlib.metadata
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE_NAME = "requirements.lock"
_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)\s*(;[^\\]*)?")
_NEEDED_BY = re.compile(r"\s+#\s+(?:via\s+)?(?!via$)([A-Za-z0-9][A-Za-z0-9._-]*)")
_TRANSOM = "transom"


@dataclass
class Locked:
    """A package in the lock.

    Attributes:
        marker: the environments that it is for; empty for all.
        needed_by: the packages that ask for it, normalized; "transom" is the project.
    """

    version: str
    marker: str
    needed_by: list[str]


def find_lock(tree: Path) -> Path | None:
    """The lock in a checkout; None for an installed wheel, which does not hold it."""
    file = tree / FILE_NAME
    return file if file.exists() else None


def read_lock(file: Path) -> dict[str, Locked]:
    """The packages by normalized name, as `uv pip compile` writes them; of several versions the first, for this Python.

    Raises:
        OSError, ValueError: it cannot be read, or pins nothing.
    """
    found: dict[str, Locked] = {}
    last = Locked("", "", [])
    for line in file.read_text(encoding="utf-8").splitlines():
        if pinned := _PINNED.match(line):
            last = Locked(pinned[2], (pinned[3] or "").strip("; "), [])
            found.setdefault(normalized(pinned[1]), last)
        elif needed_by := _NEEDED_BY.match(line):
            last.needed_by.append(normalized(needed_by[1]))
    if not found:
        raise ValueError("it pins no package")
    return found


def installed() -> dict[str, str]:
    """The installed packages' versions by normalized name; of several with one name the one that is imported."""
    found: dict[str, str] = {}
    for each in importlib.metadata.distributions():
        with contextlib.suppress(OSError, TypeError, ValueError):  # an interrupted installation leaves empty folders
            name = each.metadata["Name"]
            found.setdefault(normalized(name), each.version or "(unknown)")
    return found


def differences(
    locked: Mapping[str, Locked], found: Mapping[str, str], optional: frozenset[str] | None = None
) -> tuple[list[str], list[str], list[str]]:
    """The locked packages that are missing, those of other versions, and those missing that only an extra needs.

    A missing package with a marker may be for other systems, and does not count.

    Args:
        optional: the direct requirements of Transom's extras; default: those of the installed Transom.
    """
    optional = _of_extras() if optional is None else optional
    needed = _needed(locked, optional)
    absent = [name for name, one in locked.items() if name not in found and not one.marker]
    missing = [name for name in absent if name in needed]
    other = [name for name, one in locked.items() if name in found and found[name] != one.version]
    return missing, other, [name for name in absent if name not in needed]


def _of_extras() -> frozenset[str]:
    try:
        wanted = importlib.metadata.requires(_TRANSOM) or ()
    except importlib.metadata.PackageNotFoundError:  # told by another check: all count as needed
        wanted = ()
    split = [(normalized(re.split(r"[\s<>=!~;\[(]", one)[0]), "extra ==" in one) for one in wanted]
    return frozenset(name for name, extra in split if extra) - {name for name, extra in split if not extra}


def _needed(locked: Mapping[str, Locked], optional: frozenset[str]) -> set[str]:
    """The packages that Transom needs without its extras, directly or through others."""
    needed = {name for name, one in locked.items() if _TRANSOM in one.needed_by and name not in optional}
    while True:
        more = {name for name, one in locked.items() if name not in needed and needed & set(one.needed_by)}
        if not more:
            return needed
        needed |= more


def normalized(name: str) -> str:
    """See the Python packaging specification, "Names and normalization"."""
    return re.sub(r"[-_.]+", "-", name).lower()
