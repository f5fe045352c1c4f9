"""Where pushed models and bundles are found, and the errors if they are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from models.errors import ModelError
from models.saved.model_locations import newest_bundle, newest_version


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for kind, file in (("serving", "saved_model.pb"), ("edge", "edge.json")):
        (tmp_path / "p-out" / kind / "p" / "7").mkdir(parents=True)
        (tmp_path / "p-out" / kind / "p" / "7" / file).touch()
    (tmp_path / "p-out" / "runs" / "1").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("find", [newest_version, newest_bundle])
@pytest.mark.parametrize(
    ("given", "meant"),
    [(".", "p-out"), ("p-out/runs", "p-out"), ("p-out/runs/1", "p-out"), ("p-out/{}/p/8", "p-out/{}/p")],
)
def test_a_folder_near_the_right_one_is_told_which_is_right(
    project: Path, find: Callable[[Path], Path], given: str, meant: str
) -> None:
    kind = "serving" if find is newest_version else "edge"
    with pytest.raises(ModelError) as caught:
        find(Path(given.format(kind)))
    suggested = caught.value.fix.removeprefix("did you mean ").removesuffix("?")
    assert (project / suggested).resolve() == project / meant.format(kind)


def test_where_nothing_is_near_the_runs_tell_more(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    with pytest.raises(ModelError, match="`transom runs`"):
        newest_version(tmp_path / "a" / "b" / "c")
