"""The commands of the documents run as they are written, on a tiny table; they share one project, in their order.

Those that are not run are listed with the reason in `command_lines.NOT_RUN`; all of them are parsed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from command_lines import run_lines
from documents import REPOSITORY, blocks
from project_shell import TINY, ProjectShell, write_tables

LINES = run_lines()
_SERVED = [line for line in LINES if line.startswith("curl ") or "://localhost" in line]
_SERVE = [line for line in LINES if line.startswith("transom serve")]
_INIT = [line for line in LINES if line.startswith("transom init")]
_COMPILE = [line for line in LINES if line.startswith("transom compile")]
_APART = {*_SERVED, *_SERVE, *_INIT, *_COMPILE}
_BEFORE_THE_BUNDLE = "transom edge export reviews-out bundle"


def _in_order(lines: list[str]) -> list[str]:
    """`--from` follows a whole run, a bundle is written before it is queried, and what removes results comes last."""
    first = ("transom run --from Evaluator", _BEFORE_THE_BUNDLE)
    last = ("transom clean", "transom backends remove")
    return sorted(lines, key=lambda line: (line.startswith(last), line not in first))


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> ProjectShell:
    """The project after `transom init` and the first `transom run`."""
    shell = ProjectShell(tmp_path_factory.mktemp("walkthrough"), REPOSITORY)
    shell.describe()
    done = shell.run("transom run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pushed:" in done.stdout
    assert "report:" in done.stdout
    return shell


@pytest.mark.slow
@pytest.mark.parametrize("line", _INIT)
def test_init_describes_the_table(line: str, shell: ProjectShell, tmp_path: Path) -> None:
    write_tables(tmp_path)
    done = shell.run(line, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "wrote" in done.stdout
    written = yaml.safe_load((tmp_path / "transom.yaml").read_text(encoding="utf-8"))
    assert written["task"] == {"type": "single_label", "text": "text", "label": "label"}
    assert set(written["data"]) == ({"path"} if "reviews" in line else {"train", "eval", "test"})


@pytest.mark.slow
@pytest.mark.parametrize("line", _in_order([line for line in LINES if line not in _APART]))
def test_a_command_runs(line: str, shell: ProjectShell) -> None:
    if " bundle" in line and "export" in line and line != _BEFORE_THE_BUNDLE:
        shell.run("rm -r bundle")  # the documents name the same new folder twice
    done = shell.run(line)
    # The machine that runs the tests may have faults of its own, such as a port in use.
    assert done.returncode in ((0, 1) if line.startswith("transom doctor") else (0,)), done.stdout + done.stderr
    assert "unexpected" not in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.strip() or ">" in line or line.startswith("transom report"), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("line", _COMPILE)
def test_compile_writes_the_pipeline(line: str, shell: ProjectShell, tmp_path: Path) -> None:
    """With the settings of docs/kubeflow.md."""
    (settings,) = [text for language, text in blocks(REPOSITORY / "docs" / "kubeflow.md") if language == "yaml"]
    write_tables(tmp_path)
    project = {"name": "reviews", "data": {"path": "reviews.csv"}, **TINY, **yaml.safe_load(settings)}
    (tmp_path / "transom.yaml").write_text(yaml.safe_dump(project), encoding="utf-8")
    done = shell.run(line, tmp_path)
    assert done.returncode == 0, done.stderr
    written = tmp_path / ("image/Dockerfile" if "--dockerfile" in line else "pipeline.yaml")
    assert written.is_file()


@pytest.fixture(scope="module")
def served(shell: ProjectShell) -> Iterator[None]:
    with shell.serving(_SERVE[0]):
        yield


@pytest.mark.slow
@pytest.mark.parametrize("line", _SERVED)
def test_a_served_model_answers(line: str, shell: ProjectShell, served: None) -> None:
    done = shell.run(line)
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stdout
    assert "good" in done.stdout or "poor" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("line", _SERVE[1:])
def test_a_server_starts_and_ends(line: str, shell: ProjectShell) -> None:
    with shell.serving(line):
        pass


def test_every_kind_of_command_is_run() -> None:
    assert len(LINES) > 45
    assert _INIT
    assert _COMPILE
    assert len(_SERVE) > 1
    assert len(_SERVED) > 3
