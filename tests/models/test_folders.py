"""A folder appears whole or not at all, and takes nobody's place."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import ModelError
from models.folders import appearing


def export(target: Path) -> None:
    with appearing(target) as folder:
        (folder / "file").write_text("new")


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("full", "file", "link"):
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(tmp_path / "full")
        with pytest.raises(ModelError, match="something is there already"):
            export(tmp_path / name)
    assert (tmp_path / "full" / "mine").read_text() == (tmp_path / "file").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 3


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "nothing"):
        link = tmp_path / f"to-{name}"
        link.symlink_to(name)
        export(link)
        assert link.is_symlink()
        assert (tmp_path / name / "file").read_text() == "new"


def come_meanwhile(target: Path) -> None:
    with appearing(target):
        target.mkdir()
        (target / "mine").write_text("mine")


def test_what_comes_meanwhile_stays(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="meanwhile"):
        come_meanwhile(tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine"]
