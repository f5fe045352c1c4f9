"""Output reaches every kind of terminal, file and pipe, or the command reports why not."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline.paths import Paths
from pipeline.reports.run_tables import print_summary
from pipeline.runs.run_records import RunRecord
from pipeline.terminal import streams

TEXTS = "é … ✓ 日本 😀 \udcff"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    paths = Paths(tmp_path, tmp_path / "transom-out", tmp_path / "push", tmp_path / "edge")
    (tmp_path / "transom.yaml").write_text("data: {path: none.csv}\n")
    for number in range(300):
        run = RunRecord(name=f"{number:03}", status="pushed", started="", config={}, verdict="blessed: é … 日本 😀")
        run.save(paths)
    return tmp_path


def transom(
    arguments: str, folder: Path, repository: Path, environment: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess[bytes]:
    """Runs a shell command line in which `transom` works."""
    line = f'set -o pipefail; transom() {{ "{sys.executable}" -m pipeline.cli "$@"; }}; {arguments}'
    variables = {**environment, "PYTHONPATH": str(repository)}
    return subprocess.run(["bash", "-c", line], cwd=folder, env=variables, capture_output=True, check=False)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_json_is_json_in_every_encoding(project: Path, repository: Path, encoding: str) -> None:
    done = transom("transom runs --json", project, repository, {**os.environ, "PYTHONIOENCODING": encoding})
    verdicts = {json.loads(line)["verdict"] for line in done.stdout.decode(encoding).splitlines()}
    assert verdicts == {"blessed: é … 日本 😀"}


def test_a_locale_that_knows_ascii_alone_ends_no_command(project: Path, repository: Path) -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    bare |= {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    line = "transom runs; transom run --help; transom predict none 'é 日本'; transom runs no\u00e9.yaml"
    done = transom(line, project, repository, bare)
    assert b"Traceback" not in done.stderr
    assert b"unexpected" not in done.stderr


@pytest.mark.parametrize(
    ("line", "unbuffered"),
    [
        ("transom runs | head -1", ""),
        ("transom runs | head -1", "1"),
        ("transom schema | head -1", ""),
        ("transom runs --json | true", "1"),
    ],
)
def test_a_reader_that_goes_is_no_fault(project: Path, repository: Path, line: str, unbuffered: str) -> None:
    done = transom(line, project, repository, {**os.environ, "PYTHONUNBUFFERED": unbuffered})
    assert (done.returncode, done.stderr.replace(b"using", b"").strip()) == (
        0,
        str(project / "transom.yaml").encode() if "runs" in line else b"",
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_below_the_output_is_said(project: Path, repository: Path, unbuffered: str) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = transom("transom runs > /dev/full", project, repository, environment)
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr
    assert b"our mistake" not in done.stderr
    assert b"Exception ignored" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's device that is always full")
@pytest.mark.parametrize("line", [">/dev/full 2>&1", "<&- >&- 2>&-", "-v 2>/dev/full"])
def test_the_exit_code_tells_where_no_message_can(tmp_path: Path, repository: Path, line: str) -> None:
    assert transom(f"transom runs none.yaml {line}", tmp_path, repository).returncode == 2


def test_a_stream_that_is_closed_is_no_other_file(tmp_path: Path, repository: Path) -> None:
    """Otherwise the lock file would become standard output, and receive what is printed."""
    (tmp_path / "t.csv").write_text("text,label\n" + "".join(f"some words {number},a\n" for number in range(60)))
    (tmp_path / "transom.yaml").write_text("name: p\ndata: {path: t.csv}\n")
    done = transom("transom run >&-", tmp_path, repository)
    assert done.returncode == 4
    assert b"one_class" in done.stderr
    assert (tmp_path / "p-out" / "lock").read_bytes() == b""


def test_a_run_outlasts_the_reader_of_its_lines() -> None:
    read, write = os.pipe()
    stream = streams.open_resilient_output(write, plain=True)
    print("first", file=stream)
    assert os.read(read, 100) == b"first\n"
    os.close(read)
    print("second", file=stream)
    print("third", file=stream)
    stream.close()


def test_a_table_whose_reader_has_gone_does_not_decide_the_exit_code(tmp_path: Path) -> None:
    """Rich would end the process."""
    read, write = os.pipe()
    os.close(read)
    paths = Paths(tmp_path, tmp_path, tmp_path, tmp_path)
    run = RunRecord(name="1", status="pushed", started="", config={}, evaluation={"metrics": {"accuracy": 0.5}})
    stream = os.fdopen(write, "w", buffering=1)
    with pytest.raises(BrokenPipeError):
        print_summary(run, paths, stream, as_json=False)
    with contextlib.suppress(BrokenPipeError):
        stream.close()


@pytest.mark.parametrize(("line", "unbuffered"), [("transom run | true", ""), ("transom run --json | true", "1")])
def test_a_run_whose_reader_has_gone_ends_with_its_own_exit_code(
    tmp_path: Path, repository: Path, line: str, unbuffered: str
) -> None:
    (tmp_path / "t.csv").write_text("text,label\n" + "".join(f"some words {number},a\n" for number in range(60)))
    (tmp_path / "transom.yaml").write_text("data: {path: t.csv}\n")
    done = transom(line, tmp_path, repository, {**os.environ, "PYTHONUNBUFFERED": unbuffered})
    assert done.returncode == 4, done.stderr
    assert b"one_class" in done.stderr
    assert b"ignored" not in done.stderr


@pytest.mark.parametrize("columns", ["1", "1000"])
def test_help_fits_a_terminal_of_any_width(project: Path, repository: Path, columns: str) -> None:
    done = transom("transom --help && transom run --help", project, repository, {**os.environ, "COLUMNS": columns})
    assert done.returncode == 0
    assert b"ServingGate" in done.stdout
