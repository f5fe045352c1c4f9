"""Results come in the order of the items, and errors as they were raised."""

from __future__ import annotations

import errno
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
import tensorflow as tf

from components import gathered, row_progress
from components.gathered import Gatherer, in_memory_pipeline
from components.row_progress import count_rows
from models.errors import DataError, TransomError, temporary_cause


def gather(gatherer: Gatherer, numbers: list[int], function: Any = None, rows: int | None = None) -> Iterator[int]:
    return gatherer.gather(numbers, function or square, [10**7] * len(numbers), rows)


@pytest.fixture(autouse=True)
def always_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where TensorFlow has computed in this process: these functions do not."""
    monkeypatch.setattr(gathered, "can_fork", lambda: sys.platform == "linux")


def square(number: int) -> int:
    if number < 0:
        raise DataError("a negative number", got=str(number), expected="0 or more", fix="count again")
    return number * number


def slow_square(number: int) -> int:
    time.sleep(0.5 if number == -3 else 0)
    return square(number)


def sleep(seconds: int) -> int:
    time.sleep(max(seconds, 0))
    return square(seconds)


def count_slowly(number: int) -> int:
    for _ in range(10):
        time.sleep(0.07)
        count_rows(10)
    return number


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("make_pipeline", [None, beam.Pipeline])
def test_results_in_the_order_of_the_items(tmp_path: Path, workers: int, make_pipeline: type | None) -> None:
    gatherer, numbers = Gatherer(str(tmp_path), make_pipeline, workers), [3, 1, 2, *range(20)]
    assert list(gather(gatherer, numbers)) == [number * number for number in numbers]
    assert list(gather(gatherer, [])) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_passes_with_its_parts(tmp_path: Path, workers: int) -> None:
    with pytest.raises(DataError) as caught:
        list(gather(Gatherer(str(tmp_path), workers=workers), [1, -2, 3]))
    assert (caught.value.got, caught.value.fix) == ("-2", "count again")


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("make_pipeline", [None, beam.Pipeline])
def test_of_several_errors_the_first_items_is_raised_however_late_it_comes(
    tmp_path: Path, workers: int, make_pipeline: type | None
) -> None:
    with pytest.raises(DataError) as caught:
        list(gather(Gatherer(str(tmp_path), make_pipeline, workers), [1, 2, -3, -4, -5, 6], slow_square))
    assert caught.value.got == "-3"


def test_what_follows_an_error_is_not_waited_for(tmp_path: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(DataError):
        list(gather(Gatherer(str(tmp_path), workers=2), [-1, 60], sleep))
    assert time.monotonic() - begin < 30


def test_rows_of_all_processes_are_told_with_the_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(row_progress, "_STEADY_S", 0.1)
    caplog.set_level(logging.INFO, "transom.progress")
    assert len(list(gather(Gatherer(str(tmp_path), workers=2), list(range(8)), count_slowly, rows=800))) == 8
    told = [re.fullmatch(r"(\d+) of 800 rows, \d+ s left, \d+ rows/s", text) for text in caplog.messages]
    counts = [int(found[1]) for found in told if found]
    assert len(counts) >= 2
    assert counts == sorted(counts)
    assert counts[-1] > 400


def fail_for_a_moment(number: int) -> int:
    try:
        raise OSError(errno.ESTALE, "Stale file handle")
    except OSError:
        raise DataError("t.csv cannot be read") from None


@pytest.mark.parametrize("workers", [1, 2])
def test_a_fault_of_the_moment_is_known_as_one(tmp_path: Path, workers: int) -> None:
    """Kubeflow tries the step again (`pipeline.kubeflow.attempts`)."""
    with pytest.raises(DataError, match=r"t\.csv") as caught:
        list(gather(Gatherer(str(tmp_path), workers=workers), [1, 2], fail_for_a_moment))
    assert temporary_cause(caught.value) is not None


def test_a_fault_of_the_moment_is_left_to_a_runner_that_tries_again(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t\.csv cannot be read \[while running"):
        list(gather(Gatherer(str(tmp_path), in_memory_pipeline), [1, 2], fail_for_a_moment))
    assert not list(tmp_path.rglob("*-failed"))


def test_what_a_runner_elsewhere_reports_says_where_to_look(tmp_path: Path) -> None:
    def unreachable() -> beam.Pipeline:
        raise RuntimeError("cannot download beam-runners-flink.jar")

    with pytest.raises(TransomError, match="Beam's runner failed") as caught:
        list(gather(Gatherer(str(tmp_path), unreachable), [1, 2]))
    assert caught.value.got == "RuntimeError: cannot download beam-runners-flink.jar"
    assert "docs/data-path.md" in caught.value.fix


def wait(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def test_a_runner_elsewhere_is_watched_by_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "transom.progress")
    monkeypatch.setattr(gathered, "_TELL_S", 0.05)
    listdir, calls = tf.io.gfile.listdir, iter(range(10**6))

    def fail_first(folder: str) -> list[str]:
        if threading.current_thread().name == "progress" and not next(calls):
            raise tf.errors.UnavailableError(None, None, "503")
        return listdir(folder)

    monkeypatch.setattr(tf.io.gfile, "listdir", fail_first)
    list(gather(Gatherer(str(tmp_path), in_memory_pipeline), [0.2, 0.2, 0.2], wait))
    assert {"0 of 3 files", "2 of 3 files"} <= set(caplog.messages)


def process_of(number: int) -> int:
    if number < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")
def test_several_processes_share_the_items_and_a_killed_one_is_an_error(tmp_path: Path) -> None:
    gatherer = Gatherer(str(tmp_path), workers=2)
    processes = set(gather(gatherer, [1, 2, 3, 4], process_of))
    assert len(processes) == 2
    assert os.getpid() not in processes
    with pytest.raises(TransomError, match="a worker process was killed"):
        list(gather(gatherer, [1, -2, 3, 4], process_of))
