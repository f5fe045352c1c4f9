"""The local runner reports every step's begin and end to its listener."""

from __future__ import annotations

from pathlib import Path

import pytest
from recording_listener import RecordingListener
from tfx.orchestration import metadata
from tfx.orchestration.pipeline import Pipeline

from components.steps.live_model import LiveModel
from pipeline.runs.local import local_runner

# TFX uses a deprecated API of protobuf.
pytestmark = pytest.mark.filterwarnings("ignore:label:DeprecationWarning")


def _pipeline(folder: Path) -> Pipeline:
    return Pipeline(
        pipeline_name="p",
        pipeline_root=str(folder / "artifacts"),
        components=[LiveModel(directory=str(folder / "push"), version=None)],
        enable_cache=True,
        metadata_connection_config=metadata.sqlite_metadata_connection_config(str(folder / "metadata.sqlite")),
    )


def test_a_step_is_done_then_cached(tmp_path: Path) -> None:
    listener, outputs = RecordingListener(), local_runner.Outputs()
    for _ in range(2):
        local_runner.run(_pipeline(tmp_path), listener, outputs)
    assert listener.lines == ["LiveModel started", "LiveModel done", "LiveModel started", "LiveModel cached"]
    assert Path(outputs["LiveModel"]["live_model"].uri).is_dir()


def test_a_step_whose_results_cannot_be_kept_has_ended_too(tmp_path: Path) -> None:
    """Otherwise its line on the terminal would continue, and the record would show it as running."""
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / ".files").touch()
    listener = RecordingListener()
    with pytest.raises(OSError, match=r"\.files"):
        local_runner.run(_pipeline(tmp_path), listener, {})
    assert listener.lines == ["LiveModel started", "LiveModel failed"]
