"""A project after a good run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from metadata_stores import fill

from pipeline.paths import Paths


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Paths, Path]:
    folder = tmp_path_factory.mktemp("project")
    paths = Paths(base=folder, output=folder / "a b?#%", push=folder / "push", edge=folder / "edge")
    paths.output.mkdir()
    fill(paths)
    shutil.copytree(paths.output, folder / "kept")
    return paths, folder / "kept"


@pytest.fixture
def paths(template: tuple[Paths, Path]) -> Paths:
    """A project's folders after a good run, always in the same place: the paths in the store are absolute."""
    paths, kept = template
    shutil.rmtree(paths.output)
    shutil.copytree(kept, paths.output)
    return paths
