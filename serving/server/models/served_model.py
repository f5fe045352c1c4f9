"""The versions of one configured model: which are to be loaded, and which may go.

Source: `AvailabilityPreservingPolicy` (tensorflow_serving/core/availability_preserving_policy.cc): a version goes only
when one that is asked for is served.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from serving.errors import Code, StatusError
from serving.server.models.served_version import ServedVersion, VersionState

_ON_THE_WAY = (VersionState.START, VersionState.LOADING)


class ServedModel:
    """Belongs to the event loop.

    Attributes:
        config: its `ModelConfig`, None when it is no longer configured.
        versions: every version that was ever asked for, by number.
        available: those that are served.
        latest: the newest of them, None where nothing is served.
        has_served: whether there ever was one.
        problem: why the base path could not be read last time, empty where it could.
        awaited: whether no version has been found since its configuration began to name other ones. What was served
            before then still is.
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
        """Takes note of which versions there should be.

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

    def superfluous(self) -> list[ServedVersion]:
        """The served versions that may go: those not asked for, but for the newest where nothing else is served."""
        unwanted = [version for _, version in sorted(self.available.items()) if not version.aspired]
        is_asked_for = any(version.aspired for version in self.versions.values())
        if not is_asked_for or any(version.aspired for version in self.available.values()):
            return unwanted
        return unwanted[:-1]

    def update(self) -> None:
        """Finds again what is served, after a version's state has changed."""
        self.available = {n: one for n, one in sorted(self.versions.items()) if one.state is VersionState.AVAILABLE}
        self.latest = next(reversed(self.available.values()), None)
        self.has_served = self.has_served or self.latest is not None

    @property
    def settled(self) -> bool:
        """Whether each version has been loaded, or has failed at least once. One that is asked for again while it is
        unloaded is loaded anew."""
        on_the_way = [
            version
            for version in self.versions.values()
            if version.state in _ON_THE_WAY or (version.state is VersionState.UNLOADING and version.aspired)
        ]
        return all(version.failure for version in on_the_way)


def differ(old: Any, new: Any) -> bool:
    """Whether two `ModelConfig`s of a model may name different versions."""
    return bool(old.base_path != new.base_path or old.model_version_policy != new.model_version_policy)


def check_served(new: Sequence[ServedModel], changed: Iterable[ServedModel]) -> None:
    """Raises UNKNOWN where a new model is not served, or one that was changed has no versions where they are to be."""
    failed = [_failure(model) for model in new if model.latest is None]
    failed += [_failure(model) for model in changed if model.awaited and model.config and model not in new]
    if failed:
        raise StatusError(Code.UNKNOWN, f"{len(failed)} model(s) did not become available: {{{''.join(failed)}}}")


def _failure(model: ServedModel) -> str:
    newest = model.versions[max(model.versions)] if model.versions and not model.awaited else None
    error = newest.failure if newest else StatusError(Code.NOT_FOUND, model.problem or "; ".join(model.notes))
    reason = f" due to error: {error.code.name}: {error.message}" if error else ""
    return f"{{{newest or f'{{name: {model.config.name}}}'}{reason}}}, "
