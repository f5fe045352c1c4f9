"""Losses from TensorBoard's files: continued trainings, many steps, damaged files, none."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.report.training_losses import read_losses
from models.training.training_report import TensorBoardWriter


def write(folder: Path, losses: dict[int, float]) -> None:
    writer = TensorBoardWriter(folder)
    for step, loss in losses.items():
        writer.write("train", {"loss": loss, "tokens_per_second": 1.0}, step)
    writer.close()


def test_losses_are_in_the_order_of_their_steps_also_of_a_continued_training(tmp_path: Path) -> None:
    write(tmp_path, {1: 0.9, 2: 0.8, 3: 0.7})
    write(tmp_path, {3: 0.6, 4: 0.5})
    found = read_losses(tmp_path / "train")
    assert [step for step, _ in found] == [1, 2, 3, 4]
    assert [loss for _, loss in found][:2] == pytest.approx([0.9, 0.8])


def test_many_steps_are_thinned_to_means(tmp_path: Path) -> None:
    write(tmp_path, {step: float(step % 2) for step in range(1, 1001)})
    found = read_losses(tmp_path / "train")
    assert len(found) == 200
    assert found[-1] == (1000, pytest.approx(0.5, abs=0.1))


def test_a_damaged_file_gives_what_can_be_read(tmp_path: Path) -> None:
    write(tmp_path, dict.fromkeys(range(1, 20), 0.5))
    (file,) = (tmp_path / "train").iterdir()
    file.write_bytes(file.read_bytes()[:-30] + b"damaged")
    assert 5 < len(read_losses(tmp_path / "train")) < 20
    assert read_losses(tmp_path / "nothing") == []
