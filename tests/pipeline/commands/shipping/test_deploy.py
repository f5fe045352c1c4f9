"""`transom deploy` and `transom predict URL`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_serving import FakeServing

from models.errors import ConfigError, ModelError
from pipeline.cli import main


@pytest.fixture
def fake() -> Iterator[FakeServing]:
    with FakeServing() as server:
        yield server


@pytest.mark.parametrize("wire", ["grpc", "rest"])
def test_a_served_model_is_queried_by_its_url(
    wire: str, fake: FakeServing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", f"{fake.url(wire)}/reviews", "a good film", "dull"]) == 0
    assert capsys.readouterr().out == "pos\t0.875\ta good film\nneg\t0.875\tdull\n"
    assert main(["predict", fake.url(wire), "--model", "stars", "--json", "four"]) == 0
    assert json.loads(capsys.readouterr().out) == {"text": "four", "score": 4.0}
    (tmp_path / "pairs.txt").write_text("a\ta\na\tb\n")
    assert main(["predict", f"{fake.url(wire)}/pairs", "--file", str(tmp_path / "pairs.txt")]) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == ["same", "different"]


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["{grpc}", "x"], ConfigError.exit_code, "give --model NAME"),
        (["{grpc}/reviews", "--model", "stars", "x"], ConfigError.exit_code, "'reviews' and 'stars'"),
        (["{rest}/absent", "x"], ModelError.exit_code, "Servable not found for request: Latest(absent)"),
        (["{grpc}/pairs", "x"], ModelError.exit_code, "--pair for each text"),
        (["folder", "--model", "stars", "x"], ConfigError.exit_code, "--model only with a URL"),
    ],
)
def test_what_a_server_cannot_answer_is_one_screen(
    arguments: list[str], code: int, expected: str, fake: FakeServing, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [argument.format(grpc=fake.grpc_url, rest=fake.rest_url) for argument in arguments]
    assert main(["predict", *filled]) == code
    error = capsys.readouterr().err
    assert expected in error
    assert "Traceback" not in error


def test_manifests_are_written_and_a_canary_promoted_in_the_server(
    tmp_path: Path, fake: FakeServing, capsys: pytest.CaptureFixture[str]
) -> None:
    for version in ("1", "2"):
        (tmp_path / "reviews" / version).mkdir(parents=True)
    where = ["--push-dir", str(tmp_path / "reviews"), "--out", str(tmp_path / "out")]
    assert main(["deploy", "render", "--target", "compose", *where, "--canary", "2"]) == 0
    assert "docker compose" in capsys.readouterr().out
    move = ["--model", "reviews", "--config", str(tmp_path / "out")]
    assert main(["deploy", "promote", *move, "--server", fake.grpc_url]) == 0
    assert capsys.readouterr().out == "reviews: stable is version 2 (was 1); loaded: 1, 2\n"
    assert len(fake.reloads) == 1
    assert main(["deploy", "rollback", *move]) == 0
    assert capsys.readouterr().out == "reviews: stable is version 1 (was 2); loaded: 1\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["render", "--target", "compose", "--push-dir", "none", "--out", "out"], "no such folder"),
        (["promote", "--model", "reviews", "--config", "none"], "No such file"),
        (["promote", "--model", "reviews", "--config", "none", "--cert", "a.pem"], "a certificate or a key alone"),
    ],
)
def test_what_cannot_be_deployed_is_one_screen_and_exit_code_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deploy", *arguments]) == ConfigError.exit_code == 2
    assert expected in capsys.readouterr().err
