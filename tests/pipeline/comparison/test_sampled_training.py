"""A comparison's training: the real child process, here on TensorFlow."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import stored_training

from models.training.progress import Progress
from models.training.token_rows import TokenRows
from pipeline.comparison.sampled_training import SampledTraining


@pytest.mark.parametrize(("steps", "rows"), [(5, 80), (12, 120)])
def test_the_sample_has_rows_for_the_steps_and_the_whole_its_tokens(tmp_path: Path, steps: int, rows: int) -> None:
    sample = _sample(tmp_path, steps)
    assert sample.rows == len(TokenRows.stored(tmp_path / "sample" / "train")) == rows
    assert len(TokenRows.stored(tmp_path / "sample" / "eval")) == 40
    assert sample.tokens == 3 * len(TokenRows.stored(tmp_path / "train").token_ids)


@pytest.mark.slow
def test_a_training_is_measured_and_keeps_no_checkpoint(tmp_path: Path) -> None:
    sample, seen = _sample(tmp_path, 12), list[Progress]()
    measured = sample.run("tensorflow", Path(sys.executable), seen.append)
    assert (measured.framework, measured.precision, measured.xla) == ("tensorflow", "float32", False)
    assert measured.version[0].isdigit()
    assert measured.steps >= 12, "the rows are few, so some come again"
    assert seen[-1].step == measured.steps
    assert measured.tokens_per_second > 0.0
    assert measured.start_seconds > 0.0
    assert measured.first_step_seconds > 0.0
    assert measured.peak_memory_mb > 100.0
    assert measured.eval_loss is not None
    assert measured.whole_seconds is not None
    assert measured.whole_seconds > measured.first_step_seconds
    assert not list(tmp_path.rglob("checkpoint*"))


def _sample(folder: Path, steps: int) -> SampledTraining:
    """Of a tiny encoder's rows, laid out as Transform does."""
    request = stored_training.store(folder)
    for split in ("train", "eval"):
        (folder / "examples" / f"Split-{split}").mkdir(parents=True)
        shutil.move(folder / f"{split}.gz", folder / "examples" / f"Split-{split}")
    return SampledTraining.from_examples(request.config, folder / "examples", folder, folder / "sample", steps)
