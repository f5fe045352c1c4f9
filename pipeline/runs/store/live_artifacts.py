"""Which artifacts of TFX's store are still those of a former run. No TensorFlow, no TFX."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.paths import Paths
from pipeline.runs.store import metadata_check


def live_artifacts(paths: Paths, numbers: Iterable[int]) -> list[list[int]]:
    """Number and time of creation (ms since 1970) of those of the artifacts that are live, ascending.

    The time tells an artifact from one of the same number in a store that was made anew.

    Raises:
        TransomError: the store cannot be read.
    """
    wanted = set(numbers)
    with metadata_check.open_store(paths) as store:
        rows = store.execute(
            "SELECT id, create_time_since_epoch FROM Artifact WHERE state = ? ORDER BY id", (metadata_check.LIVE,)
        ).fetchall()
    return [[number, created] for number, created in rows if number in wanted]
