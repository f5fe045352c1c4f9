from __future__ import annotations

import fnmatch
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from components.fingerprint import PACKAGES, _data_files, _file, _parse, _reachable, _versions, fingerprint
from models.training.elsewhere.environments import FRAMEWORKS

CODE = "from components.fingerprint import fingerprint; print(*(fingerprint(n) for n in ('models.one', 'models.two')))"
ONE = '''\
"""What it is."""
import counts
from typing import TYPE_CHECKING


def late():
    """Deep."""
    from models import deep  # not at the top: it takes long
    return deep
'''


@pytest.fixture
def tree(tmp_path: Path, repository: Path) -> Path:
    """A small tree of the same package names: `models.one` imports `models.deep`, `models.two` does not."""
    for package in ("models", "components", "tflite"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    source = repository / "components" / "fingerprint.py"
    (tmp_path / "components" / "fingerprint.py").write_text(source.read_text())
    (tmp_path / "models" / "one.py").write_text(ONE)
    (tmp_path / "models" / "two.py").write_text("import os\n")
    (tmp_path / "models" / "deep.py").write_text("from tflite import words\n\nVALUE = 1\n")
    (tmp_path / "tflite" / "words.py").write_text("WORDS = ()\n")
    (tmp_path / "tflite" / "words.txt").write_text("a b\n")
    (tmp_path / "counts.py").write_text("")
    _install(tmp_path, "1.0")
    return tmp_path


def _install(tree: Path, version: str) -> None:
    """The distribution Counting-2, which contains the library `counts`."""
    folder = tree / "Counting_2.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: Counting-2\nVersion: {version}\n")
    (folder / "top_level.txt").write_text("counts\n")


def _write(tree: Path, path: str, text: str) -> None:
    (tree / path).parent.mkdir(exist_ok=True)
    (tree / path).write_text(text)


def _fingerprints(tree: Path) -> list[str]:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=tree, capture_output=True, text=True, check=True)
    return done.stdout.split()


CHANGES: dict[str, Callable[[Path], None]] = {
    "a constant of a module that a function imports": lambda t: _write(
        t, "models/deep.py", "from tflite import words\n\nVALUE = 2\n"
    ),
    "a statement": lambda t: _write(t, "models/one.py", ONE.replace("return deep", "return deep.VALUE")),
    "a data file next to a module": lambda t: _write(t, "tflite/words.txt", "a b c\n"),
    "a new data file in a folder of data": lambda t: _write(t, "tflite/more/words.txt", "a\n"),
    "the package of a module": lambda t: _write(t, "tflite/__init__.py", "SWITCH = True\n"),
    "the version of a library": lambda t: _install(t, "1.0.post1"),
}
NO_CHANGES: dict[str, Callable[[Path], None]] = {
    "a comment": lambda t: _write(t, "models/one.py", ONE.replace("takes long", "takes very long")),
    "a docstring": lambda t: _write(t, "models/one.py", ONE.replace("Deep.", "The deep one.\n\n    Really.\n    ")),
    "the layout": lambda t: _write(t, "models/one.py", ONE.replace("\n\n\n", "\n\n\n\n\n").replace("    ", "  ")),
    "imports for type checkers": lambda t: _write(
        t, "models/one.py", ONE + "if TYPE_CHECKING:\n    from models import two\n"
    ),
    "a module without importers": lambda t: _write(t, "models/three.py", "VALUE = 3\n"),
    "what editors and systems leave": lambda t: [_write(t, f"tflite/{n}", "x") for n in ("words.py~", ".DS_Store")],
}


def test_a_change_affects_exactly_the_steps_that_import_it(tree: Path) -> None:
    one, two = _fingerprints(tree)
    assert [one, two] == _fingerprints(tree)
    for name, change in CHANGES.items():
        fresh = tree.with_name("fresh")
        shutil.copytree(tree, fresh, ignore=shutil.ignore_patterns("__pycache__"))
        change(fresh)
        changed_one, same_two = _fingerprints(fresh)
        shutil.rmtree(fresh)
        assert changed_one != one, name
        assert same_two == two, name


@pytest.mark.parametrize("name", NO_CHANGES)
def test_changes_without_effect_keep_the_fingerprint(name: str, tree: Path) -> None:
    before = _fingerprints(tree)
    NO_CHANGES[name](tree)
    assert _fingerprints(tree) == before


def test_training_does_not_depend_on_gates_and_metrics() -> None:
    """A changed rule, metric or version must not cause a retraining: no step up to training reaches such a module."""
    judges = {
        "components.data.gate.rules",
        "components.data.gate.drift",
        "components.evaluation.metrics",
        "components.evaluation.verdict",
        "serving.publish.version_folders",
    }
    for step in ("example_gen", "schema_gen", "tokenizer_trainer", "transform", "trainer"):
        reached = _reachable(frozenset({f"components.steps.{step}"}))
        assert not judges & reached, step
        assert not [name for name in reached if name.startswith(("serving", "components.evaluation"))], step
        assert not [name for name in reached if name.startswith("tflite.") and not name.startswith("tflite.host")], step


def test_every_imported_library_has_a_version() -> None:
    modules = [name for package in PACKAGES for name in _modules(package)]
    named = {library for name in modules for library in _parse(name).libraries}
    assert {"tensorflow", "keras", "numpy", "sklearn", "tensorflow_serving"} <= named
    # The other frameworks have environments of their own.
    assert not [library for library in sorted(named.difference(FRAMEWORKS)) if not _versions(library)]


def test_an_installation_has_the_data_files_of_a_checkout(repository: Path) -> None:
    """Otherwise a wheel's fingerprint, for example in a cluster's image, would differ."""
    settings = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["setuptools"]
    packages = {file.parent for package in PACKAGES for name in _modules(package) if (file := _file(name)) is not None}
    assert len(packages) > 8
    for folder in packages:
        declared = settings["package-data"].get(folder.relative_to(repository).as_posix().replace("/", "."), [])
        for line in _data_files(folder):
            name = line.rpartition(" ")[0]
            assert any(fnmatch.fnmatch(name, pattern) for pattern in declared), f"{folder.name}/{name}"


def test_a_missing_module_is_named() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"components\.absent"):
        fingerprint("components.absent")


def _modules(package: str) -> list[str]:
    root = _file(package)
    assert root is not None
    files = [file.relative_to(root.parent.parent).with_suffix("") for file in root.parent.rglob("*.py")]
    return [".".join(file.parts).removesuffix(".__init__") for file in files]
