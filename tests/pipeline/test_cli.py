from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from components.config import Severity
from models.errors import ConfigError
from pipeline.cli import main
from pipeline.config import ProjectConfig
from pipeline.schema import json_schema, markdown

HELP = """
import sys
from pipeline.cli import main
try:
    main(["--help"])
except SystemExit:
    print([name for name in ("tensorflow", "pydantic", "yaml", "rich") if name in sys.modules])
"""
COMMANDS = ("init", "run", "predict", "serve", "runs", "schema", "tensorboard")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert "usage: transom" in capsys.readouterr().out


def test_help_loads_neither_tensorflow_nor_pydantic(repository: Path) -> None:
    done = subprocess.run([sys.executable, "-c", HELP], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_error_is_one_screen_and_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(tmp_path / "none.yaml")]) == ConfigError.exit_code
    told = capsys.readouterr().err
    assert "no such file" in told
    assert "Traceback" not in told


def test_the_schema_is_the_configurations(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert set(schema["properties"]) == set(ProjectConfig.model_fields)
    assert json_schema().startswith("{")


def test_every_key_has_its_meaning() -> None:
    schema = json.loads(json_schema())
    for name, definition in schema["$defs"].items():
        for key, field in definition["properties"].items():
            assert "description" in field or "$ref" in field, f"{name}.{key}"
    assert str(Severity) not in markdown()


def test_the_reference_in_the_docs_is_up_to_date(repository: Path) -> None:
    written = (repository / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert written == markdown() + "\n", "run: make docs"


def test_predict_without_a_model_says_what_was_looked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(tmp_path), "text"]) != 0
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["a", "b", "--pair", "c"], ["a", "--file", "x"]])
def test_predict_refuses_what_does_not_fit(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", ".", *arguments]) == ConfigError.exit_code
    assert "transom predict" in capsys.readouterr().err
