"""What a check found, and how checks run: one that fails by itself is a finding, too (standard library only)."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from pipeline.config import ProjectConfig
    from pipeline.paths import Paths

Status: TypeAlias = Literal["ok", "note", "warn", "error"]
STATUSES: tuple[Status, ...] = ("ok", "note", "warn", "error")
"""From good to bad: as it should be; worth knowing; may fail, or be slow; will fail."""

_LONGEST = 2000


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        check: what was looked at, in one or two words.
        text: what was found.
        remedy: what to do. A "warn" and an "error" always have one.
    """

    check: str
    status: Status
    text: str
    remedy: str = ""

    def __post_init__(self) -> None:
        assert self.remedy or self.status in ("ok", "note"), f"{self.check}: no remedy for {self.text!r}"


@dataclass(frozen=True)
class Check:
    """A name for people, and a function that yields findings."""

    name: str
    examine: Callable[[], Iterable[Finding]]


@dataclass(frozen=True)
class Project:
    """The project to examine: its configuration was loaded, and its folders need not exist."""

    file: Path
    config: ProjectConfig
    paths: Paths


def findings_of(check: Check) -> Iterator[Finding]:
    """What a check finds. If it raises, what it found before that, and a finding about it."""
    try:
        yield from check.examine()
    except (Exception, SystemExit) as error:  # noqa: BLE001 (the other checks must run, whatever is broken)
        yield Finding(check.name, "warn", *_failure(error))


def from_error(check: str, error: Exception, status: Status = "error") -> Finding:
    """The finding for an error with the four parts of `models.errors` and `serving.errors`."""
    what, got, expected, fix = (str(getattr(error, name, "")) for name in ("what", "got", "expected", "fix"))
    text = what or str(error)
    if got:
        text += f": {got}"
    if fix and expected:
        text += f"; expected {expected}"
    return Finding(check, status, text[:_LONGEST], fix or (f"give {expected}" if expected else "correct it"))


def as_size(size: int) -> str:
    """Bytes for people."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


def _failure(error: BaseException) -> tuple[str, str]:
    """Text and remedy for a check that could not end."""
    if isinstance(error, ModuleNotFoundError):
        return f"could not be checked: {error}", "install what is missing; see the finding about packages"
    if isinstance(error, OSError):
        return f"could not be checked: {error}", "change the permissions, or look into what the system says"
    reason = f"{type(error).__name__}: {error}".strip()[:300]
    if frames := traceback.extract_tb(error.__traceback__):
        reason += f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
    return (
        f"could not be checked: {reason}",
        "report this with the output of `transom doctor --json`: it looks like a bug",
    )
