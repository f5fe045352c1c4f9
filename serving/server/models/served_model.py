"""The versions of one configured model: which to load, and which may be unloaded.

Source: `AvailabilityPreservingPolicy` (tensorflow_serving/core/availability_preserving_policy.cc): a version is only
unloaded when an aspired one is served.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from serving.errors import Code, StatusError
from serving.server.models.served_version import ServedVersion, VersionState
from serving.server.models.version_sources import Scan

_log = logging.getLogger(__name__)

_ON_THE_WAY = (VersionState.START, VersionState.LOADING)


class ServedModel:
    """One configured model. Use it only in the event loop.

    Attributes:
        config: its `ModelConfig`, None when it is no longer configured.
        versions: all versions that were ever aspired, by number.
        available: the served versions.
        latest: the newest of them, None if there is none.
        has_served: whether a version was ever available.
        problem: why the base path could not be read last time, else empty.
        notes: warnings of the last scan.
        awaited: whether no version has been found since the configuration last changed. Older versions stay served.
    """

    def __init__(self, config: Any) -> None:
        self.config: Any = config
        self.awaited = True
        self.versions: dict[int, ServedVersion] = {}
        self.available: dict[int, ServedVersion] = {}
        self.latest: ServedVersion | None = None
        self.has_served = False
        self.problem = ""
        self.notes: list[str] = []

    def aspire(self, aspired: Mapping[int, Path], make: Callable[[int, Path], ServedVersion]) -> list[ServedVersion]:
        """Records which versions should be served.

        Returns:
            The versions to load, newest first.
        """
        new = []
        for number in sorted(aspired, reverse=True):
            known = self.versions.get(number)
            if known is None or (known.state is VersionState.END and (known.error is None or not known.aspired)):
                self.versions[number] = make(number, aspired[number])
                new.append(self.versions[number])
            else:
                known.aspired, known.path = True, aspired[number]
        for number, version in self.versions.items():
            if number not in aspired:
                version.aspired = False
        return new

    def apply_scan(self, scan: Scan) -> dict[int, Path] | None:
        """Logs the problems of a scan that are new; returns the versions to aspire, None to change nothing."""
        if isinstance(scan, StatusError):
            if scan.message != self.problem:
                _log.error("FileSystemStoragePathSource encountered a filesystem access error: %s", scan.message)
            self.problem = scan.message
            return None
        aspired, notes = scan
        for note in set(notes).difference(self.notes):
            _log.warning("%s", note)
        self.problem, self.notes = "", notes
        if not aspired and self.awaited:
            return None
        self.awaited = False
        return aspired

    def superfluous(self) -> list[ServedVersion]:
        """The served versions to unload: those not aspired, except the newest if no other version is served."""
        unwanted = [version for _, version in sorted(self.available.items()) if not version.aspired]
        is_aspired = any(version.aspired for version in self.versions.values())
        if not is_aspired or any(version.aspired for version in self.available.values()):
            return unwanted
        return unwanted[:-1]

    def update(self) -> None:
        """Updates the available versions after a change of state."""
        self.available = {n: one for n, one in sorted(self.versions.items()) if one.state is VersionState.AVAILABLE}
        self.latest = next(reversed(self.available.values()), None)
        self.has_served = self.has_served or self.latest is not None

    def selects_other_versions(self, config: Any) -> bool:
        """Whether a new `ModelConfig` may select other versions."""
        old = self.config
        return bool(old.base_path != config.base_path or old.model_version_policy != config.model_version_policy)

    @property
    def settled(self) -> bool:
        """Whether every version has been loaded or has failed at least once. A version that is aspired again while it
        unloads will be loaded again."""
        on_the_way = [
            version
            for version in self.versions.values()
            if version.state in _ON_THE_WAY or (version.state is VersionState.UNLOADING and version.aspired)
        ]
        return all(version.failure for version in on_the_way)


def check_served(new: Sequence[ServedModel], changed: Iterable[ServedModel]) -> None:
    """Raises UNKNOWN if a new model is not served or a changed one has no versions in its new place."""
    failed = [_failure(model) for model in new if model.latest is None]
    failed += [_failure(model) for model in changed if model.awaited and model.config and model not in new]
    if failed:
        raise StatusError(Code.UNKNOWN, f"{len(failed)} model(s) did not become available: {{{''.join(failed)}}}")


def _failure(model: ServedModel) -> str:
    newest = model.versions[max(model.versions)] if model.versions and not model.awaited else None
    error = newest.failure if newest else StatusError(Code.NOT_FOUND, model.problem or "; ".join(model.notes))
    reason = f" due to error: {error.code.name}: {error.message}" if error else ""
    return f"{{{newest or f'{{name: {model.config.name}}}'}{reason}}}, "
