"""Every example of docs/serving.md runs, against the small server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fake_serving import FakeServing
from google.protobuf import json_format

from serving.protos import POOL, PredictRequest

DOCS = Path(__file__).parents[3] / "docs" / "serving.md"
BLOCKS = re.findall(r"^```(python|bash|js)\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
TOOLS = {"bash": "bash", "js": "node", "curl": "curl", "grpcurl": "grpcurl"}


def tool_of(language: str, code: str) -> str:
    """The program that a block needs besides Python."""
    first = code.split()[0]
    return "curl" if " curl " in f" {code}" and first != "transom" else first if first in TOOLS else language


@pytest.fixture
def runner(fake: FakeServing, tmp_path: Path, repository: Path) -> Path:
    """A folder to run in, with two pushed versions, `transom` on its path, and the protos where the docs say."""
    fake.versions, fake.labels = [1, 2], {"stable": 1, "canary": 2}
    for version in ("1795342829", "1795429229"):
        (tmp_path / "reviews-out" / "serving" / "reviews" / version).mkdir(parents=True)
    (tmp_path / "serving").symlink_to(repository / "serving")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "transom"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m pipeline.cli "$@"\n')
    command.chmod(0o755)
    return tmp_path


def run(language: str, code: str, folder: Path, fake: FakeServing, repository: Path) -> str:
    """What the example prints."""
    code = code.replace("localhost:8500", f"127.0.0.1:{fake.grpc_port}")
    code = code.replace("localhost:8501", f"127.0.0.1:{fake.rest_port}")
    file = folder / {"python": "example.py", "bash": "example.sh", "js": "example.mjs"}[language]
    file.write_text(code)
    program = {"python": [sys.executable], "bash": ["bash", "-euo", "pipefail"], "js": ["node"]}[language]
    environment = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(repository), "HOME": str(folder)}
    done = subprocess.run(
        [*program, str(file)], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.mark.parametrize(
    ("language", "code"),
    [block for block in BLOCKS if "deploy" not in block[1]],
    ids=lambda text: re.sub(r"\W+", " ", text)[:40].strip(),
)
def test_an_example_runs_and_answers(
    language: str, code: str, runner: Path, fake: FakeServing, repository: Path
) -> None:
    tool = TOOLS.get(tool_of(language, code))
    if tool and shutil.which(tool) is None:
        pytest.skip(f"no {tool} on this machine")
    printed = run(language, code, runner, fake, repository)
    assert printed.strip()
    if " curl " in f" {code}":
        assert "error" not in json.loads(printed)


def test_the_deployment_of_the_docs_runs_in_their_order(runner: Path, fake: FakeServing, repository: Path) -> None:
    code = "\n".join(code for _, code in BLOCKS if "deploy" in code)
    printed = run("bash", code, runner, fake, repository)
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
