from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import ModelError
from pipeline.cli import main
from pipeline.commands.shipping.serve import server_flags
from serving.server.flags import parse, to_options
from serving.server.options import ServerOptions


def options(directory: Path, *flags: str) -> ServerOptions:
    """The options that the server would start with."""
    arguments, adapt = server_flags(directory, flags)
    return adapt(to_options(parse(arguments)))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    for version in ("1", "2"):
        (tmp_path / "serving" / "reviews" / version).mkdir(parents=True)
        (tmp_path / "serving" / "reviews" / version / "saved_model.pb").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("inside", "versions"), [("", []), ("serving/reviews", []), ("serving/reviews/1", [1]), ("serving/reviews/2", [2])]
)
def test_serve_finds_the_model_and_names_it_after_its_folder(output: Path, inside: str, versions: list[int]) -> None:
    chosen = options(output / inside, "--workers", "2", "--port=7")
    config = chosen.models.model_config_list.config[0]
    assert (config.name, config.base_path) == ("reviews", str(output / "serving" / "reviews"))
    assert list(config.model_version_policy.specific.versions) == versions
    assert (chosen.port, chosen.rest_api_port, chosen.workers) == (7, 8501, 2)


def test_flags_override_the_name_and_the_port(output: Path) -> None:
    chosen = options(output, "--model_name=m", "--rest_api_port=0")
    assert chosen.models.model_config_list.config[0].name == "m"
    assert chosen.rest_api_port == 0


@pytest.mark.parametrize("inside", ["", "serving/reviews", "serving/reviews/1"])
def test_only_this_machine_can_connect_and_reload_by_default(output: Path, inside: str) -> None:
    pushed = output / "serving" / "reviews"
    chosen = options(output / inside)
    assert (chosen.host, chosen.reload_from, chosen.reload_roots) == ("127.0.0.1", "loopback", (pushed,))
    chosen = options(output / inside, "--host=0.0.0.0", "--reload_from=nowhere", f"--reload_roots={output}")
    assert (chosen.host, chosen.reload_from, chosen.reload_roots) == ("0.0.0.0", "nowhere", (output,))
    server = to_options(parse([f"--model_base_path={pushed}"]))
    assert (server.host, server.reload_from, server.reload_roots) == ("0.0.0.0", "anywhere", ())


def test_serve_refuses_what_it_cannot_serve(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(output / "none")]) == ModelError.exit_code
    assert main(["serve", str(output), "--model_base_path=/m"]) == ModelError.exit_code
    (output / "saved_model.pb").touch()
    assert main(["serve", str(output)]) == ModelError.exit_code
    assert "a number, which TF Serving takes as the version" in capsys.readouterr().err


def test_a_wrong_flag_is_the_servers_error(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(output), "--prt=1"]) == 2
    assert "did you mean --port?" in capsys.readouterr().err


def test_the_help_says_what_holds_here(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(output), "--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"here: {value})" in printed for value in ("127.0.0.1", "loopback", "8501", "reviews"))


@pytest.mark.parametrize("words", [["--page", "DIR"], ["DIR", "--page"], ["--page", "DIR", "--page=false"]])
def test_the_page_is_offered_only_where_it_is_asked_for(
    output: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    line = [str(output) if word == "DIR" else word for word in words]
    assert main(["serve", *line, "--help"]) == 0
    assert ("at / of --rest_api_port (here: True)" in capsys.readouterr().out) == ("--page=false" not in words)
    assert not options(output).page
    assert options(output, "--page").page


def test_only_the_folder_is_missing_where_nothing_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve"])
    assert "required: PUSH_DIR\n" in capsys.readouterr().err
