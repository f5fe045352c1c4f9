"""Rows are counted by several processes, and told about with what is known of their number."""

from __future__ import annotations

import logging
import os
from types import SimpleNamespace

import pytest

from components import row_progress
from components.row_progress import RowProgress, count_as, count_rows, finish_file


def test_the_time_left_of_a_known_number_of_rows() -> None:
    progress = RowProgress(1_000_000)
    progress.add(250_000)
    assert progress.amounts(None).note(" with Keras") == "250,000 of 1,000,000 rows with Keras"
    assert progress.amounts(2500.0).note() == "250,000 of 1,000,000 rows, 5 min 00 s left, 2,500 rows/s"
    assert progress.amounts(2500.0).as_dict() == {
        "unit": "rows",
        "done": 250_000,
        "total": 1_000_000,
        "total_is_estimated": False,
        "per_second": 2500.0,
        "seconds_left": 300.0,
    }


def test_the_number_of_rows_is_estimated_from_files_that_are_finished() -> None:
    progress = RowProgress(size=4_000, processes=2)
    progress.add(100)
    assert progress.amounts(100.0).note() == "100 rows, 100 rows/s"
    progress.finish(1_000)
    progress.use_place(1)
    progress.add(30)
    assert progress.amounts(10.0).note() == "130 of about 400 rows, 27 s left, 10 rows/s"
    progress.add(300)
    assert progress.amounts(10.0).note() == "430 rows, 10 rows/s", "the estimate was too low"


def test_more_rows_than_expected_are_no_time_left() -> None:
    progress = RowProgress(10)
    progress.add(20)
    assert progress.amounts(20.0).note() == "20 of 10 rows, 0 s left, 20 rows/s"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forked processes")
def test_forked_processes_count_too() -> None:
    with row_progress.row_progress(RowProgress(10, processes=3)) as progress:
        for place in (1, 2):
            pid = os.fork()
            if pid == 0:
                count_as(place)
                count_rows(4)
                os._exit(0)
            os.waitpid(pid, 0)
        count_rows(1)
        assert progress.amounts(None).done == 9


def test_rows_are_told_once_a_second_at_the_rate_since_the_first(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "transom.progress")
    times = iter([0.0, 5.0, 5.5, 6.0, 8.0, 9.0])  # five seconds pass before the first row
    monkeypatch.setattr(row_progress, "time", SimpleNamespace(monotonic=lambda: next(times)))
    with row_progress.row_progress(RowProgress(30)):
        for _ in range(5):
            count_rows(3)
    assert caplog.messages == [
        "3 of 30 rows",
        "9 of 30 rows",  # too early for a rate
        "12 of 30 rows, 6 s left, 3 rows/s",
        "15 of 30 rows, 5 s left, 3 rows/s",
    ]


def test_without_anybody_to_tell_nothing_is_counted() -> None:
    count_rows(1)
    finish_file(1)
    count_as(3)
