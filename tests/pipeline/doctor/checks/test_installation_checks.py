from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from doctor_projects import statuses

from pipeline.doctor.checks import installation_checks
from pipeline.doctor.checks.installation_checks import bytecode, checks, files, lock, packages, python, variables
from pipeline.doctor.finding import Finding, findings_of
from pipeline.doctor.locked_packages import installed

SHADOWED = """
from pipeline.doctor.checks.installation_checks import packages
print([(finding.status, finding.text) for finding in packages()])
"""


def install(folder: Path, name: str, version: str, module: str = "") -> Path:
    """A distribution with one module, as pip records it."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    file = folder / f"{module or name}.py"
    file.write_text("value = 1\n")
    (info / "RECORD").write_text(f"{file.name},sha256=x,{file.stat().st_size}\n{info.name}/RECORD,,\n")
    return file


def test_this_installation_is_examined() -> None:
    found = [finding for check in checks() for finding in findings_of(check)]
    assert {"python", "packages", "lock", "files", "versions", "variables"} <= {finding.check for finding in found}
    assert not [finding for finding in found if finding.status == "error"]


@pytest.mark.parametrize(
    ("version", "status"),
    [((3, 11, 0), "ok"), ((3, 11, 99), "ok"), ((3, 10, 9), "error"), ((3, 12, 0), "error"), ((4, 0, 0), "error")],
)
def test_the_version_of_python(version: tuple[int, int, int], status: str) -> None:
    (found,) = python(version)  # against what this checkout's distribution requires
    assert found.status == status


def test_a_folder_that_hides_a_package(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").touch()
    code = f"import sys; sys.path.insert(0, {str(repository)!r}); import pipeline, models.errors; "
    code += f"sys.path.insert(0, {str(tmp_path)!r}); sys.modules.pop('models')\n{SHADOWED}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "('error', " in done.stdout
    assert f"models ({tmp_path / 'models' / '__init__.py'})" in done.stdout


def test_a_tree_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation_checks, "installed", dict)
    (found,) = packages()
    assert (found.check, found.status) == ("packages", "error")
    assert "not installed" in found.text


def write_lock(tree: Path) -> None:
    (tree / "requirements.lock").write_text(
        "alpha==1.0 \\\n    # via transom (pyproject.toml)\nbeta==2.0 \\\n    # via alpha\n"
    )


def test_packages_that_differ_from_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_lock(tmp_path)
    site = tmp_path / "site"
    install(site, "Alpha", "1.5")
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    found = {finding.status: finding for finding in lock(tmp_path)}
    assert found["error"].text == "not installed: beta"
    assert "alpha 1.5 (locked: 1.0)" in found["warn"].text
    assert "requirements.lock" in found["warn"].remedy
    install(site, "beta", "2.0")
    shutil.rmtree(site / "Alpha-1.5.dist-info")
    install(site, "alpha", "1.0")
    assert statuses(list(lock(tmp_path))) == [("lock", "ok")]


def test_what_an_interrupted_installation_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders without a name of a package count as no package, and as damage."""
    for name in ("alpha-1.0.dist-info", "beta-2.0.dist-info"):
        (tmp_path / name).mkdir()
    (tmp_path / "beta-2.0.dist-info" / "METADATA").write_bytes(b"")
    write_lock(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert next(lock(tmp_path)).text == "not installed: alpha, beta"
    assert "alpha-1.0.dist-info/RECORD" in next(files(tmp_path)).text


def test_a_damaged_lock_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_bytes(b"\xff")
    (found,) = lock(tmp_path)
    assert found.status == "warn"
    (tmp_path / "requirements.lock").unlink()
    (tmp_path / "requirements.lock").mkdir()
    assert "cannot be read" in next(lock(tmp_path)).text


def test_without_the_lock_the_distributions_requirements_count(tmp_path: Path) -> None:
    have = installed()
    assert statuses(list(lock(tmp_path, have))) == [("lock", "ok")]
    (found,) = lock(tmp_path, {name: version for name, version in have.items() if name != "keras"} | {"tfx": "1.0"})
    assert found.status == "error"
    assert "keras (not installed), wanted" in found.text
    assert "tfx 1.0, wanted" in found.text
    assert "pytest" not in found.text


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    file = install(tmp_path, "alpha", "1.0")
    assert statuses(list(files(tmp_path))) == [("files", "ok")]
    file.write_text("v")
    (found,) = files(tmp_path)
    assert found.status == "error"
    assert "alpha.py" in found.text


def bytecode_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Finding:
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    (found,) = bytecode("doctored")
    return found


@pytest.mark.parametrize("is_kept", [True, False])
def test_packages_that_are_not_compiled(is_kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "doctored").mkdir()
    (tmp_path / "doctored" / "__init__.py").touch()
    monkeypatch.setattr(sys, "dont_write_bytecode", not is_kept)
    found = bytecode_of(tmp_path, monkeypatch)
    assert found.status == ("note" if is_kept else "warn")
    assert os.listdir(tmp_path / "doctored") == ["__init__.py"]


def test_packages_that_are_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "doctored").mkdir()
    (tmp_path / "doctored" / "__init__.py").touch()
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(tmp_path)], check=True)
    assert bytecode_of(tmp_path, monkeypatch).status == "ok"


def test_variables_are_shown_without_secrets() -> None:
    given = {"TF_CPP_MIN_LOG_LEVEL": "2", "HF_TOKEN": "hf_x", "TRANSOM_API_KEY": "abc", "LANG": "C", "HOME": "/root"}
    (found,) = variables(given)
    assert found.text == "LANG=C, TF_CPP_MIN_LOG_LEVEL=2, TRANSOM_API_KEY=(hidden)"
    assert next(variables({"HOME": "x"})).text == "none that matters is set"
