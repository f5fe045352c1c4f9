"""What may come next on a command line."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.cli import _parser, main
from pipeline.commands.suggestions import FILES, suggestions
from pipeline.steps import STEPS


def suggested(line: str) -> list[str]:
    """The words suggested for the last word of a line; "FILES" for files."""
    return [one.word if one != FILES else "FILES" for one in suggestions(_parser(), line.split(" "))]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for place in ("x-out/runs/2026-1", "x-out/runs/2026-2", "elsewhere/deep/runs/2025-9", "x-out/runs/empty"):
        Path(place).mkdir(parents=True)
        if not place.endswith("empty"):
            Path(place, "run.json").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ru", ["run", "runs"]),
        ("edge ", ["export", "run", "bench", "inspect"]),
        ("run --from ", list(STEPS)),
        ("run --wait --to Tra", ["Transform", "Trainer"]),
        ("run --from=Ev", ["--from=Evaluator"]),
        ("run --from = Ev", ["Evaluator"]),  # as bash splits it
        ("run --from =", list(STEPS)),
        ("run ", ["FILES"]),
        ("run transom.yaml --js", ["--json"]),
        (
            "run transom.yaml ",
            ["-h", "--help", "-v", "--verbose", "--set", "--from", "--to", "--debug", "--steps", "--json", "--wait"],
        ),
        ("run --json --set a=b --", ["--help", "--verbose", "--set", "--from", "--to", "--debug", "--steps", "--wait"]),
        ("run --set ", []),
        ("-v run --js", ["--json"]),
        ("run -- --js", []),
        ("edge run bundle some te", []),
        ("edge bench one ", ["FILES"]),
        ("backends install jax ", ["torch"]),
        ("deploy render --target ku", ["kubernetes"]),
        ("predict ", ["FILES"]),
        ("predict model --file ", ["FILES"]),
        ("completion z", ["zsh"]),
        ("schema ", ["-h", "--help", "-v", "--verbose", "--markdown"]),
        ("nothing like this ", []),
    ],
)
def test_what_may_come_next(line: str, expected: list[str]) -> None:
    assert suggested(line) == expected


def test_runs_are_named_without_reading_them(project: Path) -> None:
    for line in ("report ", "errors ", "runs "):
        assert suggested(line) == ["last", "2026-2", "2026-1", "FILES"]
    assert suggested("report 2026-1") == ["2026-1", "FILES"]
    (project / "transom.yaml").write_text('output: "elsewhere/deep"  # a comment\n: not [valid')
    assert suggested("report 2025") == ["2025-9", "FILES"]
    (project / "transom.yaml").write_bytes(b"\xff\x00")
    assert suggested("report 2025") == ["FILES"]


def _places(parser: argparse.ArgumentParser, words: str = "") -> Iterator[tuple[argparse.ArgumentParser, str]]:
    yield parser, words
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, one in action.choices.items():
                yield from _places(one, f"{words}{name} ")


def test_every_option_of_every_command_is_suggested_and_every_suggestion_is_taken() -> None:
    for parser, words in _places(_parser()):
        names = {name for action in parser._actions for name in action.option_strings if name != "--words"}
        assert set(suggested(f"{words}-")) == names


@pytest.mark.parametrize(
    "words", [[], [""], ["-"], ["--"], ["=", "="], ["--from=x=y"], ["run", "\x00é\n"], ["-v", "=x"]]
)
def test_no_line_is_an_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "--words", *words]) == 0
    assert all("\t" in line for line in capsys.readouterr().out.splitlines())


def test_a_completion_loads_nothing_heavy(repository: Path) -> None:
    code = (
        "import sys; from pipeline.cli import main; main(['completion', '--words', 'report', '']);"
        "print([name for name in ('tensorflow', 'numpy', 'pydantic', 'yaml', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
