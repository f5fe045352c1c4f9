from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from components.fingerprint import _reachable

CODE = "from components.fingerprint import fingerprint; print(*(fingerprint(n) for n in ('models.one', 'models.two')))"


@pytest.fixture
def tree(tmp_path: Path, repository: Path) -> Path:
    """A small tree of the same package names: `models.one` imports `models.deep`, `models.two` does not."""
    for package in ("models", "components"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    source = repository / "components" / "fingerprint.py"
    (tmp_path / "components" / "fingerprint.py").write_text(source.read_text())
    (tmp_path / "models" / "one.py").write_text("def late():\n    from models import deep\n    return deep\n")
    (tmp_path / "models" / "two.py").write_text("import os\n")
    (tmp_path / "models" / "deep.py").write_text("VALUE = 1\n")
    return tmp_path


def _fingerprints(tree: Path) -> list[str]:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=tree, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_a_change_concerns_exactly_what_reaches_it(tree: Path) -> None:
    one, two = _fingerprints(tree)
    assert [one, two] == _fingerprints(tree)
    (tree / "models" / "deep.py").write_text("VALUE = 2\n")
    changed_one, same_two = _fingerprints(tree)
    assert changed_one != one
    assert same_two == two


def test_what_judges_data_or_a_model_makes_neither_anew() -> None:
    """A rule, a figure or a version is no reason to train again: the steps up to training reach none of them."""
    judges = {"components.rules", "components.drift", "components.figures", "components.blessing", "serving.versions"}
    for step in ("example_gen", "schema", "tokenizer_trainer", "transform", "trainer"):
        assert not judges & _reachable(frozenset({f"components.{step}"})), step
