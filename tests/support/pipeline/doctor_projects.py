"""Projects and folders for the tests of `transom doctor`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from pipeline.configuration.loading import load
from pipeline.doctor.finding import Finding, Project
from pipeline.paths import Paths

NOBODY = 65534
ROWS = "text,label\n" + "".join(f"{'good' if i % 2 else 'bad'} film {i},{i % 2}\n" for i in range(200))


def make_project(folder: Path, **settings: Any) -> Project:
    """A project with a table, as `transom doctor` loads it."""
    (folder / "t.csv").write_text(ROWS, encoding="utf-8")
    file = folder / "transom.yaml"
    file.write_text(yaml.safe_dump({"data": {"path": "t.csv"}, **settings}), encoding="utf-8")
    config = load(file)
    return Project(file, config, Paths.from_config(config, file))


def statuses(found: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(finding.check, finding.status) for finding in found]


def snapshot(folder: Path) -> dict[str, tuple[int, int, int, int]]:
    """Every file and folder below a folder, with what a change to it would change."""
    found = {}
    for path, _, names in os.walk(folder):
        for name in (".", *names):
            state = os.lstat(os.path.join(path, name))
            found[os.path.join(path, name)] = state.st_mode, state.st_size, state.st_mtime_ns, state.st_ctime_ns
    return found


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may do everything: in the block it is another user."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
