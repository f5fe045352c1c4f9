from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pipeline.doctor.device_queries import Query, framework_query, stopping, tensorflow_query


def ask(code: str, seconds: float = 60.0) -> Query:
    return Query([sys.executable, "-I", "-c", code], os.environ, seconds)


def test_what_a_child_says_is_taken_until_it_fails() -> None:
    answer = ask(
        "import sys\nprint('noise')\nprint('[1]')\nprint('{\"version\": \"1\"}')\nraise ValueError('why')"
    ).answer()
    assert answer.known == {"version": "1"}
    assert answer.failure == "ValueError: why"
    assert "Traceback" in answer.stderr


def test_a_child_that_does_not_answer_is_ended() -> None:
    """The limit is for this test: the child would sleep for an hour."""
    query = ask('import time\nprint(\'{"version": "1"}\', flush=True)\ntime.sleep(3600)', seconds=2.0)
    answer = query.answer()
    assert answer.failure == "no answer within 2 s"
    assert query.is_done()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os.kill(os.getpid(), 4)", "ended by signal 4: this processor lacks an instruction"),
        ("import os; os.kill(os.getpid(), 9)", "ended by signal 9"),
        ("raise SystemExit(3)", "exit code 3"),
    ],
)
def test_a_child_that_dies(code: str, reason: str) -> None:
    assert reason in ask(code).answer().failure


def test_an_interpreter_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "python"
    file.write_text("not a program")
    file.chmod(0o755)
    for framework in ("jax", "torch"):
        answer = framework_query(framework, file).answer()
        assert answer.failure
        assert answer.known == {}


def test_children_end_with_the_block() -> None:
    queries = {"x": ask("import time; time.sleep(3600)", seconds=3600.0)}
    with stopping(queries):
        assert not queries["x"].is_done()
    assert "signal 9" in queries["x"].answer().failure


def test_tensorflow_tells_what_a_training_would_choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes some 5 seconds. The current folder has packages that it must not find."""
    for name in ("models", "tensorflow"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('the wrong one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    answer = tensorflow_query("off", seconds=600.0).answer()
    assert answer.failure == ""
    assert answer.known["onednn"] == "off"
    assert answer.known["auto"]["a preset"]["precision"][0] == "float32"
    assert sorted(os.listdir(tmp_path)) == ["models", "tensorflow"]
