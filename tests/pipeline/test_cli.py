from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from components.config import Severity
from models.errors import ConfigError, DataError
from pipeline.cli import main
from pipeline.config import ProjectConfig
from pipeline.predict import _inputs
from pipeline.schema import json_schema, markdown

HELP = """
import sys
from pipeline.cli import main
try:
    main(["--help"])
except SystemExit:
    print([name for name in ("tensorflow", "pydantic", "yaml", "rich") if name in sys.modules])
"""
COMMANDS = ("init", "run", "predict", "serve", "deploy", "edge", "runs", "schema", "tensorboard")


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


def test_predict_reads_lines_as_they_are(tmp_path: Path) -> None:
    """A line separator of Unicode is a character of its text, and a carriage return before the line feed is none."""
    file = tmp_path / "texts.txt"
    file.write_bytes("\ufeffone\u2028still\x0bone\r\n\nthree".encode())
    assert _inputs([], [], file) == (["one\u2028still\x0bone", "", "three"], [])
    file.write_bytes(b"a\tb\nc\td\n")
    assert _inputs([], [], file) == (["a", "c"], ["b", "d"])


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_predict_names_the_byte_that_is_not_utf8(tmp_path: Path, mark: bytes) -> None:
    file = tmp_path / "texts.txt"
    file.write_bytes(mark + b"one\ncaf\xe9\n")
    with pytest.raises(DataError, match=rf"line 2: not UTF-8\n  got: byte 0xe9 at byte {len(mark) + 7}"):
        _inputs([], [], file)


def test_predict_reads_standard_input_as_utf8_whatever_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    for content, encoding in (("é\n".encode(), "ascii"), (b"\xff\n", "utf-8")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding=encoding))
        if content == b"\xff\n":
            with pytest.raises(DataError, match="standard input, line 1: not UTF-8"):
                _inputs([], [], None)
        else:
            assert _inputs([], [], None) == (["é"], [])


def test_any_text_can_be_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    table = tmp_path / "é.csv"
    table.write_text("text,label\n" + "".join(f"a few words {n},{'ab'[n % 2]}\n" for n in range(20)))
    assert main(["init", str(table)]) == 0
    sys.stdout.flush()
    assert b"wrote" in written.getvalue()


def test_a_path_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipeline.schema.json_schema", Path("/none/such.file").read_text)
    assert main(["schema"]) == 1
    told = capsys.readouterr().err
    assert "transom: /none/such.file" in told
    assert "No such file" in told


def test_a_mistake_of_ours_is_one_screen_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipeline.schema.json_schema", lambda: 1 / 0)
    assert main(["schema"]) == 1
    assert "unexpected ZeroDivisionError" in capsys.readouterr().err
