"""The training loss of every step, from the Trainer's TensorBoard files."""

from __future__ import annotations

import logging
import sys
import types
from pathlib import Path

_LOG = logging.getLogger(__name__)
_MOST_POINTS = 200
_TAG = "loss"


def read_losses(folder: Path) -> list[tuple[int, float]]:
    """(step, loss) in the order of the steps; of many, the means of as many neighbours as make `_MOST_POINTS`.

    Args:
        folder: with event files of the tag "loss". If it is missing or damaged, the result is what could be read.
    """
    # TensorBoard's own switch: it then reads files without importing TensorFlow.
    sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("notf"))
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util import tensor_util

    found: dict[int, float] = {}
    for file in sorted(folder.glob("*tfevents*")):
        try:
            for event in EventFileLoader(str(file)).Load():
                for value in event.summary.value:
                    if value.tag == _TAG:
                        # The loader turns scalars into tensors.
                        found[event.step] = float(tensor_util.make_ndarray(value.tensor).item())
        except Exception:  # noqa: BLE001 (whatever a damaged file does, the rest of the report is of use)
            _LOG.warning("%s cannot be read to its end", file, exc_info=True)
    return _thinned(sorted(found.items()))


def _thinned(losses: list[tuple[int, float]]) -> list[tuple[int, float]]:
    if len(losses) <= _MOST_POINTS:
        return losses
    size = -(-len(losses) // _MOST_POINTS)
    parts = [losses[begin : begin + size] for begin in range(0, len(losses), size)]
    return [(part[-1][0], sum(loss for _, loss in part) / len(part)) for part in parts]
