from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import ConfigError
from pipeline.cli import main
from pipeline.configuration.project_file import find_project_file


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_the_current_folders_file_is_found_and_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "transom.yaml").touch()
    assert find_project_file(None).resolve() == here / "transom.yaml"
    assert f"using {here / 'transom.yaml'}" in capsys.readouterr().err


def test_a_folder_stands_for_the_file_in_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "a b").mkdir()
    (here / "a b" / "transom.yaml").touch()
    for given in (Path("a b"), here / "a b"):
        assert find_project_file(given).resolve() == here / "a b" / "transom.yaml"
        assert "a b/transom.yaml" in capsys.readouterr().err


def test_a_file_is_taken_as_it_is(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert find_project_file(Path("other.yaml")) == Path("other.yaml")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("files", "given", "got", "fix"),
    [
        ((), None, "an empty folder", "transom init YOUR_TABLE"),
        (("reviews.csv", "x.txt"), None, "reviews.csv, x.txt", "transom init reviews.csv"),
        (("other.yml",), None, "other.yml", "did you mean other.yml?"),
        (("sub/transom.yaml",), None, "sub", "did you mean sub/transom.yaml?"),
        (("transom.yaml", "p-out/runs/1/run.json"), "p-out", "runs", "did you mean transom.yaml?"),
    ],
)
def test_where_there_is_none_it_says_what_to_do(
    here: Path, files: tuple[str, ...], given: str | None, got: str, fix: str
) -> None:
    for name in files:
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).touch()
    with pytest.raises(ConfigError) as caught:
        find_project_file(Path(given) if given else None)
    assert str(here / (given or "")).rstrip("/") in caught.value.what
    assert got in caught.value.got
    assert fix in caught.value.fix


@pytest.mark.parametrize("command", ["run", "runs", "compile", "tensorboard"])
def test_every_command_about_a_project_finds_its_file(
    here: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command]) == ConfigError.exit_code
    assert "no transom.yaml in" in capsys.readouterr().err
    (here / "transom.yaml").write_text("data: {path: none.csv}\nnope: 1\n")
    for given in ([], ["."], [str(here)]):
        assert main([command, *given]) == ConfigError.exit_code
        assert "nope" in capsys.readouterr().err


def test_runs_needs_no_argument(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "transom.yaml").write_text("data: {path: none.csv}\n")
    assert main(["runs"]) == 0
    assert "no runs in" in capsys.readouterr().out
