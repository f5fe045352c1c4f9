from __future__ import annotations

import contextlib
import io
import json
import os
import pty
from pathlib import Path

import pytest
from doctor_projects import make_project

from pipeline.doctor.doctor_report import Report
from pipeline.doctor.finding import Finding

FOUND = (
    ("machine", Finding("disk", "ok", "57.9 GB free")),
    ("machine", Finding("disk", "warn", "a long text " * 12, "make room")),
    ("project", Finding("tables", "error", "data.path: \x1b[2J\u202ex.csv\n  - second", "correct it")),
    ("project", Finding("last run", "note", "failed", "read the log")),
)


def printed(stream: io.StringIO, *, as_json: bool = False) -> str:
    report = Report(stream, as_json=as_json)
    for group, finding in FOUND:
        report.waiting("something")
        report.show(group, finding)
    report.clear()
    report.summarize(None, 1, 4.6)
    return stream.getvalue()


def test_a_table_by_subject_of_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = printed(io.StringIO())
    lines = text.splitlines()
    assert lines[:2] == ["machine", "  ✓ disk             57.9 GB free"]
    assert lines[2].startswith("  !                  a long text")
    assert "                     to fix: make room" in lines
    assert "                     read the log" in lines  # a note's: nothing has to be fixed
    assert "project" in lines
    assert lines[-1] == "1 error, 1 warning, 1 note, 1 ok; 5 s"
    assert max(map(len, lines)) <= 80


def test_what_would_change_the_terminal_is_escaped() -> None:
    text = printed(io.StringIO())
    assert "\x1b" not in text
    assert r"\x1b[2J\u202ex.csv" in text


def test_json_has_every_finding_and_a_summary(tmp_path: Path) -> None:
    *found, last = [json.loads(line) for line in printed(io.StringIO(), as_json=True).splitlines()]
    assert [(one["group"], one["status"]) for one in found] == [(group, one.status) for group, one in FOUND]
    assert set(found[0]) == {"group", "check", "status", "text", "remedy"}
    assert last["summary"] == {
        "ok": 1, "note": 1, "warn": 1, "error": 1, "exit_code": 1, "seconds": 4.6, "project": None,
    }  # fmt: skip
    stream = io.StringIO()
    Report(stream, as_json=True).summarize(make_project(tmp_path), 0, 0.0)
    assert json.loads(stream.getvalue())["summary"]["project"] == str(tmp_path / "transom.yaml")


@pytest.mark.parametrize(("shown", "strict", "code"), [(0, True, 0), (1, False, 0), (1, True, 1), (2, False, 1)])
def test_the_exit_code(shown: int, strict: bool, code: int) -> None:
    report = Report(io.StringIO(), as_json=False)
    for group, finding in FOUND[: shown + 1]:
        report.show(group, finding)
    assert report.exit_code(strict=strict) == code


def terminal_output(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    for name, value in {"TERM": "xterm", "NO_COLOR": "", **variables}.items():
        monkeypatch.setenv(name, value)
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        report = Report(stream, as_json=False)
        report.waiting("tensorflow lists its devices")
        report.show(*FOUND[0])
        report.clear()
    output = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal, contextlib.suppress(OSError):  # at the end
        while part := terminal.read(4096):
            output += part
    return output.decode()


def test_on_a_terminal_it_is_coloured_and_shows_what_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    output = terminal_output(monkeypatch)
    assert output.startswith("\r\x1b[2K  … tensorflow lists its devices\r\x1b[2K")
    assert "\x1b[32m✓\x1b[0m disk" in output
    assert "\x1b[32m" not in terminal_output(monkeypatch, NO_COLOR="1")
    assert "\x1b" not in terminal_output(monkeypatch, TERM="dumb")


def test_a_stream_without_marks_gets_plain_ones() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="strict")
    report = Report(stream, as_json=False)
    report.show(*FOUND[0])
    report.show(*FOUND[1])
    assert raw.getvalue().startswith(b"machine\n  + disk ")
