"""Every example of docs/serving.md runs, against the small server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from docs_examples import BLOCKS, missing_program, prepare, run
from fake_serving import FakeServing
from google.protobuf import json_format

from serving.wire.protos import POOL, PredictRequest


@pytest.fixture
def runner(fake: FakeServing, tmp_path: Path, repository: Path) -> Path:
    """A folder to run in, with two pushed versions."""
    fake.versions, fake.labels = [1, 2], {"stable": 1, "canary": 2}
    for version in ("1795342829", "1795429229"):
        (tmp_path / "reviews-out" / "serving" / "reviews" / version).mkdir(parents=True)
    prepare(tmp_path, repository)
    return tmp_path


@pytest.mark.parametrize(
    ("language", "code"),
    [block for block in BLOCKS if "deploy" not in block[1]],
    ids=lambda text: re.sub(r"\W+", " ", text)[:40].strip(),
)
def test_an_example_runs_and_prints_predictions(
    language: str, code: str, runner: Path, fake: FakeServing, repository: Path
) -> None:
    missing = missing_program(language, code)
    if missing:
        pytest.skip(f"no {missing} on this machine")
    printed = run(language, code, runner, (fake.grpc_port, fake.rest_port), repository)
    assert printed.strip()
    if " curl " in f" {code}":
        assert "error" not in json.loads(printed)


def test_the_deployment_of_the_docs_runs_in_their_order(runner: Path, fake: FakeServing, repository: Path) -> None:
    code = "\n".join(code for _, code in BLOCKS if "deploy" in code)
    printed = run("bash", code, runner, (fake.grpc_port, fake.rest_port), repository)
    assert printed.count("stable is version 1795429229 (was 1795342829)") == 1
    assert printed.count("stable is version 1795342829 (was 1795429229)") == 1
    assert (runner / "deploy" / "cluster" / "deployment.yaml").is_file()
    assert (runner / "deploy" / "kserve" / "inferenceservice.yaml").is_file()
    assert len(fake.reloads) == 1


def test_the_request_for_grpcurl_is_the_official_message() -> None:
    (code,) = [code for _, code in BLOCKS if code.startswith("grpcurl")]
    body = re.search(r"-d '(.*?)'", code)
    assert body is not None
    request = json_format.Parse(body[1], PredictRequest(), descriptor_pool=POOL)
    assert request.inputs["text"].string_val[0] == b"so good"


def test_there_are_examples_in_every_language() -> None:
    assert {language for language, _ in BLOCKS} == {"python", "bash", "js"}
    assert len(BLOCKS) >= 15
