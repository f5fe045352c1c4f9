"""The log of a run, and what the terminal gets of it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.terminal.run_log import captured_output
from pipeline.terminal.user_messages import forwarded_messages


def test_what_is_said_stands_in_the_log_and_is_heard(tmp_path: Path) -> None:
    notes: list[str] = []
    heard = forwarded_messages(lambda text, step: notes.append(text))
    with captured_output(tmp_path / "log.txt", as_json=False, verbose=False), heard:
        logging.getLogger("transom").info("training continues after step %d", 5)
        logging.getLogger("transom.figures").info("epoch 1/2: eval accuracy 0.5")
        logging.getLogger("transom.progress").info("step 7/9")
    logging.getLogger("transom").info("nobody hears this")
    assert notes == ["training continues after step 5"]
    log = (tmp_path / "log.txt").read_text()
    assert "training continues after step 5" in log
    assert "epoch 1/2" in log
    assert "step 7/9" not in log


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's device that is always full")
def test_a_log_that_finds_no_room_leaves_the_terminal_as_it_was(repository: Path) -> None:
    program = """
import sys
from pathlib import Path
from pipeline.terminal.run_log import captured_output
with captured_output(Path("/dev/full"), False, False):
    sys.stdout.write("a library's words")
print("printed")
print("on stderr", file=sys.stderr)
"""
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=repository, env=buffered, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"printed\n", b"on stderr\n")


@pytest.mark.parametrize("as_json", [True, False])
def test_with_verbose_libraries_are_shown_and_logged(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], as_json: bool
) -> None:
    log = tmp_path / "log.txt"
    with captured_output(log, as_json=as_json, verbose=True):
        os.write(2, b"a library's warning \xff\n")
        os.system("echo a child")
        logging.getLogger("transom").info("a message")
        os.write(2, b"no end of line")
    shown = capfd.readouterr()
    assert shown.err == "a library's warning \ufffd\na child\nno end of line\n"
    assert shown.out.count("a message") == 1
    assert [line.rpartition(" ")[2] for line in log.read_bytes().decode("latin-1").splitlines()] == [
        "\xff",
        "child",
        "message",
        "line",
    ]


def test_with_verbose_only_what_is_new_in_the_log_is_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.txt").write_text("of another run\n")
    with captured_output(tmp_path / "log.txt", as_json=False, verbose=True):
        pass
    assert capfd.readouterr() == ("", "")
