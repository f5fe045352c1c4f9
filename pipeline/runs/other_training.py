"""What a run may do instead of its training. No TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pipeline.config import ProjectConfig
from pipeline.paths import Paths
from pipeline.runs.run_records import RunRecord
from pipeline.terminal.console import View

if TYPE_CHECKING:
    from pipeline.runs.local.local_runner import Outputs


class OtherTraining(Protocol):
    """Runs in place of the Trainer and the steps after it, in the process of the run.

    Attributes:
        status: of the run, once it has ended.
    """

    status: str

    def __call__(self, config: ProjectConfig, paths: Paths, outputs: Outputs, record: RunRecord, view: View) -> None:
        """Reports to the record and the view; may raise what a step may raise.

        Args:
            outputs: of the steps before it.
        """
