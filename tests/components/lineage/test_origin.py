"""The facts of the program and the machine: git is asked without being trusted, and no environment variable is kept."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from components.lineage import origin as origin_module
from components.lineage.lineage_facts import CheckoutFacts
from components.lineage.origin import checkout_facts, code_facts, environment_facts, origin, program_facts
from models.errors import TrainingError


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", *identity, "-C", str(folder), *arguments], env=kept, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "transom.yaml").write_text("data: {path: t.csv}\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    return folder


def test_the_commit_and_whether_tracked_files_differ(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    assert checkout_facts(checkout) == CheckoutFacts(commit=commit, uncommitted=False)
    (checkout / "new.csv").write_text("text,label\n")
    assert checkout_facts(checkout).uncommitted is False, "the project's data are often not tracked"
    (checkout / "transom.yaml").write_text("data: {path: u.csv}\n")
    assert checkout_facts(checkout) == CheckoutFacts(commit=commit, uncommitted=True)


def test_a_folder_in_a_checkout_belongs_to_it(checkout: Path) -> None:
    (checkout / "reviews").mkdir()
    assert checkout_facts(checkout / "reviews").commit == git(checkout, "rev-parse", "HEAD")


def test_gits_own_variables_name_no_other_checkout(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook sets them: `make check` may run in one."""
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "absent"))
    assert checkout_facts(checkout).commit == git(checkout, "rev-parse", "HEAD")


def test_without_a_checkout_or_without_git_nothing_is_known(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "--quiet")
    assert checkout_facts(empty) == CheckoutFacts(), "a checkout without a commit"
    assert checkout_facts(tmp_path / "absent") == CheckoutFacts()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert checkout_facts(checkout) == CheckoutFacts()


def test_a_program_that_is_no_checkout_has_no_commit(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    """An installed package may lie within a checkout of something else."""
    inside = checkout / "lib" / "site-packages"
    inside.mkdir(parents=True)
    monkeypatch.setattr(origin_module, "_CHECKOUT", inside)
    assert program_facts().commit is None
    assert environment_facts("tensorflow").lock is None
    monkeypatch.setattr(origin_module, "_CHECKOUT", repository)
    lock = environment_facts("tensorflow").lock
    assert lock is not None
    assert len(lock) == 64


def test_the_facts_hold_no_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret_4711")
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    facts = origin("tensorflow")
    text = facts.model_dump_json()
    assert "hf_secret_4711" not in text
    assert facts.environment.threads == 3
    assert facts.environment.packages["tensorflow"]
    assert set(code_facts().steps) == {"ExampleGen", "TokenizerTrainer", "Transform", "Trainer"}


def test_another_framework_must_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRANSOM_BACKENDS", str(tmp_path))
    monkeypatch.delenv("TRANSOM_JAX_PYTHON", raising=False)
    with pytest.raises(TrainingError, match="jax"):
        origin("jax")
