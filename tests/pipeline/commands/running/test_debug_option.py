"""The options of `transom run --debug`."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.cli import main


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--debug", "--from", "Trainer"], "--from or --to"),
        (["--debug", "--to", "Transform"], "--from or --to"),
        (["--steps", "3"], "no --debug"),
        (["--debug", "--steps", "0"], "a number from 1"),
    ],
)
def test_options_that_do_not_go_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], expected: str
) -> None:
    (tmp_path / "transom.yaml").write_text("data: {path: none.csv}\n")
    try:
        code = main(["run", str(tmp_path), *options])
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == 2
    assert expected in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["transom.yaml"]


def test_an_error_before_the_training_is_that_of_any_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "transom.yaml").write_text("data: {path: none.csv}\n")
    assert main(["run", str(tmp_path), "--debug"]) == 3
    shown = capsys.readouterr()
    assert "none.csv" in shown.err
    assert "Traceback" not in shown.err
