"""What must hold before a release is tagged: one version everywhere, and a wheel that works without the checkout.

    python .ci/release_check.py           # before a release; leaves the sdist and the wheel in dist/
    python .ci/release_check.py --trial   # between releases: "Unreleased" and uncommitted changes are fine

Exit codes: 0 all is well, 1 a check failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("models", "tflite", "serving", "components", "pipeline")
_UV = str(Path(sys.executable).with_name("uv"))
_HEADING = re.compile(r"^## (.+?)\s*$", re.MULTILINE)
_RELEASE = re.compile(r"\[?(?P<version>\d[^\s\]]*)\]? - \d{4}-\d{2}-\d{2}")
_IMPORT_ALL = """
import importlib, pathlib, pkgutil, sys
from models.training.elsewhere.environments import FRAMEWORKS
count = 0
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    assert pathlib.Path(package.__file__).is_relative_to(sys.prefix), package.__file__
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
                count += 1
            except ModuleNotFoundError as error:
                if error.name not in FRAMEWORKS:  # they have environments of their own
                    raise
print(count, "modules imported")
"""
_TABLE = "review,sentiment\n" + "".join(
    f"{'a fine' if row % 2 else 'a dull'} film number {row},{'good' if row % 2 else 'bad'}\n" for row in range(60)
)


class ReleaseError(Exception):
    """A check failed; the message says what to change."""


def project_version(root: Path = ROOT) -> str:
    """The version in pyproject.toml."""
    version: str = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return version


def check_versions(version: str, changelog: str, *, head_tags: Sequence[str], all_tags: Sequence[str]) -> None:
    """Compares the version with CHANGELOG.md's newest heading and with the tags.

    Args:
        version: the one in pyproject.toml.
        changelog: the text of CHANGELOG.md.
        head_tags: the tags of the current commit.
        all_tags: the tags of the repository.

    Raises:
        ReleaseError: they disagree.
    """
    heading = _HEADING.search(changelog)
    newest = heading[1] if heading else "nothing"
    release = _RELEASE.fullmatch(newest)
    if release is None or release["version"] != version:
        raise ReleaseError(f"CHANGELOG.md: the newest heading is {newest!r}, expected '{version} - YYYY-MM-DD'")
    others = [tag for tag in head_tags if tag.startswith("v") and tag != f"v{version}"]
    if others:
        raise ReleaseError(f"this commit has the tag {others[0]}, but pyproject.toml has version {version}")
    if f"v{version}" in all_tags and f"v{version}" not in head_tags:
        raise ReleaseError(f"the tag v{version} is on another commit: that version is released; raise the number")


def build(folder: Path, root: Path = ROOT) -> Path:
    """Builds the sdist from the tracked files alone, and the wheel from the sdist. Returns the wheel.

    Args:
        folder: where both are written.
        root: the checkout.
    """
    with tempfile.TemporaryDirectory() as temporary:
        for name in _git(root, "ls-files", "-z").split("\0"):
            if name and (root / name).is_file():
                copy = Path(temporary, name)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(root / name, copy)
        _run(
            [
                _UV,
                "build",
                "--quiet",
                "--no-build-isolation",
                "--python",
                sys.executable,
                "--out-dir",
                folder,
                temporary,
            ]
        )
    (wheel,) = folder.glob(f"transom-{project_version(root)}-*.whl")
    return wheel


def check_wheel(wheel: Path, root: Path = ROOT) -> None:
    """Compares a wheel with the tracked files of the five packages: all of them, and nothing else.

    Raises:
        ReleaseError: files are missing, or do not belong there.
    """
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    tracked = {name for name in _git(root, "ls-files", "-z", *PACKAGES).split("\0") if (root / name).is_file()}
    if packed != tracked:
        missing, extra = sorted(tracked - packed), sorted(packed - tracked)
        raise ReleaseError(
            f"{wheel.name}: missing {missing}, unexpected {extra}: see [tool.setuptools] in pyproject.toml"
        )


def try_installed(wheel: Path, folder: Path, root: Path = ROOT) -> None:
    """Installs the lock and the wheel into a new environment and runs commands there, away from the checkout.

    Args:
        wheel: what is tried.
        folder: an empty folder for the environment and the commands' files.
        root: the checkout, for its lock.

    Raises:
        ReleaseError: a command failed or printed something else.
    """
    python, empty = folder / "env" / "bin" / "python", folder / "empty"
    empty.mkdir()
    install: list[str | Path] = [_UV, "pip", "install", "--quiet", "--python", python, "--no-deps"]
    _run([_UV, "venv", "--quiet", "--python", sys.executable, folder / "env"])
    _run([*install, "--require-hashes", "-r", root / "requirements.lock"])
    _run([*install, wheel])

    transom = python.with_name("transom")
    version = project_version(root)
    if version not in (printed := _run([transom, "--version"], empty)):
        raise ReleaseError(f"transom --version printed {printed!r}, expected {version}")
    if "properties" not in json.loads(_run([transom, "schema"], empty)):
        raise ReleaseError("transom schema printed no JSON Schema")
    (empty / "reviews.csv").write_text(_TABLE, encoding="utf-8")
    _run([transom, "init", "reviews.csv"], empty)
    if not (empty / "transom.yaml").is_file():
        raise ReleaseError("transom init wrote no transom.yaml")
    print(_run([python, "-W", "ignore", "-c", _IMPORT_ALL, *PACKAGES], empty).strip().splitlines()[-1])


def main() -> int:
    """Runs the checks, the cheap ones first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--trial", action="store_true", help="skip the checks of versions, tags and uncommitted changes"
    )
    trial = parser.parse_args().trial
    version = project_version()
    try:
        if not trial:
            head, every = _git(ROOT, "tag", "--points-at", "HEAD"), _git(ROOT, "tag")
            changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
            check_versions(version, changelog, head_tags=head.split(), all_tags=every.split())
            if changed := _git(ROOT, "status", "--porcelain"):
                raise ReleaseError(f"commit or remove these first:\n{changed}")
            print(f"version {version}: pyproject.toml, CHANGELOG.md and tags agree")
        with tempfile.TemporaryDirectory() as temporary:
            distributions = Path(temporary, "dist") if trial else ROOT / "dist"
            shutil.rmtree(distributions, ignore_errors=True)
            wheel = build(distributions)
            check_wheel(wheel)
            print(f"{wheel.name}: every file of the five packages, and nothing else")
            try_installed(wheel, Path(temporary))
    except ReleaseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("all is well" if trial else f"next: git tag v{version}")
    return 0


def _git(root: Path, *arguments: str) -> str:
    return _run(["git", *arguments], root)


def _run(command: Sequence[str | Path], folder: Path | None = None) -> str:
    """Runs a command without the caller's PYTHONPATH; its standard output.

    Raises:
        ReleaseError: its exit code is not zero.
    """
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        shown = " ".join(str(word) for word in command[:6])
        raise ReleaseError(f"{shown} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
