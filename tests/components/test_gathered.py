"""Results come in the order of the items, and errors as they were raised."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import apache_beam as beam
import pytest

from components.gathered import Gatherer
from models.errors import DataError


def square(number: int) -> int:
    if number < 0:
        raise DataError("a negative number", got=str(number), expected="0 or more", fix="count again")
    return number * number


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("make_pipeline", [None, beam.Pipeline])
def test_results_in_the_order_of_the_items(tmp_path: Path, workers: int, make_pipeline: type | None) -> None:
    gatherer, numbers = Gatherer(str(tmp_path), make_pipeline, workers), [3, 1, 2, *range(20)]
    assert list(gatherer.gather(numbers, square, "numbers")) == [number * number for number in numbers]
    assert list(gatherer.gather([], square, "numbers")) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_passes_with_its_parts(tmp_path: Path, workers: int) -> None:
    with pytest.raises(DataError) as caught:
        list(Gatherer(str(tmp_path), workers=workers).gather([1, -2, 3], square, "numbers"))
    assert (caught.value.got, caught.value.fix) == ("-2", "count again")


PROGRAM = """
import os, sys
from components.gathered import Gatherer

def process(number):
    if number < 0:
        os.kill(os.getpid(), 9)
    return os.getpid()

if __name__ == "__main__":
    numbers = [int(number) for number in sys.argv[2:]]
    print(len(set(Gatherer(sys.argv[1], workers=2).gather(numbers, process, "numbers"))))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")
def test_several_processes_share_the_items_and_a_killed_one_is_an_error(tmp_path: Path, repository: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(PROGRAM)

    def run(*numbers: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(script), str(tmp_path), *numbers]
        environment = {**os.environ, "PYTHONPATH": str(repository)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    assert run("1", "2", "3", "4").stdout == "2\n"
    killed = run("1", "-2", "3", "4")
    assert killed.returncode == 1
    assert "TransomError: a worker process was killed" in killed.stderr
