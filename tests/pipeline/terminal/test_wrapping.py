"""Sentences on a terminal: lines end between words, and what is copied stays whole."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from pipeline.terminal.wrapping import terminal_width, wrapped, wrapped_for

WORDS = "    a word and " * 30


@pytest.mark.parametrize("width", [20, 40, 80, 160, 300])
def test_lines_fit_and_lose_nothing(width: int) -> None:
    lines = wrapped(WORDS, width).splitlines()
    assert " ".join(WORDS.split()) == " ".join(" ".join(lines).split())
    assert max(map(len, lines)) <= max(width, 24)
    assert lines[0].startswith("    a")
    assert all(line.startswith("      ") and line[6] != " " for line in lines[1:])


def test_without_a_terminal_a_line_is_a_line() -> None:
    assert wrapped(WORDS, None) == WORDS


def test_a_line_that_fits_stays_as_it_is() -> None:
    assert wrapped("  two  spaces ", 80) == "  two  spaces "


@pytest.mark.parametrize("whole", ["/a/very/long-path/" * 8, "`transom run --set a=b --from Trainer --to Pusher`"])
def test_what_is_copied_stays_whole(whole: str) -> None:
    lines = wrapped(f"to fix: some words before {whole} and some after it", 40).splitlines()
    assert any(whole in line for line in lines)
    assert len(lines) > 1


@pytest.mark.parametrize("columns", [40, 80])
def test_an_error_is_wrapped_on_a_terminal_only(columns: int, repository: Path, tmp_path: Path) -> None:
    project = tmp_path / "t.yaml"
    project.write_text("data: {path: t.csv}\ntrain: {epoch: 1}\n")
    command = [sys.executable, "-m", "pipeline.cli", "run", os.path.relpath(project, repository)]
    plain = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    done = subprocess.run(command, cwd=repository, stdout=theirs, stderr=theirs, check=False)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == plain.returncode == 2
    assert all(len(line) <= columns or len(line.split()) == 1 for line in shown.splitlines()[1:])
    assert shown.split() == plain.stderr.split()
    assert len(shown.splitlines()) > len(plain.stderr.splitlines())


def test_a_stream_that_leads_nowhere_has_no_width() -> None:
    stream = io.StringIO()
    assert terminal_width(stream) is None
    assert wrapped_for(stream, WORDS) == WORDS
    stream.close()
    assert terminal_width(stream) is None
