from __future__ import annotations

import argparse
import io
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from components.config import Severity
from models.errors import ConfigError, DataError
from pipeline.cli import GROUPS, _parse, _parser, main
from pipeline.config import ProjectConfig
from pipeline.configuration.reference import json_schema, markdown
from pipeline.configuration.yaml_text import read_yaml
from pipeline.predict.text_predictions import read_inputs
from pipeline.steps import STEPS

HELP = """
import sys
from pipeline.cli import main
try:
    main(["--help"])
except SystemExit:
    print([name for name in ("tensorflow", "pydantic", "yaml", "rich") if name in sys.modules])
"""
VERSION = HELP.replace("--help", "--version").replace("except SystemExit:", "finally:")


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parsers of all commands without subcommands."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield parser
    for group in groups:
        for each in group.choices.values():
            yield from _parsers(each)


@pytest.mark.parametrize("parser", _parsers(_parser()), ids=lambda parser: parser.prog)
def test_every_command_has_a_valid_example(parser: argparse.ArgumentParser) -> None:
    shown = parser.format_help()
    assert parser.description
    assert len(parser.description) > 40
    assert all(action.help for action in parser._actions), "an argument without a word of help"
    examples = [line.strip() for line in shown.partition("examples:\n")[2].splitlines()]
    ours = [line for line in examples if line.startswith(parser.prog)]
    assert ours, shown
    for line in ours:
        # Two spaces separate the command from its explanation.
        words = shlex.split(re.split(r"  +| \||  ?>", line)[0])
        assert _parse(words[1:]).parser.prog == parser.prog


def _blocks(repository: Path) -> Iterator[tuple[str, str, str]]:
    """Document, language and text of each code block in the documents."""
    for document in (repository / "README.md", *sorted((repository / "docs").glob("*.md"))):
        for language, text in re.findall(r"^```(\w*)\n(.*?)^```$", document.read_text(encoding="utf-8"), re.S | re.M):
            yield document.name, language, text


def test_every_yaml_of_the_documents_is_a_configuration(repository: Path) -> None:
    found = [(document, read_yaml(text)) for document, language, text in _blocks(repository) if language == "yaml"]
    assert len(found) >= 3
    for document, raw in found:
        assert ProjectConfig.model_validate({"data": {"path": "t.csv"}, **raw}), document


def test_the_help_of_run_lists_the_steps_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line[:3].strip() and line[:2] == "  "]
    assert [line for line in listed if line in STEPS] == list(STEPS)


def test_the_version_is_that_of_the_package(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"transom {version('transom')}\n"
    for arguments in (["--version", "-v"], ["-v", "--version"]):
        assert main(arguments) == 0
        output = capsys.readouterr().out
        assert f"tensorflow {version('tensorflow')}" in output
        assert "not installed" not in output
    done = subprocess.run([sys.executable, "-c", VERSION], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "usage: transom"),
        (["rnu"], "invalid choice: 'rnu'"),
        (["run", "--jsn"], "did you mean --json?"),
        (["runs", "--xyz"], "unrecognized arguments: --xyz"),
        (["runs", "a", "b"], "unrecognized arguments: b"),
        (["predict", "m", "text", "--flie=x"], "did you mean --file?"),
        (["edge", "bench"], "BUNDLE"),
        (["tensorboard", "--port", "x"], "invalid int value"),
    ],
)
def test_wrong_arguments_say_what_was_meant(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    shown = capsys.readouterr()
    assert expected in shown.err
    assert shown.out == ""
    assert (
        f"usage: {' '.join(['transom', *arguments[:1]]) if expected.startswith(('did', 'unr')) else 'transom'}"
        in shown.err
    )


def test_verbose_may_stand_before_the_command_and_behind_it() -> None:
    for arguments in (["-v", "runs"], ["runs", "-v"], ["-v", "runs", "-v"]):
        assert _parse(arguments).verbose
    assert not _parse(["runs"]).verbose


def test_the_help_fits_a_screen_and_groups_every_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 80
    listed = [line for line in lines if re.match(r" {4}\w", line)]
    assert all(re.match(r"    [\w-]+ +\w", line) for line in listed), "a summary that takes two lines"
    assert {line.split()[0] for line in listed} == set(_parser()._get_positional_actions()[0].choices or ())
    assert [title for title in GROUPS if f"  {title}" in lines] == list(GROUPS)


def test_help_loads_neither_tensorflow_nor_pydantic(repository: Path) -> None:
    done = subprocess.run([sys.executable, "-c", HELP], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_error_is_one_screen_and_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(tmp_path / "none.yaml")]) == ConfigError.exit_code
    output = capsys.readouterr().err
    assert "no such file" in output
    assert "Traceback" not in output


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


def test_every_group_is_explained_in_whole_sentences() -> None:
    """The reference shows the whole docstring of each group, which one blank line must not cut short."""
    reference = markdown()
    sections = re.findall(r"^## (.+)\n\n(.*)\n", reference, re.M)
    assert len(sections) == reference.count("\n## ")
    for heading, text in sections:
        assert re.fullmatch(r"[A-Z`].*\.", text), f"{heading}: {text}"
    for group in json.loads(json_schema())["$defs"].values():
        assert f"\n\n{' '.join(group['description'].split())}\n\n" in reference


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
    """A Unicode line separator is part of the text; a carriage return before the line feed is not."""
    file = tmp_path / "texts.txt"
    file.write_bytes("\ufeffone\u2028still\x0bone\r\n\nthree".encode())
    read = read_inputs([], [], file, None)
    assert [(one.text, one.location["line"]) for one in read] == [("one\u2028still\x0bone", 1), ("", 2), ("three", 3)]
    file.write_bytes(b"a\tb\n\nc\td\n")
    assert [(one.text, one.pair) for one in read_inputs([], [], file, None)] == [("a", "b"), ("", ""), ("c", "d")]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_predict_names_the_byte_that_is_not_utf8(tmp_path: Path, mark: bytes) -> None:
    file = tmp_path / "texts.txt"
    file.write_bytes(mark + b"one\ncaf\xe9\n")
    with pytest.raises(DataError, match=rf"line 2: not UTF-8\n  got: byte 0xe9 at byte {len(mark) + 7}"):
        read_inputs([], [], file, None)


def test_predict_reads_standard_input_as_utf8_whatever_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    for content, encoding in (("é\n".encode(), "ascii"), (b"\xff\n", "utf-8")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding=encoding))
        if content == b"\xff\n":
            with pytest.raises(DataError, match="standard input, line 1: not UTF-8"):
                read_inputs([], [], None, None)
        else:
            assert [one.text for one in read_inputs([], [], None, None)] == ["é"]


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
    monkeypatch.setattr("pipeline.configuration.reference.json_schema", Path("/none/such.file").read_text)
    assert main(["schema"]) == 1
    output = capsys.readouterr().err
    assert "transom: /none/such.file" in output
    assert "No such file" in output


def test_a_mistake_of_ours_is_one_screen_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipeline.configuration.reference.json_schema", lambda: 1 / 0)
    assert main(["schema"]) == 1
    assert "unexpected ZeroDivisionError" in capsys.readouterr().err
