"""What was set aside comes back as it was, or is reported lost."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from models.errors import TrainingError
from models.training.variables.set_aside import SetAside, replace_values


def variables() -> list[Any]:
    source = np.random.default_rng(0)
    return [
        keras.Variable(source.normal(size=shape), dtype="float32", name=f"v{len(shape)}")
        for shape in ((5, 3), (), (4,))
    ]


def test_values_come_back_in_order_though_the_variables_have_others(tmp_path: Path) -> None:
    made = variables()
    former = [np.array(each) for each in made]
    aside = SetAside(made, tmp_path / "new")
    for each in made:
        replace_values(each, np.zeros((0, 2), np.float32), "float32")
        assert each.value.shape == (0, 2)
    assert list((tmp_path / "new").iterdir()) == []
    for each, values, value in zip(made, aside.take_back(), former, strict=True):
        replace_values(each, values, "float32")
        np.testing.assert_array_equal(np.array(each), value)


def test_values_that_a_file_system_has_forgotten_are_an_error() -> None:
    aside = SetAside(variables())
    aside._file.truncate(60)
    taken = aside.take_back()
    assert next(taken).shape == (5, 3)
    with pytest.raises(TrainingError, match="set aside") as raised:
        next(taken)
    assert "0 numbers of v0" in str(raised.value)
    assert aside._file.closed


def test_a_file_system_that_keeps_no_file_without_a_name_is_noticed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/null").open("w+b") as forgotten:
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: forgotten)
        with pytest.raises(OSError, match="not kept"):
            SetAside(variables())


def test_a_folder_that_cannot_be_made_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        SetAside(variables(), tmp_path / "file" / "folder")
