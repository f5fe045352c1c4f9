"""The release check finds what it is for, and this tree passes it."""

from __future__ import annotations

import importlib.util
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

CHANGELOG = "# Changelog\n\n## 1.2.0 - 2026-11-27\n\n- more\n\n## 1.1.0 - 2026-01-01\n"


@pytest.fixture(scope="module")
def release(repository: Path) -> ModuleType:
    """`.ci/release_check.py` as a module."""
    specification = importlib.util.spec_from_file_location("release_check", repository / ".ci" / "release_check.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def wheel(release: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This tree as a wheel."""
    return release.build(tmp_path_factory.mktemp("dist"))


@pytest.mark.parametrize("head_tags", [[], ["v1.2.0"], ["nightly"]])
def test_versions_that_agree(release: ModuleType, head_tags: list[str]) -> None:
    release.check_versions("1.2.0", CHANGELOG, head_tags=head_tags, all_tags=["v1.1.0", *head_tags])


def test_a_version_in_brackets_is_a_heading_too(release: ModuleType) -> None:
    changelog = CHANGELOG.replace("1.2.0", "[1.2.0]")
    release.check_versions("1.2.0", changelog, head_tags=[], all_tags=[])


@pytest.mark.parametrize(
    ("version", "changelog", "head_tags", "all_tags", "message"),
    [
        ("1.3.0", CHANGELOG, [], [], "newest heading is '1.2.0 - 2026-11-27', expected '1.3.0 - YYYY-MM-DD'"),
        ("1.2.0", CHANGELOG.replace(" - 2026-11-27", ""), [], [], "newest heading is '1.2.0', expected"),
        ("1.2.0", CHANGELOG.replace("1.2.0 - 2026-11-27", "Unreleased"), [], [], "newest heading is 'Unreleased'"),
        ("1.2.0", "", [], [], "newest heading is 'nothing'"),
        ("1.2.0", CHANGELOG, ["v1.3.0"], ["v1.3.0"], "has the tag v1.3.0"),
        ("1.2.0", CHANGELOG, [], ["v1.2.0"], "on another commit"),
    ],
)
def test_versions_that_disagree(
    release: ModuleType, version: str, changelog: str, head_tags: list[str], all_tags: list[str], message: str
) -> None:
    with pytest.raises(release.ReleaseError, match=message):
        release.check_versions(version, changelog, head_tags=head_tags, all_tags=all_tags)


def test_the_wheel_holds_the_five_packages_and_nothing_else(release: ModuleType, wheel: Path) -> None:
    release.check_wheel(wheel)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == set(release.PACKAGES)
    assert {Path(name).suffix for name in names if ".dist-info/" not in name} == {
        ".py",
        ".css",
        ".html",
        ".js",
        ".md",
        ".binpb",
        ".proto",
        ".txt",
        ".in",
        ".overrides",
        ".lock",
    }


def test_the_sdist_holds_no_tests_or_benchmarks(wheel: Path) -> None:
    (sdist,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        folders = {name.split("/")[1] for name in archive.getnames() if name.count("/") > 1}
    assert folders == {"components", "models", "pipeline", "serving", "tflite", "transom.egg-info"}


@pytest.mark.parametrize("name", ["tests/test_a.py", "serving/leftover.py"])
def test_a_file_too_many_is_found(release: ModuleType, wheel: Path, tmp_path: Path, name: str) -> None:
    changed = tmp_path / wheel.name
    changed.write_bytes(wheel.read_bytes())
    with zipfile.ZipFile(changed, "a") as archive:
        archive.writestr(name, "")
    with pytest.raises(release.ReleaseError, match=rf"missing \[\], unexpected \['{name}'\]"):
        release.check_wheel(changed)


def test_a_missing_file_is_found(release: ModuleType, wheel: Path, tmp_path: Path) -> None:
    changed = tmp_path / wheel.name
    lost = "serving/wire/protos/descriptors.binpb"
    with zipfile.ZipFile(wheel) as whole, zipfile.ZipFile(changed, "w") as archive:
        for name in whole.namelist():
            if name != lost:
                archive.writestr(name, whole.read(name))
    with pytest.raises(release.ReleaseError, match=rf"missing \['{lost}'\], unexpected \[\]"):
        release.check_wheel(changed)


@pytest.mark.slow
def test_the_installed_wheel_works_without_the_checkout(
    release: ModuleType, wheel: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    try:
        release.try_installed(wheel, tmp_path)
    except release.ReleaseError as error:
        if "Failed to fetch" in str(error):
            pytest.skip(f"no package registry: {error}")
        raise
    assert "modules imported" in capfd.readouterr().out
